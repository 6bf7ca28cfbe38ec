import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Precision of scoring") struct ScoringPrecisionTests {
    private let folder: TemporaryFolder
    private let source: WindowSource

    init() throws {
        _ = Runtime.threadCount
        folder = try TemporaryFolder()
        for index in 0..<40 { try folder.writeImage("\(index).png") }
        let inputs = try Inputs([folder.path], domain: .image)
        let items = Survey(of: inputs, domain: .image, threadCount: 2) { _, _ in }.items
        source = try WindowSource(items, preprocessing: .whole(), threadCount: 2)
    }

    private func choose(
        of model: VAE, training: TrainingConfiguration.Precision = .bfloat16
    ) throws -> TrainingConfiguration.Precision {
        try VAE.chooseScoringPrecision(
            of: [(model, source)], trainingPrecision: training, seed: 0)
    }

    @Test("bfloat16 is chosen where figures stay what they are, and only if training used it")
    func chosen() throws {
        let model = try VAE(.tiny(architecture: .conv), device: .cpu, seed: 1)
        #expect(try choose(of: model, training: .float32) == .float32)
        let expected: TrainingConfiguration.Precision =
            Runtime.multipliesBFloat16 ? .bfloat16 : .float32
        #expect(try choose(of: model) == expected)
        #expect(model.scoringPrecision == expected)
    }

    @Test("where rounding is as large as what tells files apart it is not")
    func refused() throws {
        let model = try VAE(.tiny(), device: .cpu, seed: 1)
        // The decoder gives a large constant, whose rounding hides the windows' own differences.
        for entry in model.parameters.entries where entry.path.hasPrefix("decoder.") {
            let constant = entry.path.hasSuffix("bias") ? 100.3 : 0
            try entry.tensor.assign(entry.tensor.detached() * 0 + constant)
        }
        #expect(try choose(of: model) == .float32)
        #expect(model.scoringPrecision == .float32)
    }

    @Test("scores of a model in bfloat16 do not depend on the windows beside it, and are near")
    func independent() throws {
        let model = try VAE(.tiny(architecture: .conv), device: .cpu, seed: 2)
        var generator = Generator(seed: 5)
        let values = (0..<7 * 64).map { _ in generator.uniform() }
        func scores(_ windows: Range<Int>) throws -> [Double] {
            try model.statistics(
                of: model.batch(Array(values[windows.lowerBound * 64..<windows.upperBound * 64])),
                drawCount: 3
            ) { window, draws in
                var noise = Generator(seed: 6, UInt64(windows.lowerBound + window))
                return noise.normals(draws.count * model.noiseCount)
            }.reconstruction
        }
        let exact = try scores(0..<7)
        model.scoringPrecision = .bfloat16
        let together = try scores(0..<7)
        for window in 0..<7 {
            let alone = try scores(window..<window + 1)[0]
            #expect(abs(alone - together[window]) <= 1e-5 * abs(alone))
            #expect(abs(together[window] - exact[window]) < 0.1)
        }
    }
}
