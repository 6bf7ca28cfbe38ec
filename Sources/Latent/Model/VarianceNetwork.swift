import Torch

/// z → log of the ratio between each element's variance and the shared one, in -3…3.
///
/// The bound is what keeps a Gaussian with free variances from collapsing onto constant pixels.
/// Source: Skafte Detlefsen, Jørgensen & Hauberg, "Reliable training and estimation of variance
/// networks", NeurIPS 2019 (mean first, variance after); Rybkin et al. 2021 (bounded variance).
struct VarianceNetwork {
    private let configuration: VAEConfiguration
    private let hidden: Linear
    private let output: Linear

    static let bound = 3.0

    init(_ scope: Parameters.Scope, _ configuration: VAEConfiguration) throws {
        self.configuration = configuration
        hidden = try Linear(scope["0"], inputs: configuration.latentCount, outputs: 128)
        output = try Linear(scope["1"], inputs: 128, outputs: configuration.elementCount)
    }

    /// [B, D] → [B, C, H, W].
    func callAsFunction(_ z: Tensor) throws -> Tensor {
        let logits = try output(hidden(z).silu())
        let ratio = try logits.sigmoid() * (2 * Self.bound) - Self.bound
        return try ratio.reshaped([z.shape[0]] + configuration.windowShape)
    }
}
