import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("LatentFlow") struct LatentFlowTests {
    init() { _ = Runtime.threadCount }

    private struct File: Decodable {
        struct Case: Decodable {
            let dimensions, width, layers, labels: Int
            let tensors: [String: OracleArray]
            let z, u, log_determinant, log_density, noise, draws: OracleArray
            let codes: [Int]
        }
        let cases: [Case]
    }

    /// A flow over so many dimensions.
    private static func configuration(
        _ dimensionCount: Int, layerCount: Int = 5, width: Int = 128, groupCount: Int = 1
    ) -> FlowConfiguration {
        var configuration = FlowConfiguration(
            dimensionCount: dimensionCount, stepCount: 10,
            windowCounts: [Int](repeating: 1, count: groupCount))
        configuration.layerCount = layerCount
        configuration.width = width
        return configuration
    }

    /// A flow with drawn weights.
    private static func drawn(
        _ dimensionCount: Int, layerCount: Int = 5, width: Int = 32, classes: [String] = [],
        size: Float = 0.4
    ) throws -> LatentFlow {
        var generator = Generator(seed: 9)
        let flow = try LatentFlow(
            configuration(
                dimensionCount, layerCount: layerCount, width: width,
                groupCount: max(1, classes.count)),
            groups: classes.isEmpty ? nil : Conditioning(classes: classes),
            location: [Float](repeating: 0.5, count: dimensionCount),
            scale: [Float](repeating: 1.5, count: dimensionCount), seed: 3)
        for entry in flow.parameters.entries {
            try entry.tensor.assign(
                Tensor(
                    generator.normals(entry.tensor.count).map { size * $0 },
                    shape: entry.tensor.shape))
        }
        return flow
    }

    /// Points without width, of one class or of several.
    private static func points(
        _ values: [Float], dimensionCount: Int, groups: [Int]? = nil
    ) throws -> LabelledPosteriors {
        let count = values.count / dimensionCount
        let z = try Tensor(values, shape: [count, dimensionCount])
        return try LabelledPosteriors(
            Posterior(mean: z, logVariance: z, isPoint: true),
            groups: groups ?? [Int](repeating: 0, count: count))
    }

    @Test("densities and draws are those of a loop over dimensions")
    func oracle() throws {
        let cases = try Fixtures.expected("flow.json", as: File.self).cases
        #expect(cases.count == 3)
        for expected in cases {
            let classes = (0..<expected.labels).map { "class \($0)" }
            let flow = try LatentFlow(
                Self.configuration(
                    expected.dimensions, layerCount: expected.layers, width: expected.width,
                    groupCount: max(1, classes.count)),
                groups: classes.isEmpty ? nil : Conditioning(classes: classes),
                location: try #require(expected.tensors["flow.location"]).values,
                scale: try #require(expected.tensors["flow.scale"]).values, seed: 0)
            #expect(flow.parameters.entries.count == expected.tensors.count - 2)
            try flow.parameters.load(
                expected.tensors.mapValues { HostTensor(shape: $0.shape, values: $0.values) })
            let codes = expected.codes.map { [$0] }
            let labels = try flow.labels(codes)
            let (u, logDeterminant) = try flow.normalised(expected.z.tensor, labels: labels)
            #expect(
                try mismatch(u.floats(), expected.u.values, absolute: 1e-4, relative: 1e-4) == nil)
            #expect(
                try mismatch(
                    logDeterminant.floats(), expected.log_determinant.values, absolute: 1e-4) == nil
            )
            #expect(
                try mismatch(
                    flow.logDensity(of: expected.z.tensor, labels: labels).floats(),
                    expected.log_density.values, absolute: 1e-3, relative: 1e-5) == nil)
            // Of wider rows of noise the first numbers count.
            let rows = expected.noise.shape[0]
            let noise = (0..<rows).flatMap {
                expected.noise.values[$0 * expected.dimensions..<($0 + 1) * expected.dimensions]
                    + [7, 8]
            }
            let draws = try flow.draws(
                codes: codes.isEmpty ? [[Int]](repeating: [], count: rows) : codes, noise: noise,
                noiseCount: expected.dimensions + 2)
            #expect(
                try mismatch(
                    draws.floats(), expected.draws.values, absolute: 1e-3, relative: 1e-5) == nil)
        }
    }

    @Test("no dimension depends on one behind it", arguments: [(1, 4), (2, 16), (5, 20), (6, 4)])
    func triangular(dimensionCount: Int, width: Int) throws {
        for isReversed in [false, true] {
            let parameters = Parameters(device: .cpu, generator: Generator(seed: 2))
            let layer = try AutoregressiveLayer(
                parameters.root, dimensionCount: dimensionCount, width: width, labelCount: 0,
                isReversed: isReversed)
            var generator = Generator(seed: 4)
            for entry in parameters.entries {
                try entry.tensor.assign(
                    Tensor(generator.normals(entry.tensor.count), shape: entry.tensor.shape))
            }
            let x = generator.normals(dimensionCount)
            func u(_ x: [Float]) throws -> [Float] {
                try layer(Tensor(x, shape: [1, dimensionCount]), labels: nil).u.floats()
            }
            let before = try u(x)
            var dependencies = 0
            for place in 0..<dimensionCount {
                var moved = x
                moved[place] += 3
                let after = try u(moved)
                #expect(after[place] != before[place])
                for other in 0..<dimensionCount where other != place {
                    let isBehind = isReversed ? other < place : other > place
                    if !isBehind { #expect(after[other] == before[other]) }
                    if isBehind, after[other] != before[other] { dependencies += 1 }
                }
            }
            #expect((dependencies > 0) == (dimensionCount > 1))
        }
    }

    @Test("a way there and back leads to where it began", arguments: [1, 2, 16])
    func roundTrip(dimensionCount: Int) throws {
        let flow = try Self.drawn(
            dimensionCount, classes: ["a", "b"], size: dimensionCount > 2 ? 0.2 : 0.4)
        var generator = Generator(seed: 6)
        let shape = [12, dimensionCount]
        let z = generator.normals(12 * dimensionCount)
        let labels = try flow.labels((0..<12).map { [$0 % 2] })
        let u = try flow.normalised(Tensor(z, shape: shape), labels: labels).u
        #expect(try mismatch(u.floats(), z, absolute: 0.1) != nil)
        #expect(
            try mismatch(flow.latents(of: u, labels: labels).floats(), z, absolute: 2e-3) == nil)
        let back = try flow.normalised(
            flow.latents(of: Tensor(z, shape: shape), labels: labels), labels: labels
        ).u
        #expect(try mismatch(back.floats(), z, absolute: 2e-3) == nil)
    }

    @Test("the density of the plane is 1 in all, of each class")
    func integral() throws {
        let flow = try Self.drawn(2, layerCount: 3, classes: ["a", "b"], size: 0.2)
        let (side, step) = (600, 0.1)
        let axis = (0..<side).map { Float(step * (Double($0) - Double(side - 1) / 2)) }
        let z = try Tensor(
            axis.flatMap { a in axis.flatMap { [a, $0] } }, shape: [side * side, 2])
        for code in [0, 1] {
            let labels = try flow.labels([[Int]](repeating: [code], count: side * side))
            let total = try withoutGradients {
                try flow.logDensity(of: z, labels: labels).exp().sum().item()
            }
            #expect(abs(total * step * step - 1) < 0.01)
        }
    }

    /// Two half circles that reach into each other.
    private static func moons(_ count: Int, seed: UInt64) -> [Float] {
        var generator = Generator(seed: seed)
        return (0..<count).flatMap { index -> [Float] in
            let angle = Float.pi * generator.uniform()
            let noise = generator.normals(2).map { 0.1 * $0 }
            let place =
                index % 2 == 0 ? [cos(angle), sin(angle)] : [1 - cos(angle), 0.5 - sin(angle)]
            return [place[0] + noise[0], place[1] + noise[1]]
        }
    }

    @Test(
        "of two moons, points left out are likelier than under one Gaussian; the same seed gives the same"
    )
    func moons() throws {
        let training = try Self.points(Self.moons(600, seed: 1), dimensionCount: 2)
        var told: [(Int, Int)] = []
        func fitted() throws -> LatentFlow {
            try #require(
                try LatentFlow.fitted(to: training, groups: nil, stepCount: 400, seed: 5) {
                    told.append(($0, $1))
                })
        }
        let flow = try fitted()
        #expect(flow.configuration.windowCounts == [600])
        #expect((100...400).contains(flow.configuration.keptStepCount))
        // A trial, and then as many steps as helped, each counted from 0.
        let kept = flow.configuration.keptStepCount
        let second = try #require(told.lastIndex { $0.0 == 0 })
        #expect(told[..<second].map(\.0) == Array(0..<second))
        #expect(told[..<second].allSatisfy { $0.1 == 400 })
        #expect(told[second...].map(\.0) == Array(0..<kept))
        #expect(told[second...].allSatisfy { $0.1 == kept })

        let test = try Tensor(Self.moons(1000, seed: 2), shape: [1000, 2])
        var generator = Generator(seed: 0)
        let gaussian = try GaussianMixture(
            fittedTo: training.posterior, componentCount: 1,
            expected: Tensor([0.5, 0, 0, 0.25], shape: [2, 2]), using: &generator)
        let level = try gaussian.expectedLogDensity(
            of: Posterior(mean: test, logVariance: test, isPoint: true)
        ).map(Double.init).meanAndDeviation.mean
        let found = try flow.logDensity(of: test, labels: nil).mean().item()
        #expect(found > level + 0.3, "\(found) against \(level)")

        try flow.compare(
            on: Self.points(Self.moons(1000, seed: 2), dimensionCount: 2),
            with: LatentDensity(mixtures: [gaussian]), seed: 5)
        #expect(abs(try #require(flow.configuration.heldOutNats) - found) < 1e-4)
        #expect(abs(try #require(flow.configuration.mixtureHeldOutNats) - level) < 1e-4)
        #expect(flow.configuration.sentence.contains(" of 400 steps; held out -"))

        #expect(try fitted().tensors() == flow.tensors())
    }

    @Test("draws of a class lie where its points do, and one without points is known as such")
    func classes() throws {
        var generator = Generator(seed: 8)
        let centres: [[Float]] = [[-4, 0, 1], [3, 2, -1]]
        let groups = (0..<200).map { $0 % 2 }
        let values = groups.flatMap { group in
            zip(centres[group], generator.normals(3)).map { $0 + 0.3 * $1 }
        }
        let flow = try #require(
            try LatentFlow.fitted(
                to: Self.points(values, dimensionCount: 3, groups: groups),
                groups: Conditioning(classes: ["a", "b", "c"]), stepCount: 400, seed: 1
            ) { _, _ in })
        #expect(flow.configuration.windowCounts == [100, 100, 0])
        for (code, centre) in centres.enumerated() {
            let draws = try flow.draws(
                codes: [[Int]](repeating: [code], count: 200), noise: generator.normals(600),
                noiseCount: 3)
            let found = try draws.mean(axes: [0]).floats()
            #expect(mismatch(found, centre, absolute: 0.25) == nil, "\(found)")
        }
        // Held-out windows of a class that was not fitted to are left out.
        try flow.compare(
            on: Self.points([9, 9, 9], dimensionCount: 3, groups: [2]), with: nil, seed: 0)
        #expect(flow.configuration.heldOutNats == nil)
        #expect(!flow.configuration.sentence.contains("held out"))
    }

    @Test("posteriors are fitted with their width")
    func width() throws {
        let latents = try LabelledPosteriors(
            Posterior(
                mean: Tensor.zeros(shape: [50, 1]),
                logVariance: Tensor.full(log(4), shape: [50, 1])),
            groups: [Int](repeating: 0, count: 50))
        let flow = try #require(
            try LatentFlow.fitted(to: latents, groups: nil, stepCount: 40, seed: 1) { _, _ in })
        let level = try flow.logDensity(of: Tensor([0], shape: [1, 1]), labels: nil).item()
        #expect(abs(level + 0.5 * log(2 * .pi) + log(2)) < 0.1)
    }

    @Test("what is too little, or does not vary, gives no flow or one that can be drawn from")
    func little() throws {
        func fitted(_ values: [Float]) throws -> LatentFlow? {
            try LatentFlow.fitted(
                to: Self.points(values, dimensionCount: 2), groups: nil, stepCount: 20, seed: 1
            ) { _, _ in }
        }
        #expect(try fitted([1, 2, 3, 4, 5, 6, 7, 8]) == nil)
        let constant = try #require(try fitted([Float](repeating: 3, count: 20)))
        let draws = try constant.draws(codes: [[]], noise: [1, -1], noiseCount: 2).floats()
        #expect(mismatch(draws, [3, 3], absolute: 0.05) == nil)
    }

    @Test("a model file gives back what it was given, and one whose numbers do not fit is refused")
    func modelFile() throws {
        let classes = ["ant", "bee"]
        let model = try VAE(.tiny(likelihood: .bernoulli), device: .cpu, seed: 8)
        var file = try ModelFile.tiny(model, .whole(), labels: classes)
        #expect(try LatentFlow(file) == nil)
        let flow = try Self.drawn(3, width: 8, classes: classes)
        file.record.flow = flow.configuration
        file.weights.merge(try flow.tensors()) { $1 }
        let read = try ModelFile(decoding: file.encoded())
        #expect(try LatentFlow(read)?.tensors() == flow.tensors())
        #expect(throws: Never.self) { try read.model(on: .cpu) }

        func weights(_ path: String, _ tensor: HostTensor?) -> ModelFile {
            var other = file
            other.weights["flow." + path] = tensor
            return other
        }
        var bare = file
        bare.record.flow = nil
        for other in [
            bare, weights("scale", nil), weights("scale", .init(shape: [3], values: [1, 0, 1])),
            weights("location", .init(shape: [1, 3], values: [1, 0, 1])),
            weights("location", .init(shape: [3], values: [1, .nan, 1])),
            weights("9.input.weight", .init(shape: [1], values: [1])),
            weights(
                "0.input.weight", .init(shape: [3, 8], values: .init(repeating: 1, count: 24))),
            weights("4.label_output.weight", nil),
        ] {
            let error = try #require(throws: LatentError.self) { try LatentFlow(other) }
            #expect(error.code == .model && error.message.contains("flow"))
        }
        for change in [
            { $0.dimensionCount = 4 }, { $0.layerCount = 0 }, { $0.layerCount = 17 },
            { $0.width = 0 }, { $0.width = 1 << 40 }, { $0.stepCount = 0 },
            { $0.keptStepCount = 11 }, { $0.windowCounts = [1] }, { $0.windowCounts = [0, 0] },
            { $0.windowCounts = [2, -1] },
        ] as [(inout FlowConfiguration) -> Void] {
            var other = file
            var configuration = flow.configuration
            change(&configuration)
            other.record.flow = configuration
            let error = try #require(throws: LatentError.self) {
                try ModelFile(decoding: other.encoded())
            }
            #expect(error.code == .model && error.message.contains("flow"))
        }
    }
}
