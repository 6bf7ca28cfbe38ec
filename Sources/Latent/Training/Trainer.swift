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
    /// Something about the model or the data that a person should know.
    case warning(String)
    /// The numbers were not finite; training went back to its last good state.
    case rolledBack(reason: String, epoch: Int, learningRate: Double)
    /// Training stopped before the last epoch.
    case stoppedEarly(epoch: Int, bestEpoch: Int)
    /// The fit of the variances began.
    case fittingVariance
}

/// Fits a model to windows: minimises its objective with AdamW, warms the KL term up, clips gradients,
/// averages the weights, keeps those of the best held-out loss, goes back where numbers overflow, and
/// can be stopped and resumed anywhere with the same result to the last bit.
///
/// Every random number is keyed by the seed and the step, so that a run depends on nothing but its
/// settings and data (and, in the last digits, on the number of threads and processes).
package final class Trainer {
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
        /// The processes that work on it together.
        var team = Team.alone
    }

    /// What a run ends with.
    struct Outcome {
        let model: VAE
        let history: [EpochRecord]
        let bestEpoch: Int
        /// Why training gave up, where it did; the model is that of the last good epoch.
        let failure: LatentError?
    }

    /// What is told on the way.
    struct Observer {
        var onEvent: (TrainingEvent) -> Void
        /// Called after an epoch with the weights that would be kept.
        var inspect: ((VAE, EpochRecord) throws -> Void)?
        var shouldStop: () -> Bool = { false }
    }

    enum Phase: Int, CaseIterable {
        case bound, variance

        var paths: [String] { self == .bound ? VAE.boundPaths : VAE.variancePaths }
    }

    let job: Job
    package let model: VAE
    let objective: any Objective
    let observer: Observer
    var state = Checkpoint.State()
    private var bestWeights: [String: HostTensor] = [:]
    private(set) var optimizer: AdamW
    private(set) var average: WeightAverage?
    private var lastGood: Checkpoint?
    private var lastCheckpoint = Date()
    private var epochSeconds: [Double] = []
    private var health: HealthMonitor
    /// Threads that divide each batch among them.
    let lanes: ModelLanes

    init(_ job: Job, device: Device, observer: Observer) throws {
        self.job = job
        self.observer = observer
        objective = job.model.objective.kind.objective(job.model.objective)
        model = try VAE(job.model, device: device, seed: job.configuration.seed)
        health = HealthMonitor(
            job.model, training: job.configuration, windowCount: job.training.windowCount,
            weightCount: model.parameters.entries.reduce(0) { $0 + $1.tensor.count })
        lanes = try ModelLanes(
            of: model,
            limit: job.team.size == 1 && !objective.couplesWindows
                ? job.configuration.batchSize / ModelLanes.smallestShare : 1)
        (optimizer, average) = try Self.fitting(.bound, model, job.configuration)
    }

    private static func fitting(
        _ phase: Phase, _ model: VAE, _ configuration: TrainingConfiguration
    ) throws -> (AdamW, WeightAverage?) {
        var adam = AdamW.Configuration()
        adam.weightDecay = configuration.weightDecay
        let average =
            configuration.averageDecay > 0
            ? try WeightAverage(
                of: model.parameters, under: phase.paths, decay: configuration.averageDecay) : nil
        return (
            try AdamW(model.parameters.tensors(under: phase.paths), configuration: adam), average
        )
    }

    /// Runs to the end, from the checkpoint where `resuming`.
    ///
    /// - Throws: ``LatentError`` with code `.diverged` when not even the first epoch can be done,
    ///   `.interrupted` when asked to stop (a checkpoint is saved first), `.data` when a file has
    ///   changed
    func run(resuming: Bool) throws -> Outcome {
        let isResumed = try resuming && resume()
        if !isResumed { try begin() }
        let phases: [Phase] =
            job.model.likelihood == .gaussianPerElement
            ? [.bound, .variance] : [.bound]
        var failure: LatentError?
        while failure == nil, let phase = Phase(rawValue: state.phase), phases.contains(phase) {
            if phase == .variance { observer.onEvent(.fittingVariance) }
            failure = try fit(phase)
            try finish(phase)
        }
        return Outcome(
            model: model, history: state.history, bestEpoch: state.bestEpoch, failure: failure)
    }

    /// Gives pseudo-inputs their first values: windows of the data, in the order of their content.
    private func begin() throws {
        guard let pseudoInputs = model.pseudoInputs else { return }
        let count = pseudoInputs.shape[0]
        var windows: [Float] = []
        let order = Generator(seed: job.configuration.seed, Stream.pseudoInputs.rawValue)
        while windows.count < count * job.model.elementCount {
            // Fewer windows than components: they come round again, apart by the noise below.
            let pass = job.training.batches(
                shuffledBy: order, batchSize: min(count, job.configuration.batchSize))
            while windows.count < count * job.model.elementCount, let batch = try pass.next() {
                windows += batch.values
            }
        }
        var noise = Generator(seed: job.configuration.seed, Stream.pseudoInputs.rawValue, 1)
        let values = zip(
            windows.prefix(count * job.model.elementCount),
            noise.normals(count * job.model.elementCount)
        ).map { min(max($0 + 0.01 * $1, 0), 1) }
        try pseudoInputs.assign(Tensor(values, shape: pseudoInputs.shape).to(model.device))
        (optimizer, average) = try Self.fitting(.bound, model, job.configuration)
    }

    private func epochCount(_ phase: Phase) -> Int {
        // The variances are a small network on a frozen one.
        phase == .bound ? job.configuration.epochCount : max(3, job.configuration.epochCount / 4)
    }

    // MARK: One phase

    /// Gives an error where training gave up after a good epoch.
    private func fit(_ phase: Phase) throws -> LatentError? {
        let epochs = epochCount(phase)
        while state.epoch < epochs {
            do {
                if state.stepInEpoch == 0 { try keepGoodState() }
                try fitEpoch(phase, epochs: epochs)
            } catch let overflow as NotFinite {
                if let failure = try recover(from: overflow, phase) { return failure }
            }
            try checkpointIfDue()
        }
        return nil
    }

    private func fitEpoch(_ phase: Phase, epochs: Int) throws {
        let startedAt = Date()
        let windows = try epoch(phase, epochs: epochs)
        let seconds = max(1e-9, Date().timeIntervalSince(startedAt))
        let evaluation =
            job.heldOut.items.isEmpty ? nil : try withAverages { try evaluate(phase) }
        if let loss = evaluation?.loss, !loss.isFinite {
            throw NotFinite("the held-out loss", loss)
        }
        let sums = state.sums
        let count = Double(max(1, sums.windowCount))
        let record = EpochRecord(
            epoch: state.history.count + 1, trainingLoss: sums.loss / count,
            distortion: sums.distortion / count, rate: sums.rate / count,
            heldOutLoss: evaluation?.loss, activeUnitCount: evaluation?.activeUnitCount,
            layerRates: evaluation?.layerRates)
        state.history.append(record)
        state.epoch += 1
        state.stepInEpoch = 0
        state.sums = .init()
        let isBest = record.heldOutLoss.map { $0 < (state.best ?? .infinity) } ?? true
        if isBest {
            state.best = record.heldOutLoss
            state.bestEpoch = record.epoch
            bestWeights = try model.parameters.values()
            try bestWeights.merge(average?.values() ?? [:]) { $1 }
        }
        // The mean of the last epochs: one alone says little when they are short.
        epochSeconds = epochSeconds.suffix(19) + [Date().timeIntervalSince(startedAt)]
        let typical = epochSeconds.mean
        observer.onEvent(
            .epoch(
                record, of: state.history.count - state.epoch + epochs, isBest: isBest,
                windowsPerSecond: Double(windows) / seconds,
                secondsLeft: Double(epochs - state.epoch) * typical))
        for warning in health.warnings(state.history, phase: phase, epochCount: epochs) {
            observer.onEvent(.warning(warning))
        }
        if let inspect = observer.inspect { try withAverages { try inspect(model, record) } }
        let waited = record.epoch - state.bestEpoch
        if job.configuration.patience > 0, waited >= job.configuration.patience {
            if state.epoch < epochs {
                observer.onEvent(.stoppedEarly(epoch: record.epoch, bestEpoch: state.bestEpoch))
            }
            state.epoch = epochs
        }
    }

    private func withAverages<Result>(_ body: () throws -> Result) throws -> Result {
        try average?.inPlace(body) ?? body()
    }

    /// One pass over the training part, from where the state stands; gives the windows done.
    private func epoch(_ phase: Phase, epochs: Int) throws -> Int {
        let order = Generator(
            seed: job.configuration.seed, Stream.order.rawValue, UInt64(phase.rawValue),
            UInt64(state.epoch))
        let pass = job.training.batches(
            shuffledBy: order, batchSize: job.configuration.batchSize,
            skipping: state.stepInEpoch, balanced: job.configuration.balance == .resample,
            team: job.team)
        let totalSteps = Double(pass.batchCount * epochs)
        var windows = 0
        // One batch is put together while the one before it is learned from.
        let batches = ReadAhead(
            AnyIterator { pass.nextResult() }, threadCount: 1, capacity: 1
        ) { $0 }
        while let batch = try batches.next()?.get() {
            // A last batch of fewer windows than processes would leave one without a gradient.
            if batch.wholeCount >= job.team.size {
                try step(phase, batch: batch, progress: min(1, Double(state.step) / totalSteps))
                try average?.update(step: state.step)
            }
            windows += batch.wholeCount
            state.step += 1
            state.stepInEpoch += 1
            observer.onEvent(
                .step(
                    done: state.stepInEpoch, of: pass.batchCount, epoch: state.epoch + 1,
                    epochCount: epochs))
            // All processes stop after the same step.
            if try job.team.sum([observer.shouldStop() ? 1 : 0])[0] > 0 {
                try checkpoint()
                throw LatentError(
                    .interrupted, "interrupted in epoch \(state.epoch + 1)",
                    hint: "the same command with --resume goes on from here")
            }
            try checkpointIfDue()
        }
        return windows
    }

    /// Takes the best weights, fixes the shared scale, and goes to the next phase.
    private func finish(_ phase: Phase) throws {
        if !bestWeights.isEmpty { try model.parameters.load(bestWeights) }
        if phase == .bound, job.model.likelihood.family.hasSharedScale {
            model.sharedLogScale = try sharedLogScale()
            state.sharedLogScale = model.sharedLogScale
        }
        let bestEpoch = state.bestEpoch
        state.phase += 1
        (state.epoch, state.stepInEpoch, state.step, state.best) = (0, 0, 0, nil)
        // What is kept of the run is the epoch of the bound; the variances count their own.
        bestWeights = [:]
        lastGood = nil
        if phase == .bound, job.model.likelihood == .gaussianPerElement {
            (optimizer, average) = try Self.fitting(.variance, model, job.configuration)
            state.bestEpoch = state.history.count
            try checkpoint()
        } else {
            state.bestEpoch = bestEpoch
        }
    }

    // MARK: Numbers that overflow

    /// A loss or gradient that is no number.
    struct NotFinite: Error {
        let reason: String

        init(_ what: String, _ value: Double) {
            reason = "\(what) is \(value.isNaN ? "not a number" : "\(value)")"
        }
    }

    static let rollbackLimit = 5

    /// The state before an epoch, which a later overflow goes back to; short epochs share one.
    private func keepGoodState() throws {
        if let step = lastGood?.state.step, state.step - step < 50 { return }
        lastGood = try snapshot()
    }

    /// Goes back to the last good state with half the step, or gives up.
    private func recover(from overflow: NotFinite, _ phase: Phase) throws -> LatentError? {
        let rate = job.configuration.learningRate * state.learningRateScale
        guard state.rollbackCount < Self.rollbackLimit, let lastGood else {
            let failure = LatentError(
                .diverged,
                "\(overflow.reason) in epoch \(state.epoch + 1), after \(state.rollbackCount) "
                    + "returns to the last good state, the last with a learning rate of \(rate)",
                hint:
                    "lower --learning-rate (now \(job.configuration.learningRate)), or look for odd "
                    + "files in the data")
            guard !bestWeights.isEmpty else { throw failure }
            return failure
        }
        let epoch = state.epoch + 1
        let count = state.rollbackCount + 1
        let scale = state.learningRateScale / 2
        try restore(lastGood)
        state.rollbackCount = count
        state.learningRateScale = scale
        observer.onEvent(
            .rolledBack(
                reason: overflow.reason, epoch: epoch,
                learningRate: job.configuration.learningRate * scale))
        return nil
    }

    // MARK: Checkpoints

    private func checkpointIfDue() throws {
        guard Date().timeIntervalSince(lastCheckpoint) >= job.checkpointInterval else { return }
        try checkpoint()
    }

    private func checkpoint() throws {
        lastCheckpoint = Date()
        guard job.team.rank == 0 else { return }
        var checkpoint = try snapshot()
        if let lastGood {
            for (name, value) in lastGood.tensors { checkpoint.tensors["good.\(name)"] = value }
            checkpoint.goodState = lastGood.state
        }
        try checkpoint.write(to: job.checkpointPath)
    }

    private func snapshot() throws -> Checkpoint {
        var tensors: [String: HostTensor] = [:]
        for (name, value) in try model.parameters.values() { tensors["model.\(name)"] = value }
        for (name, value) in bestWeights { tensors["best.\(name)"] = value }
        for (name, value) in try optimizer.state() { tensors["optimizer.\(name)"] = value }
        for (name, value) in try average?.values() ?? [:] { tensors["average.\(name)"] = value }
        return Checkpoint(plan: job.plan, state: state, tensors: tensors)
    }

    private func restore(_ checkpoint: Checkpoint) throws {
        let isOfOtherPhase = checkpoint.state.phase != state.phase
        state = checkpoint.state
        model.sharedLogScale = state.sharedLogScale
        if isOfOtherPhase, let phase = Phase(rawValue: state.phase) {
            (optimizer, average) = try Self.fitting(phase, model, job.configuration)
        }
        try model.parameters.load(checkpoint.tensors("model"))
        try optimizer.load(checkpoint.tensors("optimizer"))
        try average?.load(checkpoint.tensors("average"))
        bestWeights = checkpoint.tensors("best")
    }

    private func resume() throws -> Bool {
        guard FileManager.default.fileExists(atPath: job.checkpointPath) else { return false }
        let checkpoint = try Checkpoint.read(job.checkpointPath, plan: job.plan)
        try restore(checkpoint)
        if let goodState = checkpoint.goodState {
            lastGood = Checkpoint(
                plan: job.plan, state: goodState, tensors: checkpoint.tensors("good"))
        }
        health.warned(by: state.history)
        observer.onEvent(.resumed(epoch: state.epoch + 1, step: state.stepInEpoch))
        return true
    }
}
