import Foundation
import Torch

/// Likelihood regret: what the evidence lower bound of a window gains when its posterior is fitted to
/// it alone, in nats.
///
/// The encoder has learned good posteriors of windows like those of training, where little is to be
/// gained; the decoder stays as it is. Mean and log-variance of each latent dimension, of all layers,
/// are moved by Adam with a falling step, all windows of a batch at once: each for itself, so that the
/// result does not depend on the batch. Below 0 only where the steps did not find the way.
///
/// Source: Xiao, Yan & Amit, "Likelihood regret: an out-of-distribution detection score for
/// variational auto-encoder", NeurIPS 2020, equation 5. Differs: the parameters of the posterior are
/// moved (the alternative of their section 3) and not the encoder's weights; each step has a fresh
/// draw and its mirror image; both bounds are of the same L draws.
struct LikelihoodRegret: RequestedScore {
    /// Steps of Adam.
    let stepCount: Int

    /// Where none is asked for.
    static let defaultStepCount = 20
    static let stepCountRange = 1...10_000

    private static let learningRate = 0.2
    /// Nats per unit below which a slope moves in proportion: otherwise Adam would make full steps of
    /// the rounding of a slope of 0.
    private static let slopeFloor = 0.1

    func obstacle(_ configuration: VAEConfiguration) -> (message: String, hint: String)? {
        let objective = configuration.objective
        guard !objective.kind.objective(objective).boundsLikelihood else { return nil }
        return (
            "a model trained with --objective \(objective.kind.rawValue) has no bound for regret",
            "train with --objective vae, or use another --score"
        )
    }

    /// - Complexity: 2 decoder passes with gradients for each step, and as much as the statistics again
    func values(of batch: ScoredBatch) throws -> [Double] {
        let shift = try shift(batch)
        let fitted = try batch.model.statistics(
            of: batch.x, condition: batch.condition, drawCount: batch.drawCount,
            change: InferenceChange(shift: shift), noise: batch.noise
        ).scores[.elbo]
        return zip(batch.statistics.scores[.elbo] ?? [], fitted ?? []).map { $0 - $1 }
    }

    private func shift(_ batch: ScoredBatch) throws -> (mean: Tensor, logVariance: Tensor) {
        let model = batch.model
        let shape = [batch.x.shape[0], model.noiseCount]
        let mean = try Tensor.zeros(shape: shape, device: model.device)
        let logVariance = try Tensor.zeros(shape: shape, device: model.device)
        try mean.requireGradient()
        try logVariance.requireGradient()
        var settings = AdamW.Configuration()
        settings.epsilon = Self.slopeFloor
        let optimizer = try AdamW([mean, logVariance], configuration: settings)
        let change = InferenceChange(shift: (mean, logVariance))
        try model.withFixedWeights {
            for step in 0..<stepCount {
                let draw = batch.drawCount + step
                var noise: [Float] = []
                for window in 0..<shape[0] {
                    let half = batch.noise(window, draw..<draw + 1)
                    noise += half + half.map { -$0 }
                }
                let bound = try model.lowerBound(
                    of: batch.x, condition: batch.condition,
                    noise: Tensor(noise, shape: [2 * shape[0], shape[1]]).to(model.device),
                    drawCount: 2, change: change)
                try (-bound.sum()).backward()
                try optimizer.step(
                    learningRate: Self.learningRate
                        * 0.5 * (1 + cos(.pi * Double(step) / Double(stepCount))))
            }
        }
        return (try mean.detached(), try logVariance.detached())
    }
}
