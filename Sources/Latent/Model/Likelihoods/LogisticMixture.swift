import Foundation
import Torch

/// A mixture of logistic distributions over the 256 steps of 8 bits; green is conditioned on red, and
/// blue on both.
///
/// x is rounded to steps of 1/255; the probability of a step is the mass of the logistic between its
/// edges, and the outer steps take the tails, so that log p is of probabilities, at most 0.
///
/// Source: Salimans et al., "PixelCNN++", ICLR 2017, section 2.1. Differs: the mass of an inner step
/// is computed as σ(a) σ(-b) (1 - e^(b - a)), which is exact for any scale, so that the
/// approximation by a density there is not needed.
public struct LogisticMixture: Likelihood {
    /// log π of each component, [B, K, H, W].
    let logWeights: Tensor
    /// Means in -1…1, [B, K, H, W] of each channel; of the conditioned ones before the conditioning.
    let means: [Tensor]
    /// log s of each channel, [B, K, H, W].
    let logScales: [Tensor]
    /// How red enters green, red enters blue, and green enters blue, [B, K, H, W]; empty for grey.
    let coefficients: [Tensor]

    static let componentCount = 5
    /// Narrower than a third of a step says nothing more.
    static let logScaleRange = -7.0...2.0

    init(_ output: Tensor) throws {
        let count = Self.componentCount
        var start = 0
        func take() throws -> Tensor {
            defer { start += count }
            return try output.narrowed(axis: 1, start: start, length: count)
        }
        let logits = try take()
        logWeights = try logits - logits.logSumExp(axis: 1).reshaped(Self.kept(logits.shape))
        let isGrey = output.shape[1] == 3 * count
        var means: [Tensor] = []
        var logScales: [Tensor] = []
        for _ in 0..<(isGrey ? 1 : 3) {
            means.append(try take())
            // A decoder that gives 0 begins with a scale of about 20 steps.
            logScales.append(try (take() - 2).clamped(to: Self.logScaleRange))
        }
        self.means = means
        self.logScales = logScales
        coefficients = isGrey ? [] : [try take().tanh(), try take().tanh(), try take().tanh()]
    }

    private static func kept(_ shape: [Int]) -> [Int] { [shape[0], 1, shape[2], shape[3]] }

    /// Σ π E[x|component], [B, C, H, W]: a conditioned channel with the means of those before it.
    public var mean: Tensor {
        get throws {
            let weights = try logWeights.exp()
            var conditioned = [means[0]]
            if !coefficients.isEmpty {
                let green = try means[1] + coefficients[0] * means[0]
                let blue = try means[2] + coefficients[1] * means[0] + coefficients[2] * green
                conditioned += [green, blue]
            }
            let channels = try conditioned.map {
                try (weights * $0).sum(axes: [1], keepingAxes: true)
            }
            return try (Tensor.concatenated(channels, axis: 1) * 0.5 + 0.5).clamped(to: 0...1)
        }
    }

    /// log Σ π Π_channels P(step of x | component), summed over pixels, [B].
    public func logProbability(of x: Tensor) throws -> Tensor {
        let step = try (x.clamped(to: 0...1) * 255).rounded()  // 0…255
        let scaled = try step * (2.0 / 255) - 1
        func channel(_ tensor: Tensor, _ index: Int) throws -> Tensor {
            try tensor.narrowed(axis: 1, start: index, length: 1)  // [B, 1, H, W]
        }
        let values = try means.indices.map { try channel(scaled, $0) }
        var total = logWeights
        for index in means.indices {
            var mean = means[index]
            if index == 1 { mean = try mean + coefficients[0] * values[0] }
            if index == 2 {
                mean = try mean + coefficients[1] * values[0] + coefficients[2] * values[1]
            }
            total =
                try total
                + Self.logMass(
                    values[index], step: try channel(step, index), mean: mean,
                    logScale: logScales[index])
        }
        return try total.logSumExp(axis: 1).sumPerItem()
    }

    /// log of the mass between the edges of a step, [B, K, H, W].
    private static func logMass(
        _ value: Tensor, step: Tensor, mean: Tensor, logScale: Tensor
    ) throws -> Tensor {
        let inverse = try (-logScale).exp()
        let centred = try value - mean
        let upper = try inverse * (centred + 1.0 / 255)
        let lower = try inverse * (centred - 1.0 / 255)
        // log σ(a) = -softplus(-a); log(1 - σ(b)) = -softplus(b).
        let belowUpper = try -((-upper).softplus())
        let aboveLower = try -(lower.softplus())
        let width = try inverse * (-2.0 / 255)  // lower - upper
        let inner = try belowUpper + aboveLower + (-(width.expMinusOne())).log()
        let isFirst = try (-step + 1).clamped(to: 0...1)
        let isLast = try (step - 254).clamped(to: 0...1)
        let isInner = try -(isFirst + isLast) + 1
        return try isFirst * belowUpper + isLast * aboveLower + isInner * inner
    }
}

struct LogisticMixtureFamily: LikelihoodFamily {
    var summary: String { "for the 256 steps of 8 bits" }

    func outputChannelCount(of channelCount: Int) -> Int {
        LogisticMixture.componentCount * (channelCount == 1 ? 3 : 10)
    }

    func distribution(of output: Tensor, logScale: Tensor) throws -> any Likelihood {
        try LogisticMixture(output)
    }

    var isDiscrete: Bool { true }
}
