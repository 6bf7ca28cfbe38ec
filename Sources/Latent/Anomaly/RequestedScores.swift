import Torch

extension ScoreKind {
    /// Whether it is computed only when it is asked for, and so calibrated only then.
    public var isRequested: Bool { requested(regretStepCount: 1) != nil }

    /// Whether it is fitted to the training files, as for models that detect.
    var isFitted: Bool { self == .ensemble || FittedScores.kinds.contains(self) }

    /// How it is computed; nil for those that every scoring gives.
    func requested(regretStepCount: Int) -> (any RequestedScore)? {
        switch self {
        case .likelihoodRatio: LikelihoodRatio()
        case .regret: LikelihoodRegret(stepCount: regretStepCount)
        case .probabilityLessComplexity:
            CorrectedScore(kind: .reconstructionProbability, correction: InputComplexity())
        case .elboLessComplexity: CorrectedScore(kind: .elbo, correction: InputComplexity())
        case .iwBoundLessComplexity: CorrectedScore(kind: .iwBound, correction: InputComplexity())
        case .probabilityLessBias:
            CorrectedScore(kind: .reconstructionProbability, correction: LikelihoodBias())
        case .elboLessBias: CorrectedScore(kind: .elbo, correction: LikelihoodBias())
        case .iwBoundLessBias: CorrectedScore(kind: .iwBound, correction: LikelihoodBias())
        case .reconstructionProbability, .elbo, .kl, .mse, .iwBound, .residual, .latent,
            .neighbours, .mixture, .masked, .ensemble:
            nil
        }
    }

    /// Refuses a score that a model of this shape does not have.
    ///
    /// - Throws: ``LatentError`` `.usage`
    func check(_ configuration: VAEConfiguration, path: String? = nil) throws(LatentError) {
        guard let obstacle = requested(regretStepCount: 1)?.obstacle(configuration) else { return }
        throw LatentError(.usage, path: path, obstacle.message, hint: obstacle.hint)
    }
}

/// The scores of a model that were asked for, by kind.
struct RequestedScores {
    private let scores: [ScoreKind: any RequestedScore]

    /// Takes those of `kinds` that have to be asked for.
    ///
    /// - Throws: ``LatentError`` `.usage` for one that the model does not have
    init(
        _ kinds: Set<ScoreKind>, of configuration: VAEConfiguration, regretStepCount: Int
    ) throws(LatentError) {
        var scores: [ScoreKind: any RequestedScore] = [:]
        for kind in kinds {
            try kind.check(configuration)
            scores[kind] = kind.requested(regretStepCount: regretStepCount)
        }
        self.scores = scores
    }

    /// The scores of a batch of windows, by kind, [B] each.
    func values(of batch: ScoredBatch) throws -> [ScoreKind: [Double]] {
        try scores.mapValues { try $0.values(of: batch) }
    }
}

extension VAE.Statistics {
    /// The scores that need nothing else, by kind, [B] each.
    var scores: [ScoreKind: [Double]] {
        [
            .reconstructionProbability: reconstruction.map { -$0 },
            .elbo: zip(klDivergence, reconstruction).map { $0 - $1 },
            .kl: klDivergence, .mse: meanSquaredError, .iwBound: importanceBound.map { -$0 },
        ]
    }
}
