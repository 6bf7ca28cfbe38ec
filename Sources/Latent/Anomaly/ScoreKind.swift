/// The figures that a file can be ranked by; for all of them larger is more anomalous.
public enum ScoreKind: String, Codable, Sendable, CaseIterable {
    /// -E[log p(x|z)] over L draws, in nats (An & Cho 2015).
    case reconstructionProbability = "reconstruction-probability"
    /// The negative evidence lower bound, in nats.
    case elbo
    /// KL(q(z|x) ‖ p(z)), in nats.
    case kl
    /// Mean squared error of the reconstruction.
    case mse
    /// The negative importance-weighted bound over L draws, in nats (Burda 2016).
    case iwBound = "iw-bound"
    /// The squared residual in units of what it is in training.
    case residual
    /// The squared Mahalanobis distance of the posterior mean.
    case latent
    /// The squared distance to the nearest training windows.
    case neighbours
    /// The smallest error of many small networks, each of normal windows that are alike.
    case mixture
    /// The squared error of what a network says of parts that it does not see, in units of what it is
    /// in training.
    case masked
    /// Several of the others as one.
    case ensemble
    /// What the lowest layer of a hierarchical model adds to the bound, in nats.
    case likelihoodRatio = "likelihood-ratio"
    /// What a posterior fitted to the file alone adds to the bound, in nats.
    case regret
    /// The negative log-likelihoods less what a compressor says of the file, in nats.
    case probabilityLessComplexity = "reconstruction-probability+complexity"
    case elboLessComplexity = "elbo+complexity"
    case iwBoundLessComplexity = "iw-bound+complexity"
    /// The negative log-likelihoods less the least that they can be of the file, in nats.
    case probabilityLessBias = "reconstruction-probability+bias"
    case elboLessBias = "elbo+bias"
    case iwBoundLessBias = "iw-bound+bias"
}

/// How the figures of an item's windows become one.
public enum Aggregate: String, Codable, Sendable, CaseIterable {
    /// The mean over the windows.
    case mean
    /// The largest.
    case max
    /// The mean of the largest tenth, at least one.
    case topTenth = "top-tenth"
    /// The mean of the largest hundredth, at least one: for small flaws among many windows.
    case topHundredth = "top-hundredth"

    /// One figure from those of the windows, of which there is at least one.
    public func callAsFunction(_ values: [Double]) -> Double {
        switch self {
        case .mean:
            return values.mean
        case .max:
            return values.max() ?? 0
        case .topTenth: return Self.meanOfLargest(values, share: 10)
        case .topHundredth: return Self.meanOfLargest(values, share: 100)
        }
    }

    private static func meanOfLargest(_ values: [Double], share: Int) -> Double {
        let count = Swift.max(1, values.count / share)
        return values.sorted(by: >).prefix(count).reduce(0, +) / Double(count)
    }
}
