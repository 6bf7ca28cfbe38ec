import Torch

/// A batch of windows, the model that it was run through, and what came of it.
struct ScoredBatch {
    let model: VAE
    /// [B, C, H, W].
    let x: Tensor
    /// One-hot labels, [B, Y], of a conditional model.
    let condition: Tensor?
    /// L.
    let drawCount: Int
    /// Standard normal numbers [draws, D] of a window for some of its draws.
    ///
    /// Those of 0..<L gave the statistics, any beyond are fresh.
    let noise: (_ window: Int, _ draws: Range<Int>) -> [Float]
    /// What L draws say of each window.
    let statistics: VAE.Statistics
}

/// A score that runs the model again, or costs as much otherwise: computed only when it is asked for.
///
/// One more is one more file in `Scores/`, its case in ``ScoreKind``, its line in
/// ``RequestedScores`` and a test.
protocol RequestedScore {
    /// Why a model of this shape has no such score, and what to do; nil where it has one.
    func obstacle(_ configuration: VAEConfiguration) -> (message: String, hint: String)?

    /// The score of each window in nats, [B]; larger is more anomalous.
    func values(of batch: ScoredBatch) throws -> [Double]
}

/// What is subtracted from a negative log-likelihood, because any model has to pay it for x.
///
/// Of a difference of two likelihoods of the same x it would cancel: `likelihood-ratio` and `regret`
/// have no corrections.
protocol LikelihoodCorrection {
    /// Why it says nothing of a model of this shape, and what to do; nil where it does.
    func obstacle(_ configuration: VAEConfiguration) -> (message: String, hint: String)?

    /// Nats of each window, [B].
    func cost(of batch: ScoredBatch) throws -> [Double]
}

/// A negative log-likelihood less a correction.
struct CorrectedScore: RequestedScore {
    let kind: ScoreKind
    let correction: any LikelihoodCorrection

    func obstacle(_ configuration: VAEConfiguration) -> (message: String, hint: String)? {
        correction.obstacle(configuration)
    }

    func values(of batch: ScoredBatch) throws -> [Double] {
        let plain = batch.statistics.scores[kind] ?? []
        return zip(plain, try correction.cost(of: batch)).map { $0 - $1 }
    }
}
