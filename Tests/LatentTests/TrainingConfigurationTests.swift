import Foundation
import Testing

@testable import Latent

@Suite("Schedules") struct TrainingConfigurationTests {
    private func configuration(
        _ change: (inout TrainingConfiguration) -> Void = { _ in }
    ) -> TrainingConfiguration {
        var configuration = TrainingConfiguration(
            windowCount: 100, batchSize: nil, epochCount: nil, patience: nil)
        change(&configuration)
        return configuration
    }

    @Test(
        "the learning rate rises over a tenth and falls along a cosine to a hundredth",
        arguments: [
            (0, 0.01), (0.0005, 0.01), (0.05, 0.5), (0.1, 1), (0.55, 0.505), (1, 0.01),
            (0.325, 0.01 + 0.99 * (1 + 0.5.squareRoot()) / 2),
        ])
    func learningRate(progress: Double, factor: Double) {
        let configuration = configuration { $0.learningRate = 0.003 }
        #expect(abs(configuration.learningRate(at: progress) - 0.003 * factor) < 1e-9)
    }

    @Test(
        "the KL term warms up in proportion",
        arguments: [(0.2, 0, 0), (0.2, 0.05, 0.25), (0.2, 0.2, 1), (0.2, 0.9, 1), (0, 0, 1)])
    func warmup(share: Double, progress: Double, weight: Double) {
        let configuration = configuration { $0.klWarmupShare = share }
        #expect(abs(configuration.klWeight(at: progress) - weight) < 1e-12)
    }

    @Test(
        "free nats are whole over the first half, and gone after three quarters",
        arguments: [(0, 2), (0.5, 2), (0.625, 1), (0.75, 0), (1, 0)])
    func freeNats(progress: Double, nats: Double) {
        let configuration = configuration { $0.freeNats = 2 }
        #expect(abs(configuration.freeNats(at: progress) - nats) < 1e-12)
    }

    @Test(
        "batch, epochs and patience follow from the number of windows",
        arguments: [
            // ⌈1500 / ⌈windows / batch⌉⌉ epochs, within 5 to 300.
            (10, 64, 300, 75), (2000, 64, 47, 11), (2001, 128, 94, 23), (1_000_000, 128, 5, 5),
        ])
    func defaults(windowCount: Int, batchSize: Int, epochCount: Int, patience: Int) {
        let found = TrainingConfiguration(
            windowCount: windowCount, batchSize: nil, epochCount: nil, patience: nil)
        #expect(found.batchSize == batchSize)
        #expect(found.epochCount == epochCount)
        #expect(found.patience == patience)
    }
}
