import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("The shared scale") struct SharedScaleTests {
    private let folder: TemporaryFolder
    private let items: [SurveyedItem]

    init() throws {
        _ = Runtime.threadCount
        folder = try TemporaryFolder()
        for index in 0..<30 {
            try folder.writeImage("\(index).png", height: 24 + index % 3 * 4, width: 28)
        }
        let inputs = try Inputs([folder.path], domain: .image)
        items = Survey(of: inputs, domain: .image, threadCount: 2) { _, _ in }.items
    }

    private func trainer(_ precision: TrainingConfiguration.Precision) throws -> Trainer {
        let source = try WindowSource(items, preprocessing: .grid(), threadCount: 2)
        #expect(source.windowCount > 800)
        var configuration = TrainingConfiguration(
            windowCount: source.windowCount, batchSize: 50, epochCount: 1, patience: 0)
        configuration.precision = precision
        return try Trainer(
            Trainer.Job(
                configuration: configuration, model: .tiny(architecture: .conv, widths: [8, 12]),
                training: source, heldOut: source, plan: "", checkpointPath: "",
                checkpointInterval: .infinity),
            device: .cpu, observer: Trainer.Observer(onEvent: { _ in }))
    }

    @Test("it is what float32 gives, though most of it is worked out in bfloat16")
    func corrected() throws {
        let (exact, found) = (try trainer(.float32), try trainer(.bfloat16))
        #expect(abs(try exact.sharedLogScale() - found.sharedLogScale()) < 1e-3)
    }

    @Test("in float32 it is the mean squared error of all windows")
    func mean() throws {
        let trainer = try trainer(.float32)
        let model = trainer.model
        // Without noise of its own the posterior's mean is what is decoded.
        for entry in model.parameters.entries where entry.path == "encoder.posterior.bias" {
            let bias = try entry.tensor.floats()
            let narrow = bias.indices.map { $0 < 3 ? bias[$0] : -50 }
            try entry.tensor.assign(Tensor(narrow, shape: [6]))
        }
        var (sum, count) = (0.0, 0)
        for batch in try trainer.job.training.sample(limit: .max) {
            let x = try model.batch(batch.flatMap(\.values))
            let decoded = try withoutGradients { try model.decode(model.latents(of: x)).mean }
            sum += try (decoded - x).squared().sum().item()
            count += x.count
        }
        // Log-variances are kept above -8: a draw is within 0.02 of the mean.
        #expect(abs(try trainer.sharedLogScale() - log(sum / Double(count))) < 0.02)
    }
}
