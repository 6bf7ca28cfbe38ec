import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Importance-weighted bound") struct ImportanceWeightedTests {
    private struct File: Decodable {
        struct Importance: Decodable { let logs, bound: OracleArray }
        let importance: Importance
    }

    /// A model whose posterior is far from right: 2×2 windows, two latent dimensions.
    private struct Setting {
        let model: VAE
        let x: [Float] = [0.9, 0.2, 0.6, 0.4]

        init() throws {
            model = try VAE(
                .tiny(height: 2, width: 2, widths: [6], latentCount: 2), device: .cpu, seed: 11)
            model.sharedLogScale = log(0.02)
            // Stronger weights: a decoder that depends on z.
            for entry in model.parameters.entries where entry.path.hasPrefix("decoder.") {
                try entry.tensor.assign(withoutGradients { try entry.tensor * 2 })
            }
        }

        /// log p(x) by a sum over a grid of z.
        func logEvidence() throws -> Double {
            let (limit, step) = (7.0, 0.05)
            let axis = stride(from: -limit, through: limit, by: step).map { $0 }
            var total: [Double] = []
            for a in axis {
                let z = try Tensor(axis.flatMap { [Float(a), Float($0)] }, shape: [axis.count, 2])
                let x = try Tensor(self.x, shape: [1, 1, 2, 2]).repeatedInterleaved(axis.count)
                let logs = try withoutGradients {
                    try model.decode(z).logProbability(of: x).floats()
                }
                for (b, value) in zip(axis, logs) {
                    total.append(Double(value) - (a * a + b * b) / 2 - log(2 * .pi))
                }
            }
            return logSumExp(total) + 2 * log(step)
        }

        /// Mean and standard error of the bound over independent estimates of the same window.
        func bound(drawCount: Int, repeats: Int) throws -> (mean: Double, error: Double) {
            let batch = try model.batch([[Float]](repeating: x, count: repeats).flatMap { $0 })
            let values = try model.statistics(of: batch, drawCount: drawCount) { window, draws in
                draws.flatMap { draw in
                    var generator = Generator(
                        seed: 12, UInt64(drawCount), UInt64(window), UInt64(draw))
                    return generator.normals(2)
                }
            }.importanceBound
            let mean = values.reduce(0, +) / Double(repeats)
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(repeats - 1)
            return (mean, (variance / Double(repeats)).squareRoot())
        }
    }

    @Test("log-weights make the bound by a log-mean-exp, without overflow")
    func bound() throws {
        let oracle = try Fixtures.expected("objectives.json", as: File.self).importance
        let found = try ImportanceWeightedBound.bound(oracle.logs.tensor).floats()
        #expect(mismatch(found, oracle.bound.values, absolute: 1e-5, relative: 1e-6) == nil)
    }

    @Test("the loss is the mean of the windows' bounds, with log q - log p of each draw")
    func loss() throws {
        // Two windows, two draws each; densities by hand.
        let posterior = try Posterior.of(
            mean: [[1], [1], [-2], [-2]], logVariance: [[0], [0], [1], [1]])
        let z: [Float] = [1.5, 0, -1, -3]
        let layer = LatentLayer(
            posterior: posterior, z: try Tensor(z, shape: [4, 1]), prior: StandardNormal())
        let reconstruction: [Float] = [-3, -2.5, -1, -4]
        for klWeight in [1.0, 0.5] {
            var weights: [Double] = []
            for index in 0..<4 {
                let mean: Double = index < 2 ? 1 : -2
                let logVariance: Double = index < 2 ? 0 : 1
                let value = Double(z[index])
                let own = (value - mean) * (value - mean) / exp(logVariance) + logVariance
                let ratio = (value * value - own) / 2
                weights.append(exp(Double(reconstruction[index]) - klWeight * ratio))
            }
            let bounds = [log((weights[0] + weights[1]) / 2), log((weights[2] + weights[3]) / 2)]
            let expected = -(bounds[0] + bounds[1]) / 2
            let pass = try TrainingPass.of(
                [layer], reconstruction: reconstruction, drawCount: 2, klWeight: klWeight)
            let found = try ImportanceWeightedBound(drawCount: 2).loss(of: pass).item()
            #expect(abs(found - expected) < 1e-5)
        }
    }

    @Test("statistics have the bound of their draws, also decoded in chunks", arguments: [8, 64])
    func statistics(side: Int) throws {
        // Windows of 64×64 are decoded 32 draws of two at a time.
        let model = try VAE(
            .tiny(height: side, width: side, widths: [3], latentCount: 2), device: .cpu, seed: 5)
        model.sharedLogScale = 2
        var generator = Generator(seed: 15)
        let values = (0..<2 * side * side).map { _ in generator.uniform() }
        let drawCount = 150
        let noise = generator.normals(2 * drawCount * 2)
        var chunkCount = 0
        let found = try model.statistics(of: model.batch(values), drawCount: drawCount) {
            window, draws in
            chunkCount += window == 0 ? 1 : 0
            let first = window * drawCount
            return Array(noise[(first + draws.lowerBound) * 2..<(first + draws.upperBound) * 2])
        }.importanceBound
        #expect(chunkCount == (side == 8 ? 1 : 5))
        for window in 0..<2 {
            let x = try model.batch(
                Array(values[window * side * side..<(window + 1) * side * side]))
            let posterior = try model.posterior(of: x)
            let means = try posterior.mean.floats().map(Double.init)
            let variances = try posterior.logVariance.floats().map { exp(Double($0)) }
            var total = 0.0
            var reference = 0.0
            for draw in 0..<drawCount {
                var z: [Float] = []
                var ratio = 0.0  // log q - log p
                for dimension in 0..<2 {
                    let e = Double(noise[(window * drawCount + draw) * 2 + dimension])
                    let value = means[dimension] + variances[dimension].squareRoot() * e
                    z.append(Float(value))
                    ratio += (value * value - e * e - log(variances[dimension])) / 2
                }
                let log = try model.decode(Tensor(z, shape: [1, 2])).logProbability(of: x).item()
                if draw == 0 { reference = log - ratio }
                total += exp(log - ratio - reference)
            }
            let expected = reference + log(total / Double(drawCount))
            #expect(abs(found[window] - expected) < 1e-5 * abs(expected))
        }
    }

    @Test("of one draw it is the evidence lower bound on average")
    func single() throws {
        let setting = try Setting()
        let repeats = 4000
        let (mean, error) = try setting.bound(drawCount: 1, repeats: repeats)
        let other = try setting.model.statistics(
            of: setting.model.batch(setting.x), drawCount: repeats
        ) { _, draws in
            draws.flatMap { draw in
                var generator = Generator(seed: 13, UInt64(draw))
                return generator.normals(2)
            }
        }
        let elbo = other.reconstruction[0] - other.klDivergence[0]
        #expect(abs(mean - elbo) < 6 * error)
    }

    @Test("more draws tighten it, up to log p(x) by a sum over a grid")
    func tightness() throws {
        let setting = try Setting()
        let evidence = try setting.logEvidence()
        let one = try setting.bound(drawCount: 1, repeats: 4000)
        let five = try setting.bound(drawCount: 5, repeats: 2000)
        let fifty = try setting.bound(drawCount: 50, repeats: 1000)
        let many = try setting.bound(drawCount: 5000, repeats: 40)
        #expect(five.mean - one.mean > 5 * (one.error + five.error))
        #expect(fifty.mean - five.mean > 5 * (five.error + fifty.error))
        #expect(fifty.mean < evidence + 4 * fifty.error)
        #expect(abs(many.mean - evidence) < 4 * many.error + 0.01)
        #expect(many.error < 0.05)
    }
}
