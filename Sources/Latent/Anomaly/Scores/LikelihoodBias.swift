import Torch

/// The least that -log p(x|z) can be for a window, in nats, whatever the decoder gives.
///
/// A likelihood on 0…1 that is high at the ends even for a perfect reconstruction prefers dark and
/// light pixels to grey ones; the correction leaves what the reconstruction lacks. Gaussian, Laplace
/// and Student's t of free locations reach the same for every x, and a logistic mixture nearly so:
/// they have no such bias.
///
/// Source: Chauhan et al., "Robust outlier detection by de-biasing VAE likelihoods", CVPR 2022,
/// section 3.1. Values are kept within 0.001…0.999 as there, as the density of a continuous Bernoulli
/// has no largest value at the ends. Their correction of other likelihoods by means over the training
/// pixels of each value, and contrast stretching of the files, are left out.
struct LikelihoodBias: LikelihoodCorrection {
    func obstacle(_ configuration: VAEConfiguration) -> (message: String, hint: String)? {
        guard configuration.likelihood.family.bestLogProbability(of: 0.5) == nil else { return nil }
        return (
            "the likelihood \(configuration.likelihood.rawValue) has no bias to correct: a perfect "
                + "reconstruction is as likely of one file as of another",
            "leave +bias out, or train with --likelihood continuous-bernoulli or bernoulli"
        )
    }

    func cost(of batch: ScoredBatch) throws -> [Double] {
        let family = batch.model.configuration.likelihood.family
        // One value for each step of 1/1000, as values come from few steps.
        let best = (1...999).map { family.bestLogProbability(of: Double($0) / 1000) ?? 0 }
        let values = try batch.x.floats()
        let count = batch.model.configuration.elementCount
        return (0..<batch.x.shape[0]).map { window in
            values[window * count..<(window + 1) * count].reduce(0) { sum, value in
                sum - best[min(max(Int((value * 1000).rounded()), 1), 999) - 1]
            }
        }
    }
}
