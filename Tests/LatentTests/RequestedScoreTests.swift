import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

extension ScoredBatch {
    /// A batch of windows without labels, whose noise is of a seed.
    fileprivate init(
        _ model: VAE, _ x: Tensor, drawCount: Int,
        noise: @escaping (_ window: Int, _ draws: Range<Int>) -> [Float]
    ) throws {
        self.init(
            model: model, x: x, condition: nil, drawCount: drawCount, noise: noise,
            statistics: try model.statistics(of: x, drawCount: drawCount, noise: noise))
    }

    fileprivate init(_ model: VAE, _ x: Tensor, drawCount: Int = 2) throws {
        try self.init(model, x, drawCount: drawCount) { window, draws in
            draws.flatMap { draw in
                var generator = Generator(seed: 21, UInt64(window), UInt64(draw))
                return generator.normals(model.noiseCount)
            }
        }
    }
}

@Suite("Scores that run the model again") struct BoundScoreTests {
    private struct File: Decodable {
        let x, noise, regret: OracleArray
        let ratios: [OracleArray]
        let draws, steps: Int
        let logScale: Double

        enum CodingKeys: String, CodingKey {
            case x, noise, regret, ratios, draws, steps
            case logScale = "log_scale"
        }

        func batch() throws -> ScoredBatch {
            let model = try Ladder.all[0].model()
            model.sharedLogScale = logScale
            let (all, count) = (noise.shape[1], noise.shape[2])
            return try ScoredBatch(model, x.tensor, drawCount: draws) { [noise] window, draws in
                let first = window * all
                return Array(
                    noise.values[
                        (first + draws.lowerBound) * count..<(first + draws.upperBound) * count])
            }
        }
    }

    private let file: File = try! Fixtures.expected("requested.json")

    @Test("the likelihood ratio is that of the same draws in PyTorch, and 0 without layers")
    func ratio() throws {
        let batch = try file.batch()
        for (k, expected) in file.ratios.enumerated() {
            let found = try LikelihoodRatio(priorLayerCount: k).values(of: batch)
            if k == 0 { #expect(found == [0, 0]) }
            #expect(
                mismatch(found.map { Float($0) }, expected.values, absolute: 2e-3) == nil,
                "\(found)")
        }
    }

    @Test("regret of a hierarchical model is that of Adam in PyTorch")
    func regret() throws {
        let batch = try file.batch()
        let found = try LikelihoodRegret(stepCount: file.steps).values(of: batch)
        #expect(
            mismatch(
                found.map { Float($0) }, file.regret.values, absolute: 5e-3, relative: 1e-3) == nil,
            "\(found)")
        // The weights are left as they were: ready for training.
        let model = batch.model
        try model.lowerBound(
            of: batch.x, condition: nil,
            noise: Tensor.zeros(shape: [2, model.noiseCount]), drawCount: 1, change: .init()
        ).sum().backward()
        #expect(try model.parameters.entries.contains { try $0.tensor.gradient() != nil })
    }

    /// A linear model p(x|z) = N(W z + b, σ²) with orthogonal columns, whose posterior is known and
    /// diagonal; the encoder gives its mean, moved by `offset`. Layers are made linear by a bias that
    /// lifts silu to where it is the identity.
    private func linearModel(offset: Float) throws -> VAE {
        let model = try VAE(
            .tiny(height: 2, width: 2, widths: [2], latentCount: 2), device: .cpu, seed: 1)
        let (variance, lift) = (Float(0.04), Float(40))
        model.sharedLogScale = log(Double(variance))
        let w: [[Float]] = [[0.3, 0.1], [0.3, -0.1], [-0.3, 0.1], [-0.3, -0.1]]
        let middle: Float = 0.5
        let precisions: [Float] = (0..<2).map { column in
            1 + w.reduce(0) { $0 + $1[column] * $1[column] } / variance
        }
        // x is centred to 2x - 1 = 2(x - ½); mean = Wᵀ(x - ½) / σ² / precision.
        let gains = (0..<2).map { column in w.map { $0[column] / variance / precisions[column] / 2 }
        }
        var values: [String: [Float]] = [
            "encoder.0.weight": gains.flatMap { $0 }, "encoder.0.bias": [lift, lift],
            "encoder.posterior.weight": [1, 0, 0, 1, 0, 0, 0, 0],
            "encoder.posterior.bias": [
                -lift + offset, -lift, -log(precisions[0]), -log(precisions[1]),
            ],
            "decoder.0.weight": [1, 0, 0, 1], "decoder.0.bias": [lift, lift],
            "decoder.1.weight": w.flatMap { $0 },
        ]
        values["decoder.1.bias"] = w.map { middle - lift * ($0[0] + $0[1]) }
        for entry in model.parameters.entries {
            let own = try #require(values[entry.path])
            try entry.tensor.assign(Tensor(own, shape: entry.tensor.shape))
        }
        return model
    }

    @Test("where the posterior is exact nothing is gained; else what it is off by")
    func closedForm() throws {
        let x = try Tensor([0.9, 0.6, 0.1, 0.3, 0.5, 0.2, 0.4, 0.7], shape: [2, 1, 2, 2])
        let score = LikelihoodRegret(stepCount: 60)
        let exact = try score.values(of: ScoredBatch(linearModel(offset: 0), x, drawCount: 4096))
        #expect(exact.allSatisfy { abs($0) < 0.02 }, "\(exact)")
        // KL of two Gaussians a unit apart, of variance 1/10: the gap of the bound.
        let off = try score.values(of: ScoredBatch(linearModel(offset: 1), x, drawCount: 4096))
        #expect(off.allSatisfy { abs($0 - 5) < 0.1 }, "\(off)")
    }

    @Test("neither depends on the batch")
    func batches() throws {
        var configuration = Scorer.Configuration(drawCount: 2)
        configuration.requestedKinds = [.regret, .likelihoodRatio, .elboLessComplexity]
        configuration.regretStepCount = 8
        let model = try Ladder.all[0].model()
        model.sharedLogScale = -2
        let items = try fixtureItems("images/inbox", .image)
        func scores(batchSize: Int) throws -> [[ScoreKind: Double]] {
            configuration.batchSize = batchSize
            let scorer = try Scorer(
                [DetectorView(model: model, preprocessing: .whole(), aggregate: .mean)],
                configuration: configuration)
            var found: [[ScoreKind: Double]] = []
            try scorer.score(items) { found.append(try $1.get().values) }
            return found
        }
        let all = try scores(batchSize: 32)
        for (first, second) in zip(all, try scores(batchSize: 3)) {
            #expect(first.count == 8)
            for (kind, value) in first {
                let other = try #require(second[kind])
                #expect(abs(value - other) < 2e-3 + 1e-4 * abs(value), "\(kind)")
            }
        }
        let alone = try Scorer(
            [DetectorView(model: model, preprocessing: .whole(), aggregate: .mean)],
            configuration: .init(drawCount: 2))
        try alone.score(items.prefix(1)) { _, result in
            let kinds = try result.get().values.keys
            #expect(kinds.allSatisfy { !$0.isRequested })
        }
    }

    @Test("a flat model has no likelihood ratio, an autoencoder no regret")
    func obstacles() throws {
        var shape = VAEConfiguration.tiny()
        let error = #expect(throws: LatentError.self) { try ScoreKind.likelihoodRatio.check(shape) }
        #expect(error?.code == .usage && error?.hint?.contains("--layers") == true)
        try ScoreKind.regret.check(shape)
        shape.objective = ObjectiveConfiguration(.ae)
        #expect(throws: LatentError.self) { try ScoreKind.regret.check(shape) }
        shape.likelihood = .gaussian
        #expect(throws: LatentError.self) { try ScoreKind.elboLessBias.check(shape) }
        shape.likelihood = .bernoulli
        try ScoreKind.elboLessBias.check(shape)
    }
}

@Suite("Corrections of likelihoods") struct CorrectionTests {
    private func cost(
        _ correction: some LikelihoodCorrection, _ windows: [[Float]], channelCount: Int = 1,
        likelihood: LikelihoodKind = .gaussian
    ) throws -> [Double] {
        let model = try VAE(
            .tiny(
                channelCount: channelCount, height: 16, width: 16, likelihood: likelihood),
            device: .cpu, seed: 3)
        return try correction.cost(of: ScoredBatch(model, model.batch(windows.flatMap { $0 })))
    }

    private func noise(_ count: Int) -> [Float] {
        var generator = Generator(seed: 5)
        return (0..<count).map { _ in Float(Int(generator.uniform() * 256)) / 255 }
    }

    @Test(
        "noise costs its bytes and a constant next to nothing, whatever it is",
        arguments: [1, 2, 3])
    func complexity(channelCount: Int) throws {
        let count = channelCount * 256
        let noise = noise(count)
        let costs = try cost(
            InputComplexity(),
            [noise, .init(repeating: 0, count: count), .init(repeating: 1, count: count)],
            channelCount: channelCount
        ).map { $0 / (8 * log(2)) }
        // In bytes: 57 of the frame of a PNG file, 6 of zlib, 5 of a stored block, and a filter a row.
        #expect(
            costs[0] >= Double(count) && costs[0] <= Double(count + 57 + 11 + 16 * channelCount))
        #expect(costs[1] < 57 + 40 && costs[2] < 57 + 40)
    }

    @Test("the file that is counted holds the window: its steps, beyond 0…1 modulo 256")
    func window() throws {
        let noise = noise(256)
        let image = Image(
            width: 16, height: 16, channelCount: 1, bitDepth: 8,
            samples: noise.map { UInt16(($0 * 255).rounded()) })
        let expected = Double(try image.pngData(compressionLevel: 9).count) * 8 * log(2)
        let wrapped = noise.map { $0 - 256.0 / 255 }
        let found = try cost(InputComplexity(), [noise, wrapped, noise.map { _ in .nan }])
        #expect(found[0] == expected)
        #expect(found[1] == expected)
        #expect(found[2].isFinite)
    }

    @Test(
        "no output is more likely than the best, and one is nearly so",
        arguments: [LikelihoodKind.bernoulli, .continuousBernoulli])
    func bias(kind: LikelihoodKind) throws {
        for step in 1...999 where step % 37 == 1 || step >= 998 {
            let x = Float(step) / 1000
            // Logits from -1100 to 1100: the best of 0.001 is at -1000.
            let logits = stride(from: -7.01, through: 7.01, by: 0.01).flatMap {
                [Float(exp($0)), Float(-exp($0))]
            }
            let shape = [logits.count, 1, 1, 1]
            let output = try Tensor(logits, shape: shape)
            let logs = try kind.family.distribution(of: output, logScale: Tensor.zeros(shape: []))
                .logProbability(of: Tensor.full(Double(x), shape: shape)).floats()
            let best = try #require(kind.family.bestLogProbability(of: Double(x)))
            let reached = Double(try #require(logs.max()))
            #expect(reached <= best + 1e-4 && reached > best - 1e-4, "\(x): \(reached) of \(best)")
        }
    }

    @Test("of a window it is the sum over its elements; blank ones are not preferred")
    func sum() throws {
        let x: [Float] = [Float](repeating: 0.25, count: 128) + [Float](repeating: 1, count: 128)
        let found = try cost(
            LikelihoodBias(), [x, x.map { _ in 0.5 }], likelihood: .bernoulli)
        func entropy(_ p: Double) -> Double { -p * log(p) - (1 - p) * log(1 - p) }
        #expect(abs(found[0] - 128 * (entropy(0.25) + entropy(0.999))) < 1e-6)
        #expect(abs(found[1] - 256 * log(2)) < 1e-6)
        let density = try cost(
            LikelihoodBias(), [x.map { _ in 0.5 }], likelihood: .continuousBernoulli)
        // At ½ the best is the uniform density.
        #expect(abs(density[0]) < 1e-6)
    }

    @Test("a corrected score is the plain one less the correction")
    func corrected() throws {
        let model = try VAE(
            .tiny(height: 16, width: 16, likelihood: .bernoulli), device: .cpu, seed: 3)
        let batch = try ScoredBatch(model, model.batch(noise(512)))
        let costs = [
            "complexity": try InputComplexity().cost(of: batch),
            "bias": try LikelihoodBias().cost(of: batch),
        ]
        for kind in ScoreKind.allCases where kind.rawValue.contains("+") {
            let parts = kind.rawValue.split(separator: "+").map(String.init)
            let base = try #require(ScoreKind(rawValue: parts[0]))
            let score = try #require(kind.requested(regretStepCount: 1))
            let expected = zip(
                try #require(batch.statistics.scores[base]), try #require(costs[parts[1]])
            ).map { $0 - $1 }
            #expect(try score.values(of: batch) == expected)
        }
    }
}
