import Foundation

/// Looks at the figures of each epoch for what goes wrong with VAEs, and says it in plain words, each
/// once.
struct HealthMonitor {
    private let model: VAEConfiguration
    private let training: TrainingConfiguration
    private let windowCount: Int
    private let weightCount: Int
    private var said: Set<Finding> = []

    private enum Finding { case collapse, overfitting, explosion, littleData }

    init(
        _ model: VAEConfiguration, training: TrainingConfiguration, windowCount: Int,
        weightCount: Int
    ) {
        self.model = model
        self.training = training
        self.windowCount = windowCount
        self.weightCount = weightCount
    }

    /// A run that goes on does not repeat what was said before.
    mutating func warned(by history: [EpochRecord]) {
        for count in 1..<max(2, history.count + 1) {
            _ = warnings(
                Array(history.prefix(count)), phase: .bound, epochCount: training.epochCount)
        }
    }

    /// What the last epoch gives reason to say.
    mutating func warnings(
        _ history: [EpochRecord], phase: Trainer.Phase, epochCount: Int
    ) -> [String] {
        guard phase == .bound, let last = history.last else { return [] }
        var warnings: [String] = []
        func say(_ finding: Finding, _ text: @autoclosure () -> String) {
            if said.insert(finding).inserted { warnings.append(text()) }
        }
        if last.epoch == 1, windowCount < 200 || weightCount > 20_000 * windowCount {
            say(
                .littleData,
                "\(windowCount) windows are few for a network of \(weightCount) weights: expect it "
                    + "to learn them by heart; give more files, or use smaller --channels and --latent"
            )
        }
        let isWarm = Double(last.epoch) / Double(epochCount) >= max(0.5, training.klWarmupShare)
        let rate = last.layerRates?.reduce(0, +) ?? last.rate
        if isWarm, model.objective.kind != .ae,
            rate < 0.1 || (last.activeUnitCount == 0 && rate < 1)
        {
            let takesBeta = model.objective.kind == .beta && model.objective.capacity == nil
            let isGaussian = model.likelihood == .gaussian
            say(
                .collapse,
                "posterior collapse: the latents carry \(Self.text(max(0, rate))) nats, so every "
                    + "reconstruction is the same; use a longer --kl-warmup, or --free-nats 2"
                    + (takesBeta ? ", or a lower --beta" : "")
                    + (isGaussian ? "" : ", or --likelihood gaussian"))
        }
        if let heldOut = last.heldOutLoss, let best = history.compactMap(\.heldOutLoss).min(),
            isWarm
        {
            let gap = heldOut - last.trainingLoss
            let size = Double(model.elementCount)
            let worse = heldOut - best
            if gap > 0.2 * size, worse > 0.05 * size {
                say(
                    .overfitting,
                    "overfitting: the held-out loss is \(Self.text(heldOut)) nats, \(Self.text(worse))"
                        + " above its best, while that of training falls to "
                        + "\(Self.text(last.trainingLoss)); the best epoch is kept, but more files, "
                        + "smaller --channels, or --augment light would help")
            }
        }
        // A density at the floor of its scale: as good as exact in every element.
        if !model.likelihood.family.isDiscrete,
            last.distortion < -4.5 * Double(model.elementCount)
        {
            say(
                .explosion,
                "the likelihood explodes: \(Self.text(-last.distortion / Double(model.elementCount)))"
                    + " nats for each value mean reconstructions exact to a step of 8 bits; the files "
                    + "are constant or nearly equal, and scores will be as steep")
        }
        return warnings
    }

    private static func text(_ value: Double) -> String { String(format: "%.4g", value) }
}
