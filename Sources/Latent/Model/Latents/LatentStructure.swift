import Torch

/// What lies between windows and decoded windows: how z is inferred, drawn and decoded.
///
/// z of all stochastic layers stands in one row, the top layer first: [N, D].
protocol LatentStructure {
    /// D, latent dimensions of all layers.
    var dimensionCount: Int { get }

    /// What the encoder makes of windows [B, C, H, W] in 0…1, whatever is drawn: rows B, the last the
    /// deepest.
    func features(of x: Tensor) throws -> [Tensor]

    /// Draws z ~ q(z|x) and decodes it.
    ///
    /// - Parameters:
    ///   - features: of x, as ``features(of:)`` gives them
    ///   - condition: one-hot labels [B, Y]
    ///   - noise: standard normal numbers [B·L, D], the draws of a window together
    ///   - drawCount: L
    ///   - change: how z departs from what the encoder says
    /// - Returns: the layers from the top, and the decoder's output, rows B·L
    /// - Throws: `TorchError` when the shapes do not fit
    func infer(
        _ features: [Tensor], condition: Tensor?, noise: Tensor, drawCount: Int,
        change: InferenceChange
    ) throws -> (layers: [LatentLayer], output: Tensor)

    /// q(z|x) of the top layer from the features of x, [B, D of the layer]: nothing is decoded.
    func topPosterior(_ features: [Tensor], condition: Tensor?) throws -> Posterior

    /// z ~ q(z|x) of all layers from the features of x and noise [B, D], decoded no further than a
    /// layer needs that is drawn given those above, [B, D].
    func latents(_ features: [Tensor], condition: Tensor?, noise: Tensor) throws -> Tensor

    /// Decodes z, [N, D] → [N, K, H, W].
    func output(of z: Tensor, condition: Tensor?) throws -> Tensor

    /// Draws z ~ p(z) from standard normal noise [N, D] and uniform numbers 0…1, [N].
    func prior(noise: Tensor, choices: [Float], condition: Tensor?) throws -> Tensor

    /// z with its top layer as it is and the layers below drawn from their priors by standard normal
    /// noise, or at their means without, [N, D].
    ///
    /// Of z and of noise, [N, D], what is of the layers it is not needed for is not looked at.
    func completed(_ z: Tensor, noise: Tensor?, condition: Tensor?) throws -> Tensor

    /// The same with what does not depend on the input computed once, for as long as the weights do
    /// not change.
    func settled() throws -> any LatentStructure

    /// Windows that parameters of the prior begin at; does nothing without such.
    var pseudoInputs: Tensor? { get }
}

extension LatentStructure {
    func settled() throws -> any LatentStructure { self }

    func latents(_ features: [Tensor], condition: Tensor?, noise: Tensor) throws -> Tensor {
        let layers = try infer(
            features, condition: condition, noise: noise, drawCount: 1, change: .init()
        ).layers
        return try Tensor.concatenated(layers.map(\.z), axis: 1)
    }

    func completed(_ z: Tensor, noise: Tensor?, condition: Tensor?) throws -> Tensor { z }
}

/// How an inference departs from what the encoder says of a window; by itself not at all.
struct InferenceChange {
    /// Added to the means of q(z|x), and to its log-variances: all layers in one row, [B, D].
    var shift: (mean: Tensor, logVariance: Tensor)?
    /// So many layers, from the lowest, are drawn from p(z|layers above) instead of q; the top layer
    /// never is.
    var priorLayerCount = 0

    /// The posterior of a layer whose latents stand at `range` in a row, shifted.
    ///
    /// - Parameters:
    ///   - posterior: rows B·L
    ///   - range: of the layer
    ///   - drawCount: L
    /// - Returns: the same shape, log-variances within their range
    /// - Throws: `TorchError` when the shapes do not fit
    func applied(
        to posterior: Posterior, at range: Range<Int>, drawCount: Int = 1
    ) throws -> Posterior {
        guard let shift else { return posterior }
        func part(_ tensor: Tensor) throws -> Tensor {
            let own = try tensor.narrowed(
                axis: 1, start: range.lowerBound, length: range.count)
            return drawCount > 1 ? try own.repeatedInterleaved(drawCount) : own
        }
        return Posterior(
            mean: try posterior.mean + part(shift.mean),
            logVariance: try (posterior.logVariance + part(shift.logVariance))
                .clamped(to: Posterior.logVarianceRange),
            isPoint: posterior.isPoint)
    }
}

/// One stochastic layer of an inference: what z was drawn from and what the prior says of it.
struct LatentLayer {
    /// q(z|x, layers above), rows as in z.
    let posterior: Posterior
    /// [N, D of the layer].
    let z: Tensor
    /// p(z|layers above).
    let prior: any LatentPrior

    /// KL(q ‖ p) of each row in nats, [N]: in closed form where there is one, else at the z drawn.
    func divergence() throws -> Tensor { try prior.divergence(from: posterior, at: z) }

    /// log q(z) - log p(z) at the z drawn, [N]; 0 for a point.
    func logRatio() throws -> Tensor {
        guard !posterior.isPoint else { return try posterior.klDivergence() }
        return try posterior.logProbability(of: z) - prior.logProbability(of: z)
    }
}

/// p(z) of a stochastic layer.
protocol LatentPrior {
    /// log p(z) of each row in nats, [N].
    func logProbability(of z: Tensor) throws -> Tensor

    /// KL(q ‖ p) of each row in nats, [N], or an estimate of it at z.
    func divergence(from posterior: Posterior, at z: Tensor) throws -> Tensor

    /// Draws z from standard normal noise [N, D] and uniform numbers [N].
    func sample(noise: Tensor, choices: [Float]) throws -> Tensor
}

/// N(0, I).
struct StandardNormal: LatentPrior {
    func logProbability(of z: Tensor) throws -> Tensor {
        let zero = try Tensor.zeros(shape: [], device: z.device)
        return try Posterior(mean: zero, logVariance: zero).elementLogProbability(of: z)
            .sumPerItem()
    }

    func divergence(from posterior: Posterior, at z: Tensor) throws -> Tensor {
        try posterior.klDivergence()
    }

    func sample(noise: Tensor, choices: [Float]) -> Tensor { noise }
}

/// A Gaussian with diagonal covariance for each row, as the layers above give it.
struct GaussianPrior: LatentPrior {
    /// [N, D].
    let parameters: Posterior

    func logProbability(of z: Tensor) throws -> Tensor { try parameters.logProbability(of: z) }

    func divergence(from posterior: Posterior, at z: Tensor) throws -> Tensor {
        try posterior.klDivergence(to: parameters)
    }

    func sample(noise: Tensor, choices: [Float]) throws -> Tensor {
        try parameters.sample(noise: noise)
    }
}
