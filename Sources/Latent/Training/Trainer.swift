import Foundation
import Torch

/// What happens while a model is fitted; for progress on a terminal, or a log.
public enum TrainingEvent: Sendable {
    /// The run went on from a checkpoint.
    case resumed(epoch: Int, step: Int)
    /// Steps of an epoch are done.
    case step(done: Int, of: Int, epoch: Int, epochCount: Int)
    /// An epoch is done.
    case epoch(EpochRecord, of: Int, isBest: Bool, windowsPerSecond: Double, secondsLeft: Double)
    /// Training stopped before the last epoch.
    case stoppedEarly(epoch: Int, bestEpoch: Int)
    /// The fit of the variances began.
    case fittingVariance
}

/// Fits a VAE to windows: maximises the evidence lower bound with AdamW, warms the KL term up, clips
/// gradients, keeps the weights of the best held-out bound, and can be stopped and resumed anywhere
/// with the same result to the last bit.
///
/// Every random number is keyed by the seed and the step, so that a run depends on nothing but its
/// settings and data (and, in the last digits, on the number of threads).
final class Trainer {
    /// What the run is of.
    struct Job {
        let configuration: TrainingConfiguration
        let model: VAEConfiguration
        let training: WindowSource
        let heldOut: WindowSource
        /// Names settings and data; a checkpoint with another plan is refused.
        let plan: String
        let checkpointPath: String
        /// Seconds from checkpoint to checkpoint.
        let checkpointInterval: Double
    }

    /// What a run ends with.
    struct Outcome {
        let model: VAE
        let history: [EpochRecord]
        let bestEpoch: Int
    }

    private let job: Job
    private let model: VAE
    private let onEvent: (TrainingEvent) -> Void
    private let shouldStop: () -> Bool
    private var state = Checkpoint.State()
    private var bestWeights: [String: HostTensor] = [:]
    private var optimizer: AdamW
    private var lastCheckpoint = Date()
    private var epochSeconds: [Double] = []

    private enum Phase: Int, CaseIterable {
        case bound, variance
    }

    init(
        _ job: Job, device: Device, onEvent: @escaping (TrainingEvent) -> Void,
        shouldStop: @escaping () -> Bool
    ) throws {
        self.job = job
        self.onEvent = onEvent
        self.shouldStop = shouldStop
        model = try VAE(job.model, device: device, seed: job.configuration.seed)
        optimizer = try Self.optimizer(for: .bound, of: model, job.configuration)
    }

    private static func optimizer(
        for phase: Phase, of model: VAE, _ configuration: TrainingConfiguration
    ) throws -> AdamW {
        var adam = AdamW.Configuration()
        adam.weightDecay = configuration.weightDecay
        let paths = phase == .bound ? VAE.boundPaths : VAE.variancePaths
        return try AdamW(model.parameters.tensors(under: paths), configuration: adam)
    }

    /// Runs to the end, from the checkpoint where `resuming`.
    ///
    /// - Throws: ``LatentError`` with code `.diverged` when the loss is not finite, `.interrupted`
    ///   when asked to stop (a checkpoint is saved first), `.data` when a file has changed
    func run(resuming: Bool) throws -> Outcome {
        if resuming { try resume() }
        let phases: [Phase] =
            job.model.likelihood == .gaussianPerElement
            ? [.bound, .variance] : [.bound]
        while let phase = Phase(rawValue: state.phase), phases.contains(phase) {
            if phase == .variance { onEvent(.fittingVariance) }
            try fit(phase)
            try finish(phase)
        }
        return Outcome(
            model: model, history: state.history, bestEpoch: state.bestEpoch)
    }

    private func epochCount(_ phase: Phase) -> Int {
        // The variances are a small network on a frozen one.
        phase == .bound ? job.configuration.epochCount : max(3, job.configuration.epochCount / 4)
    }

    // MARK: One phase

    private func fit(_ phase: Phase) throws {
        let epochs = epochCount(phase)
        while state.epoch < epochs {
            let startedAt = Date()
            let windows = try epoch(phase, epochs: epochs)
            let seconds = max(1e-9, Date().timeIntervalSince(startedAt))
            let heldOut = try heldOutLoss(phase)
            let sums = state.sums
            let count = Double(max(1, sums.windowCount))
            let record = EpochRecord(
                epoch: state.history.count + 1, trainingLoss: sums.loss / count,
                distortion: sums.distortion / count, rate: sums.rate / count, heldOutLoss: heldOut)
            state.history.append(record)
            state.epoch += 1
            state.stepInEpoch = 0
            state.sums = .init()
            let isBest = heldOut.map { $0 < (state.best ?? .infinity) } ?? true
            if isBest {
                state.best = heldOut
                state.bestEpoch = record.epoch
                bestWeights = try model.parameters.values()
            }
            // The mean of the last epochs: one alone says little when they are short.
            epochSeconds = epochSeconds.suffix(19) + [Date().timeIntervalSince(startedAt)]
            let typical = epochSeconds.reduce(0, +) / Double(epochSeconds.count)
            onEvent(
                .epoch(
                    record, of: state.history.count - state.epoch + epochs, isBest: isBest,
                    windowsPerSecond: Double(windows) / seconds,
                    secondsLeft: Double(epochs - state.epoch) * typical))
            let waited = record.epoch - state.bestEpoch
            if job.configuration.patience > 0, waited >= job.configuration.patience {
                onEvent(.stoppedEarly(epoch: record.epoch, bestEpoch: state.bestEpoch))
                state.epoch = epochs
            }
            try checkpointIfDue()
        }
    }

    /// One pass over the training part, from where the state stands; gives the windows done.
    private func epoch(_ phase: Phase, epochs: Int) throws -> Int {
        let order = Generator(
            seed: job.configuration.seed, Stream.order.rawValue, UInt64(phase.rawValue),
            UInt64(state.epoch))
        let pass = job.training.batches(
            shuffledBy: order, batchSize: job.configuration.batchSize,
            skipping: state.stepInEpoch)
        let totalSteps = Double(pass.batchCount * epochs)
        var windows = 0
        while let batch = try pass.next() {
            try step(phase, batch: batch, progress: Double(state.step) / totalSteps)
            windows += batch.count
            state.step += 1
            state.stepInEpoch += 1
            onEvent(
                .step(
                    done: state.stepInEpoch, of: pass.batchCount, epoch: state.epoch + 1,
                    epochCount: epochs))
            if shouldStop() {
                try checkpoint()
                throw LatentError(
                    .interrupted, "interrupted in epoch \(state.epoch + 1)",
                    hint: "the same command with --resume goes on from here")
            }
            try checkpointIfDue()
        }
        return windows
    }

    private func step(_ phase: Phase, batch: WindowBatch, progress: Double) throws {
        let x = try model.batch(batch.values)
        var generator = Generator(
            seed: job.configuration.seed, Stream.trainingNoise.rawValue, UInt64(phase.rawValue),
            UInt64(state.step))
        let noise = try Tensor(
            generator.normals(batch.count * job.model.latentCount),
            shape: [batch.count, job.model.latentCount]
        ).to(model.device)

        let warmup = job.configuration.klWarmupShare
        let klWeight = phase == .variance || warmup <= 0 ? 1 : min(1, progress / warmup)
        let loss: Tensor
        let rate: Tensor
        let distortion: Tensor
        switch phase {
        case .bound:
            let bound = try model.bound(of: x, noise: noise)
            rate = try bound.klDivergence.mean()
            distortion = try -(bound.reconstruction.mean())
            loss = try distortion + rate * klWeight
        case .variance:
            // Encoder and mean are done: only the variances get gradients.
            let (z, divergence) = try withoutGradients {
                let posterior = try model.encode(x)
                return (try posterior.sample(noise: noise), try posterior.klDivergence().mean())
            }
            rate = divergence
            distortion = try -(model.decode(z).logProbability(of: x).mean())
            loss = try distortion + rate
        }
        let lossValue = try loss.item()
        guard lossValue.isFinite else {
            throw LatentError(
                .diverged,
                "the loss is \(lossValue) in epoch \(state.epoch + 1), "
                    + "step \(state.stepInEpoch + 1)",
                hint: "lower --learning-rate (now \(job.configuration.learningRate)), or look for "
                    + "odd files in the data")
        }
        // Of the size of one element, so that clipping and Adam's epsilon mean the same everywhere.
        try (loss * (1 / Double(job.model.elementCount))).backward()
        let norm = try optimizer.clipGradientNorm(maximum: job.configuration.gradientClip)
        guard norm.isFinite else {
            throw LatentError(
                .diverged,
                "the gradient is \(norm) in epoch \(state.epoch + 1), "
                    + "step \(state.stepInEpoch + 1)",
                hint: "lower --learning-rate (now \(job.configuration.learningRate))")
        }
        try optimizer.step(learningRate: learningRate(progress))
        if phase == .variance { try clearBoundGradients() }

        let count = Double(batch.count)
        state.sums.windowCount += batch.count
        state.sums.loss += lossValue * count
        state.sums.distortion += try distortion.item() * count
        state.sums.rate += try rate.item() * count
    }

    /// The decoder's mean gets gradients that nobody uses while the variances are fitted.
    private func clearBoundGradients() throws {
        for tensor in model.parameters.tensors(under: VAE.boundPaths) {
            try tensor.clearGradient()
        }
    }

    /// Rises over the first tenth, falls along a cosine to a hundredth.
    private func learningRate(_ progress: Double) -> Double {
        let peak = job.configuration.learningRate
        if progress < 0.1 { return peak * max(0.01, progress / 0.1) }
        return peak * (0.01 + 0.99 * 0.5 * (1 + cos(.pi * min(1, (progress - 0.1) / 0.9))))
    }

    /// The negative bound of the held-out part, KL term in full, noise keyed by the items.
    private func heldOutLoss(_ phase: Phase) throws -> Double? {
        guard !job.heldOut.items.isEmpty else { return nil }
        return try withoutGradients {
            var total = 0.0
            var count = 0
            let pass = job.heldOut.batches(
                shuffledBy: nil, batchSize: job.configuration.batchSize)
            while let batch = try pass.next() {
                let x = try model.batch(batch.values)
                let noise = try keyedNoise(batch)
                let loss: Tensor
                if phase == .bound {
                    let bound = try model.bound(of: x, noise: noise)
                    loss = try (bound.klDivergence - bound.reconstruction).sum()
                } else {
                    let posterior = try model.encode(x)
                    let log = try model.decode(posterior.sample(noise: noise))
                        .logProbability(of: x)
                    loss = try (posterior.klDivergence() - log).sum()
                }
                total += try loss.item()
                count += batch.count
            }
            return total / Double(count)
        }
    }

    private func keyedNoise(_ batch: WindowBatch) throws -> Tensor {
        var noise: [Float] = []
        for key in batch.keys {
            var generator = Generator(
                seed: job.configuration.seed, Stream.heldOutNoise.rawValue, key.contentWord,
                UInt64(key.window))
            noise += generator.normals(job.model.latentCount)
        }
        return try Tensor(noise, shape: [batch.count, job.model.latentCount]).to(model.device)
    }

    /// Takes the best weights, fixes the shared variance, and goes to the next phase.
    private func finish(_ phase: Phase) throws {
        if !bestWeights.isEmpty { try model.parameters.load(bestWeights) }
        if phase == .bound, job.model.likelihood != .bernoulli {
            model.sharedLogVariance = log(max(try meanSquaredError(), Likelihood.varianceFloor))
            state.sharedLogVariance = model.sharedLogVariance
        }
        let bestEpoch = state.bestEpoch
        state.phase += 1
        (state.epoch, state.stepInEpoch, state.step, state.best) = (0, 0, 0, nil)
        // What is kept of the run is the epoch of the bound; the variances count their own.
        bestWeights = [:]
        if phase == .bound, job.model.likelihood == .gaussianPerElement {
            optimizer = try Self.optimizer(for: .variance, of: model, job.configuration)
            state.bestEpoch = state.history.count
            try checkpoint()
        } else {
            state.bestEpoch = bestEpoch
        }
    }

    /// Mean squared error over the training part, at most 20,000 windows, one draw each.
    private func meanSquaredError() throws -> Double {
        try withoutGradients {
            var total = 0.0
            var count = 0
            let pass = job.training.batches(
                shuffledBy: nil, batchSize: job.configuration.batchSize)
            while count < 20_000, let batch = try pass.next() {
                let x = try model.batch(batch.values)
                let error = try model.bound(of: x, noise: keyedNoise(batch)).squaredError.item()
                total += error * Double(batch.count)
                count += batch.count
            }
            return total / Double(max(1, count))
        }
    }

    // MARK: Checkpoints

    private func checkpointIfDue() throws {
        guard Date().timeIntervalSince(lastCheckpoint) >= job.checkpointInterval else { return }
        try checkpoint()
    }

    private func checkpoint() throws {
        var tensors: [String: HostTensor] = [:]
        for (name, value) in try model.parameters.values() { tensors["model.\(name)"] = value }
        for (name, value) in bestWeights { tensors["best.\(name)"] = value }
        for (name, value) in try optimizer.state() { tensors["optimizer.\(name)"] = value }
        try Checkpoint(plan: job.plan, state: state, tensors: tensors).write(
            to: job.checkpointPath)
        lastCheckpoint = Date()
    }

    private func resume() throws {
        guard FileManager.default.fileExists(atPath: job.checkpointPath) else { return }
        let checkpoint = try Checkpoint.read(job.checkpointPath, plan: job.plan)
        state = checkpoint.state
        model.sharedLogVariance = state.sharedLogVariance
        if let phase = Phase(rawValue: state.phase), phase == .variance {
            optimizer = try Self.optimizer(for: phase, of: model, job.configuration)
        }
        try model.parameters.load(checkpoint.tensors("model"))
        try optimizer.load(checkpoint.tensors("optimizer"))
        bestWeights = checkpoint.tensors("best")
        onEvent(.resumed(epoch: state.epoch + 1, step: state.stepInEpoch))
    }
}
