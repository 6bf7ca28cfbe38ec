import Torch

/// What is known of a batch of windows once the model has been run on them.
struct ScoredWindows {
    /// What the model reads, [B, E].
    let x: Tensor
    /// The mean of q(z|x), [B, D].
    let posteriorMean: Tensor
    /// Mean over the draws of E[x|z], [B, E].
    let reconstructed: Tensor
    /// How E elements are channels, rows and columns.
    let shape: WindowShape
    /// Of what is drawn to fit a score to them.
    var seed: UInt64 = 0

    /// x - E[x], [B, E].
    func residual() throws -> Tensor { try x - reconstructed }
}

/// A score whose numbers are fitted to the training windows once the weights are.
///
/// One more is one more file in `Scores/`, its case in ``ScoreKind`` and a test.
protocol FittedScore {
    /// Fits the numbers to windows of the training part; nil where the score is of no use for them.
    init?(fittedTo windows: ScoredWindows) throws

    /// Whether it is worth keeping, by normal windows that nothing was fitted to.
    func isUseful(for heldOut: ScoredWindows) throws -> Bool

    /// Takes the numbers from a model file, where they stand under `score.<kind>.<name>`; nil where
    /// they do not fit windows of that shape and D latent dimensions.
    init?(tensors: [String: HostTensor], shape: WindowShape, latentCount: Int, on device: Device)
        throws

    /// The numbers, by name.
    func tensors() throws -> [String: HostTensor]

    /// The score of each window, [B]; above 0, larger is more anomalous.
    func values(of windows: ScoredWindows) throws -> [Double]
}

extension FittedScore {
    func isUseful(for heldOut: ScoredWindows) throws -> Bool { true }
}

extension Tensor {
    /// The values and shape, on the host.
    func host() throws -> HostTensor { HostTensor(shape: shape, values: try floats()) }

    /// Some of the entries of the first axis, at least one, in that order.
    func rows(_ indices: some Sequence<Int>) throws -> Tensor {
        try Tensor.concatenated(indices.map { try narrowed(axis: 0, start: $0, length: 1) })
    }
}
