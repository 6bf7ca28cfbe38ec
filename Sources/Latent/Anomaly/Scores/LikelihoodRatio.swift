import Torch

/// LLR^{>k}: the importance-weighted bound less the bound without the k lowest layers of latents, in
/// nats.
///
/// In the second bound those layers are drawn from their priors p(z|layers above) and not from the
/// posterior. What the lowest layers add of a normal window is little, as the layers above know what
/// it is of; of another window they have to say everything, as they can of any texture.
///
/// Source: Havtorn et al., "Hierarchical VAEs know what they don't know", ICML 2021, equations 8 and
/// 11. k is 1, as there by default. Differs: both bounds are of the same L draws of the upper layers,
/// so that their noise cancels, and with k = 0 the score is 0; the lowest layers are drawn, not set to
/// the modes of their priors as in the published code.
struct LikelihoodRatio: RequestedScore {
    /// k.
    var priorLayerCount = 1

    func obstacle(_ configuration: VAEConfiguration) -> (message: String, hint: String)? {
        guard configuration.layerCount < 2 else { return nil }
        return (
            "the score likelihood-ratio is of hierarchical models, this one has one layer of latents",
            "train with --layers 2 to 5, or use another --score"
        )
    }

    /// - Complexity: as much as the statistics again
    func values(of batch: ScoredBatch) throws -> [Double] {
        let bound = try batch.model.statistics(
            of: batch.x, condition: batch.condition, drawCount: batch.drawCount,
            change: InferenceChange(priorLayerCount: priorLayerCount), noise: batch.noise
        ).importanceBound
        return zip(batch.statistics.importanceBound, bound).map { $0 - $1 }
    }
}
