import Foundation
import Torch

extension VAE {
    /// What draws of z say of each window of a batch; of all windows there are as many draws.
    public struct Statistics {
        /// What each draw says of one window, [L] each.
        struct Draws {
            /// log p(x|z) in nats.
            private(set) var logProbability: [Double] = []
            /// KL(q(z|x) ‖ p(z)) in nats.
            private(set) var divergence: [Double] = []
            /// Mean over elements of (x - E[x|z])².
            private(set) var squaredError: [Double] = []
            /// log p(x, z) / q(z|x) in nats.
            private(set) var logWeight: [Double] = []

            var count: Int { logProbability.count }

            mutating func append(
                logProbability: Float, divergence: Float, squaredError: Float, logRatio: Float
            ) {
                self.logProbability.append(Double(logProbability))
                self.divergence.append(Double(divergence))
                self.squaredError.append(Double(squaredError))
                logWeight.append(Double(logProbability) - Double(logRatio))
            }

            /// The figure of each draw whose mean a score is; empty for a score that is no mean.
            func values(of kind: ScoreKind) -> [Double] {
                switch kind {
                case .reconstructionProbability: logProbability.map { -$0 }
                case .elbo: zip(divergence, logProbability).map { $0 - $1 }
                case .kl: divergence
                case .mse: squaredError
                default: []
                }
            }

            mutating func append(_ later: Draws) {
                logProbability += later.logProbability
                divergence += later.divergence
                squaredError += later.squaredError
                logWeight += later.logWeight
            }
        }

        /// Those of each window.
        let draws: [Draws]
        /// The mean of q(z|x) of the top layer, [B, D].
        public let posteriorMean: Tensor
        /// Mean over the draws of E[x|z], [B, C·H·W].
        public let reconstructed: Tensor

        /// Mean over the draws of log p(x|z), in nats, [B]: the reconstruction probability.
        public var reconstruction: [Double] { draws.map { $0.logProbability.mean } }
        /// KL(q(z|x) ‖ p(z)) in nats, a mean over the draws where it has no closed form, [B].
        public var klDivergence: [Double] { draws.map { $0.divergence.mean } }
        /// Mean over draws and elements of (x - E[x|z])², [B].
        public var meanSquaredError: [Double] { draws.map { $0.squaredError.mean } }
        /// log (1/L) Σ p(x, z) / q(z|x) in nats, [B]: the importance-weighted bound (Burda 2016).
        public var importanceBound: [Double] {
            draws.map { logSumExp($0.logWeight) - log(Double($0.count)) }
        }
    }
}

extension VAE.Statistics {
    /// A window of a batch that draws were taken for.
    struct Row {
        let statistics: VAE.Statistics
        let index: Int

        var draws: Draws { statistics.draws[index] }
    }

    /// Windows of any batches as one batch, in their order; at least one, with as many draws each.
    init(joining rows: [Row]) throws {
        self.init(
            draws: rows.map(\.draws),
            posteriorMean: try Tensor.concatenated(
                rows.map {
                    try $0.statistics.posteriorMean.narrowed(axis: 0, start: $0.index, length: 1)
                }),
            reconstructed: try Tensor.concatenated(
                rows.map {
                    try $0.statistics.reconstructed.narrowed(axis: 0, start: $0.index, length: 1)
                }))
    }

    /// The same windows with further draws.
    func appending(_ later: VAE.Statistics) throws -> VAE.Statistics {
        let (count, added) = (draws[0].count, later.draws[0].count)
        let share = Double(added) / Double(count + added)
        return VAE.Statistics(
            draws: zip(draws, later.draws).map { earlier, later in
                var all = earlier
                all.append(later)
                return all
            }, posteriorMean: posteriorMean,
            reconstructed: try reconstructed * (1 - share) + later.reconstructed * share)
    }
}
