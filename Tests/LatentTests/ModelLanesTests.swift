import Testing
import Torch

@testable import Latent

@Suite("Threads that divide a batch") struct ModelLanesTests {
    private struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        var likelihood = LikelihoodKind.gaussian
        var objective = ObjectiveKind.vae
        var layerCount = 1
        var isWeighted = false
        var isVaried = false
        var freeNats = 0.0
        var phase = Trainer.Phase.bound

        var testDescription: String { name }
    }

    private static let cases = [
        Case(name: "a scale of the whole batch"),
        Case(name: "no such scale", likelihood: .bernoulli),
        Case(name: "weights of classes", isWeighted: true),
        Case(name: "windows that are varied", isVaried: true),
        Case(name: "free nats of the whole batch", freeNats: 0.5),
        Case(name: "several draws", objective: .iwae),
        Case(name: "a prior of pseudo-inputs", objective: .vamp),
        Case(name: "several layers", layerCount: 2),
        Case(name: "variances alone", likelihood: .gaussianPerElement, phase: .variance),
    ]

    private static func model(_ test: Case) throws -> VAE {
        var configuration = VAEConfiguration.tiny(
            architecture: test.layerCount > 1 ? .resnet : .mlp,
            widths: test.layerCount > 1 ? [8, 8] : [12], likelihood: test.likelihood)
        configuration.objective = ObjectiveConfiguration(test.objective)
        configuration.objective.componentCount = 5
        configuration.objective.drawCount = 3
        configuration.layerCount = test.layerCount
        let model = try VAE(configuration, device: .cpu, seed: 3)
        model.sharedLogScale = -2
        return model
    }

    private static func loss(_ test: Case, of model: VAE) -> StepLoss {
        var configuration = TrainingConfiguration(
            windowCount: 67, batchSize: 67, epochCount: 1, patience: 0)
        configuration.precision = .float32
        configuration.freeNats = test.freeNats
        configuration.augmentation = test.isVaried ? .light(for: .whole()) : nil
        let objective = model.configuration.objective
        return StepLoss(
            phase: test.phase, configuration: configuration,
            objective: objective.kind.objective(objective), progress: 0.5, step: 7, windowCount: 67)
    }

    private static func rows(_ test: Case, of model: VAE) -> StepLoss.Rows {
        var generator = Generator(seed: 11, 1)
        let count = 67
        let drawCount =
            test.phase == .bound && test.objective == .iwae
            ? model.configuration.objective.drawCount : 1
        return StepLoss.Rows(
            values: (0..<count * model.configuration.elementCount).map { _ in generator.uniform() },
            positions: Array(0..<count), codes: [[Int]](repeating: [], count: count),
            noise: generator.normals(count * drawCount * model.noiseCount),
            weights: test.isWeighted ? (0..<count).map { $0 % 2 == 0 ? 0.5 : 1.5 } : nil)
    }

    @Test("figures and gradients are those of one thread", arguments: cases, [2, 3])
    private func gradients(test: Case, size: Int) throws {
        let (model, other) = (try Self.model(test), try Self.model(test))
        let loss = Self.loss(test, of: model)
        let rows = Self.rows(test, of: model)
        let expected = try loss(of: rows, by: other, reducer: BatchReducer(batchSize: 67) { $0 })
        let lanes = try ModelLanes(of: model, size: size)
        // Twice: what the first left behind would count again.
        for _ in 0..<2 {
            let parameters = model.parameters.tensors(under: test.phase.paths)
            for tensor in parameters { try tensor.clearGradient() }
            let found = try lanes.slopes(of: rows, by: loss)
            for figure in [\StepLoss.Figures.loss, \.distortion, \.rate] {
                let expected = expected[keyPath: figure]
                #expect(abs(found[keyPath: figure] - expected) <= 1e-4 * max(1, abs(expected)))
            }
            var gradientCount = 0
            let others = other.parameters.tensors(under: test.phase.paths)
            for (tensor, other) in zip(parameters, others) {
                let gradient = try tensor.gradient()?.floats()
                let expected = try other.gradient()?.floats()
                #expect((gradient == nil) == (expected == nil))
                let largest = expected?.map(abs).max() ?? 0
                for (found, expected) in zip(gradient ?? [], expected ?? []) {
                    #expect(abs(found - expected) <= 1e-4 * max(largest, 1e-3))
                    gradientCount += 1
                }
            }
            #expect(gradientCount > 0)
        }
    }

    @Test("threads see weights that were written between steps")
    func sharedWeights() throws {
        let test = Self.cases[0]
        let model = try Self.model(test)
        let (loss, rows) = (Self.loss(test, of: model), Self.rows(test, of: model))
        let lanes = try ModelLanes(of: model, size: 2)
        let before = try lanes.slopes(of: rows, by: loss)
        for entry in model.parameters.entries {
            try entry.tensor.clearGradient()
            try entry.tensor.assign(entry.tensor.detached() * 0.5)
        }
        let found = try lanes.slopes(of: rows, by: loss)
        let expected = try loss(of: rows, by: model, reducer: BatchReducer(batchSize: 67) { $0 })
        #expect(abs(found.loss - expected.loss) <= 1e-4 * abs(expected.loss))
        #expect(abs(found.loss - before.loss) > 1e-2 * abs(before.loss))
    }

    @Test("numbers that overflow are no error of a thread")
    func overflow() throws {
        let test = Self.cases[0]
        let model = try Self.model(test)
        var rows = Self.rows(test, of: model)
        rows.values[3] = .nan
        let found = try ModelLanes(of: model, size: 2).slopes(
            of: rows, by: Self.loss(test, of: model))
        #expect(!found.loss.isFinite)
    }

    @Test("a batch of too few windows for two threads is one thread's")
    func small() throws {
        let model = try Self.model(Self.cases[0])
        #expect(try ModelLanes(of: model, limit: 31 / ModelLanes.smallestShare).size == 1)
    }

    @Test(
        "held-out figures are those of one thread, batch by batch in their order", arguments: cases)
    private func heldOut(test: Case) throws {
        let model = try Self.model(test)
        var loss = Self.loss(test, of: model)
        loss = StepLoss(
            phase: loss.phase, configuration: loss.configuration, objective: loss.objective,
            progress: 1, step: nil, windowCount: loss.windowCount)
        let rows = Self.rows(test, of: model)
        let batches = [rows[0..<20], rows[20..<41], rows[41..<64], rows[64..<67]]
        func sums(_ model: VAE, _ rows: StepLoss.Rows) throws -> HeldOutSums {
            try loss.heldOutSums(of: rows, by: model) { try $0.mean().item() }
        }
        let expected = try batches.map { try sums(model, $0) }
        let found = try ModelLanes(of: model, size: 3).threads().map(batches) {
            [loss] model, rows in
            try loss.heldOutSums(of: rows, by: model) { try $0.mean().item() }
        }
        #expect(found.map(\.count) == [20, 21, 23, 3])
        for (found, expected) in zip(found, expected) {
            #expect(found.values.count == expected.values.count)
            for (found, expected) in zip(found.values, expected.values) {
                #expect(abs(found - expected) <= 1e-5 * max(1, abs(expected)))
            }
        }
        var total = HeldOutSums(of: model)
        for part in found { total += part }
        let evaluation = total.evaluation
        #expect(
            abs(evaluation.loss - expected.reduce(0) { $0 + $1.loss } / 67)
                <= 1e-5 * abs(evaluation.loss))
        #expect(evaluation.layerRates.count == test.layerCount)
    }

    @Test("a function that fails on one thread fails for all")
    func failure() throws {
        struct Broken: Error {}
        let lanes = try ModelLanes(of: Self.model(Self.cases[0]), size: 2)
        #expect(throws: Broken.self) {
            try lanes.threads().map([1, 2, 3, 4]) { _, number in
                if number == 3 { throw Broken() }
                return number
            }
        }
        #expect(try lanes.threads().map([1, 2, 3]) { _, number in 2 * number } == [2, 4, 6])
    }
}
