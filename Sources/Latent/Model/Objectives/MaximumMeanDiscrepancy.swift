import Foundation
import Torch

/// Reconstruction, and that z drawn from the data look as a whole as if drawn from the prior: each
/// window may keep a narrow posterior, which the KL term would forbid.
///
/// MMD² is the unbiased estimate with a sum of inverse multiquadratic kernels
/// c / (c + |a - b|²), c = 2D·s, s = 0.1 … 10.
///
/// Source: Tolstikhin et al., "Wasserstein auto-encoders", ICLR 2018, section 4 (WAE-MMD, the
/// kernels); Zhao, Song & Ermon, "InfoVAE", AAAI 2019 (with α = 1, so that no KL term is left).
/// Differs: the reconstruction is log p(x|z) in nats, and the discrepancy is multiplied by the number
/// of latent dimensions, so that one weight serves all sizes.
struct MaximumMeanDiscrepancyObjective: Objective {
    static let summary = "with the discrepancy to the prior times --beta"
    static let numbers: Set<ObjectiveConfiguration.Number> = [.weight]
    static let defaultWeight = 30.0

    let weight: Double

    var couplesWindows: Bool { true }

    func latents(_ site: BuildingSite) throws -> any LatentStructure {
        // What the aggregate posterior is compared with is N(0, I).
        try FlatLatents(site, hasLabelPrior: false)
    }

    private static let scales = [0.1, 0.2, 0.5, 1, 2, 5, 10]

    func loss(of pass: TrainingPass) throws -> Tensor {
        guard let layer = pass.layers.first, layer.z.shape[0] > 1 else {
            return try pass.distortion()
        }
        let discrepancy = try Self.discrepancy(layer.z, pass.normals(layer.z.shape))
        let factor = weight * Double(layer.z.shape[1])
        return try pass.distortion() + discrepancy * (factor * pass.klWeight)
    }

    /// MMD² of two samples, [B, D] each with B > 1, a scalar; may be below 0.
    static func discrepancy(_ a: Tensor, _ b: Tensor) throws -> Tensor {
        let count = Double(a.shape[0])
        let dimensions = Double(a.shape[1])
        let (aa, bb, ab) = (try distances(a, a), try distances(b, b), try distances(a, b))
        var total = try Tensor.zeros(shape: [], device: a.device)
        for scale in scales {
            let c = 2 * dimensions * scale
            func kernelSum(_ squared: Tensor) throws -> Tensor {
                try (Tensor.full(c, shape: [], device: a.device) / (squared + c)).sum()
            }
            // The diagonals of the first two are 1 each and left out.
            let within = try kernelSum(aa) + kernelSum(bb) - 2 * count
            total =
                try total + within * (1 / (count * (count - 1)))
                - kernelSum(ab) * (2 / (count * count))
        }
        return total
    }

    /// |aᵢ - bⱼ|², [B, B].
    private static func distances(_ a: Tensor, _ b: Tensor) throws -> Tensor {
        let first = try a.squared().sum(axes: [1], keepingAxes: true)  // [B, 1]
        let second = try b.squared().sum(axes: [1]).reshaped([1, -1])
        let squared = try first + second - a.matmul(b.transposed(0, 1)) * 2
        // Rounding may leave a little below 0.
        return try squared.maximum(Tensor.zeros(shape: [], device: a.device))
    }
}

extension MaximumMeanDiscrepancyObjective {
    init(_ configuration: ObjectiveConfiguration) { self.init(weight: configuration.weight) }
}
