import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("GaussianMixture") struct GaussianMixtureTests {
    init() { _ = Runtime.threadCount }

    private struct Expected: Decodable {
        let weights, means, factors, mean, log_variance, bound, expected: OracleArray
        let fitted_mean, fitted_covariance, noise, draws: OracleArray

        static func read() throws -> Expected { try Fixtures.expected("density.json") }

        func posterior() throws -> Posterior {
            Posterior(
                mean: try Tensor(mean.values, shape: mean.shape),
                logVariance: try Tensor(log_variance.values, shape: log_variance.shape))
        }

        func mixture() throws -> GaussianMixture {
            try #require(
                GaussianMixture(
                    weights: weights.values, means: means.values, factors: factors.values,
                    dimensionCount: 4))
        }
    }

    @Test("the bound of the expected log-density is that of PyTorch's Gaussians")
    func bound() throws {
        let expected = try Expected.read()
        let found = try expected.mixture().expectedLogDensity(of: expected.posterior())
        #expect(mismatch(found, expected.bound.values, relative: 1e-5) == nil)
    }

    @Test("a draw is the mean and the factor times the noise of the component that was chosen")
    func draws() throws {
        let expected = try Expected.read()
        let mixture = try expected.mixture()
        let found =
            mixture.sample(noise: expected.noise.values[..<4], choice: 0.6)
            + mixture.sample(noise: expected.noise.values[4...], choice: 0.9)
        #expect(mismatch(found, expected.draws.values, absolute: 1e-6, relative: 1e-5) == nil)
        // A choice of 1 never comes, but rounding may add up to less than it.
        #expect(
            mixture.sample(noise: [0, 0, 0, 0], choice: 1) == Array(expected.means.values.suffix(4))
        )
    }

    @Test("a single component has the mean, and the covariance of draws shrunk to what is expected")
    func single() throws {
        let expected = try Expected.read()
        var generator = Generator(seed: 1)
        let mixture = try GaussianMixture(
            fittedTo: expected.posterior(), componentCount: 1,
            expected: Tensor(expected.expected.values, shape: [4, 4]), using: &generator)
        #expect(mismatch(mixture.means, expected.fitted_mean.values, absolute: 1e-5) == nil)
        let factor = try Tensor(mixture.factors, shape: [4, 4])
        let covariance = try factor.matmul(factor.transposed(0, 1)).floats()
        #expect(mismatch(covariance, expected.fitted_covariance.values, absolute: 1e-5) == nil)
    }

    @Test("components that lie apart are found, with their shares")
    func recovery() throws {
        var generator = Generator(seed: 5)
        let centres: [[Float]] = [[-6, 0], [6, 1], [0, 8]]
        var points: [Float] = []
        for index in 0..<600 {
            let centre = centres[index % 6 < 3 ? 0 : index % 6 < 5 ? 1 : 2]
            let noise = generator.normals(2)
            points += [centre[0] + noise[0], centre[1] + 0.5 * noise[1]]
        }
        let points2 = try Tensor(points, shape: [600, 2])
        let mixture = try GaussianMixture(
            fittedTo: Posterior(mean: points2, logVariance: points2, isPoint: true),
            componentCount: 3, expected: Tensor([1, 0, 0, 1], shape: [2, 2]), using: &generator)
        let order = (0..<3).sorted { mixture.weights[$0] > mixture.weights[$1] }
        for (component, (centre, share)) in zip(
            order, zip(centres, [1 / 2, 1 / 3, 1 / 6] as [Float]))
        {
            #expect(abs(mixture.weights[component] - share) < 0.01)
            #expect(
                mismatch(
                    Array(mixture.means[component * 2..<component * 2 + 2]), centre, absolute: 0.3)
                    == nil)
        }
    }

    @Test("a fit that starts at a mixture ends where its likelihood is no lower")
    func refined() throws {
        var generator = Generator(seed: 5)
        let points = try Tensor(
            (0..<500).flatMap { index in
                generator.normals(2).map { $0 * 0.4 + Float(index % 5) * 2 }
            }, shape: [500, 2])
        let all = Posterior(mean: points, logVariance: points, isPoint: true)
        let part = try points.narrowed(axis: 0, start: 0, length: 300)
        let expected = try Tensor([1, 0, 0, 1], shape: [2, 2])
        let start = try GaussianMixture(
            fittedTo: Posterior(mean: part, logVariance: part, isPoint: true), componentCount: 5,
            expected: expected, using: &generator)
        let refined = try GaussianMixture(
            fittedTo: all, startingAt: start, expected: expected)
        func level(_ mixture: GaussianMixture) throws -> Double {
            try mixture.expectedLogDensity(of: all).map(Double.init).meanAndDeviation.mean
        }
        #expect(refined != start && refined.weights.count == 5)
        #expect(try level(refined) >= level(start))
        // What starts where it ends stays there.
        let again = try GaussianMixture(fittedTo: all, startingAt: refined, expected: expected)
        #expect(abs(try level(again) - level(refined)) < 0.01)
    }

    @Test("numbers that do not fit together are no mixture")
    func broken() {
        func make(_ weights: [Float], _ means: [Float], _ factors: [Float]) -> GaussianMixture? {
            GaussianMixture(weights: weights, means: means, factors: factors, dimensionCount: 1)
        }
        #expect(make([0.5, 0.5], [1, 2], [1, 1]) != nil)
        #expect(make([], [], []) == nil)
        #expect(make([0.5, 0.5], [1], [1, 1]) == nil)
        #expect(make([0.5, 0.5], [1, 2], [1]) == nil)
        #expect(make([0.5, 0.2], [1, 2], [1, 1]) == nil)
        #expect(make([1.5, -0.5], [1, 2], [1, 1]) == nil)
        #expect(make([.nan, 1], [1, 2], [1, 1]) == nil)
        #expect(make([0.5, 0.5], [1, .infinity], [1, 1]) == nil)
        #expect(make([0.5, 0.5], [1, 2], [1, .nan]) == nil)
    }
}

@Suite("LatentDensity") struct LatentDensityTests {
    init() { _ = Runtime.threadCount }

    private static func file(labels: [String]) throws -> ModelFile {
        let model = try VAE(
            .tiny(height: 32, width: 32, likelihood: .bernoulli), device: .cpu, seed: 8)
        return try .tiny(model, .whole(height: 32, width: 32), labels: labels)
    }

    /// The density of shapes under a model with initial weights.
    static func fitted(_ file: ModelFile, items: [Item]) throws -> LatentDensity? {
        let groups = LatentDensity.groups(of: file.record)
        return try LabelledPosteriors(
            of: WindowSource(
                Survey(of: items, domain: .image, threadCount: 1) { _, _ in }.items,
                preprocessing: file.record.preprocessing, threadCount: 1, conditioning: nil),
            by: file.model(on: .cpu), labels: groups
        ).flatMap { try LatentDensity(fittedTo: $0, groups: groups, seed: 3) }
    }

    @Test("each class has a mixture, about the mean of its posteriors")
    func classes() throws {
        let items = try fixtureItems("images/shapes", .image)
        let labels = Set(items.compactMap(\.label)).sorted()
        let file = try Self.file(labels: labels)
        let density = try #require(try Self.fitted(file, items: items))
        #expect(density.mixtures.count == 3)
        let model = try file.model(on: .cpu)
        for (label, mixture) in zip(labels, density.mixtures) {
            let mixture = try #require(mixture)
            let own = items.filter { $0.label == label }
            let values = try own.flatMap {
                try file.record.preprocessing.windows(ofFile: $0.path, gate: LargeFileGate())
                    .values(0..<1)
            }
            let mean = try model.posterior(of: model.batch(values)).mean.mean(axes: [0]).floats()
            // The mean of a mixture is that of what it was fitted to.
            for column in 0..<3 {
                let found = mixture.weights.indices.reduce(Float(0)) {
                    $0 + mixture.weights[$1] * mixture.means[$1 * 3 + column]
                }
                #expect(abs(found - mean[column]) < 0.02)
            }
        }
    }

    @Test("a class without files has none, and a model file gives back what it was given")
    func roundTrip() throws {
        let items = try fixtureItems("images/shapes", .image).filter { $0.label != "square" }
        var file = try Self.file(labels: ["disc", "square", "triangle"])
        #expect(try LatentDensity(file) == nil)
        #expect(!file.hasDensity)
        let density = try #require(try Self.fitted(file, items: items))
        #expect(density.mixtures.map { $0 != nil } == [true, false, true])
        file.weights.merge(density.tensors()) { $1 }
        let read = try ModelFile(decoding: file.encoded())
        #expect(read.hasDensity)
        #expect(try LatentDensity(read) == density)
        #expect(throws: Never.self) { try read.model(on: .cpu) }
    }

    @Test("a file whose numbers do not fit is refused")
    func broken() throws {
        let items = try fixtureItems("images/shapes", .image)
        var file = try Self.file(labels: ["disc", "square", "triangle"])
        let density = try #require(try Self.fitted(file, items: items))
        file.weights.merge(density.tensors()) { $1 }
        func changed(_ name: String, _ values: [Float]?) -> ModelFile {
            var other = file
            let path = "density.\(name)"
            other.weights[path] = values.map { HostTensor(shape: [$0.count], values: $0) }
            return other
        }
        for other in [
            changed("0.weights", [7]), changed("0.means", nil), changed("0.means", [1]),
            changed("1.factors", [.nan]), changed("3.means", [1]),
        ] {
            let error = try #require(throws: LatentError.self) { try LatentDensity(other) }
            #expect(error.code == .model)
        }
    }
}
