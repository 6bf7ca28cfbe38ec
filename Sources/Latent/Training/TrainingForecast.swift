import Foundation
import Torch

/// What training would do with some data, and what it would take on this machine.
public struct TrainingForecast: Sendable {
    /// One network and what it reads.
    public struct View: Sendable {
        /// The network.
        public let model: VAEConfiguration
        /// From file to windows.
        public let preprocessing: Preprocessing
        /// Windows that are fitted to.
        public let windowCount: Int
        /// Windows of a step, and passes at most.
        public let batchSize, epochCount: Int
        /// Seconds of one step, measured.
        public let stepSeconds: Double
    }

    /// What it is to be good at.
    public let purpose: TrainingRequest.Purpose
    /// Why the views are what they are; nil where they were asked for.
    public let viewReason: String?
    /// Files that are fitted to, held out and calibrated on.
    public let trainingCount, heldOutCount, calibrationCount: Int
    /// The views; one in most models.
    public let views: [View]
    /// Seconds from start to end, if no view stops early.
    public let seconds: Double
    /// The most memory that is held at one time, in bytes.
    public let byteCount: Int
}

extension TrainingRun {
    /// Says what training would do with data that were checked, without doing it.
    ///
    /// Time is what a few real steps of each network on files of the data take, with reading,
    /// evaluation and scoring measured likewise, times their number; it is as right as the machine is
    /// as busy then as now. Takes about a second for each view.
    ///
    /// - Parameters:
    ///   - request: as for training
    ///   - check: after ``DataCheck/read(_:onFile:)``
    ///   - domain: how the files are read
    ///   - device: where training would be done
    ///   - readerCount: threads that read files
    ///   - cache: where decoded windows would be kept
    /// - Returns: what would be done, and what it would take
    /// - Throws: ``LatentError`` as training would: `.data` without enough readable files, `.usage` for
    ///   settings that do not fit
    public static func forecast(
        _ request: TrainingRequest, of check: DataCheck, domain: Domain, device: Device,
        readerCount: Int, cache: CachePolicy = CachePolicy()
    ) throws -> TrainingForecast {
        // Nothing is written: `cache` is only counted with.
        var environment = Environment(output: "")
        environment.device = device
        environment.readerCount = readerCount
        let (survey, itemCount) = check.trainable
        let prepared = try TrainingRun(request, environment: environment, onEvent: { _ in })
            .prepare(survey, domain: domain, itemCount: itemCount)
        let scale = Double(itemCount) / Double(max(1, survey.items.count))
        func whole(_ count: Int) -> Int { Int((Double(count) * scale).rounded()) }
        var seconds = 0.0
        var cacheByteCount = 0.0
        var fitByteCount = 0.0
        let detects = prepared.plan.purpose == .detection
        let members = Double(request.memberCount)
        var views: [TrainingForecast.View] = []
        for job in prepared.jobs {
            let cost = try ViewCost(of: job, device: device, drawCount: request.drawCount)
            let configuration = job.configuration
            let windows = Double(job.training.windowCount) * scale
            let heldOutWindows = Double(job.heldOut.windowCount) * scale
            fitByteCount = max(
                fitByteCount, Self.fitByteCount(windows: windows, of: job, detects: detects))
            let windowsOfItem = windows / max(1, Double(job.training.items.count) * scale)
            let steps = (windows / Double(configuration.batchSize)).rounded(.up)
            let reading =
                cost.itemSeconds * Double(job.training.items.count) * scale
                / Double(readerCount)
            let bytes = cost.itemByteCount * Double(job.training.items.count) * scale
            let uncached = max(0, 1 - Double(cache.memoryByteLimit) / max(1, bytes))
            let onDisk =
                cache.folder == nil ? 0 : min(1, Double(cache.diskByteLimit) / max(1, bytes))
            let rereading =
                uncached * reading
                * (1 - onDisk + onDisk * cost.restoreSeconds / max(1e-9, cost.itemSeconds))
            var epochs = Double(configuration.epochCount)
            if job.plan.model.likelihood == .gaussianPerElement { epochs *= 1.25 }
            let stepping = steps * cost.stepSeconds
            // Reading goes on beside the steps; the slower of both counts.
            // Members are trained one after the other; the first leaves what it read.
            seconds +=
                max(stepping, reading) + (members * epochs - 1) * max(stepping, rereading)
                + members * epochs * heldOutWindows * cost.evaluationSeconds
            // Scores of the held-out items, of those for thresholds, and what scores are fitted to.
            var scored =
                min(20_000, Double(prepared.split.calibration.count) * scale) * windowsOfItem
            if detects {
                // Twice over the held-out items and those for thresholds: for scores and for maps.
                scored = 2 * (scored + heldOutWindows) + min(8192, windows)
                seconds += try cost.mixtureSeconds(windowCount: Int(windows), job: job)
                if request.scoreKind == .masked {
                    seconds += try cost.maskedSeconds(windowCount: Int(windows), job: job)
                }
            }
            seconds += members * scored * cost.scoringSeconds
            if !detects {
                seconds += try cost.deformationSeconds(request.deformationStepCount, job: job)
                seconds += try cost.flowSeconds(request.flowStepCount, job: job)
            }
            cacheByteCount += min(
                bytes + bytes * heldOutWindows / max(1, windows),
                Double(cache.memoryByteLimit + WindowSource.poolByteLimit))
            views.append(
                TrainingForecast.View(
                    model: job.plan.model, preprocessing: job.plan.preprocessing,
                    windowCount: Int(windows), batchSize: configuration.batchSize,
                    epochCount: configuration.epochCount, stepSeconds: cost.stepSeconds))
        }
        let split = prepared.split
        return TrainingForecast(
            purpose: prepared.plan.purpose, viewReason: prepared.plan.viewReason,
            trainingCount: whole(split.training.count), heldOutCount: whole(split.heldOut.count),
            calibrationCount: whole(split.calibration.count), views: views,
            // Steps were taken in this very process; what is kept between them comes on top.
            seconds: seconds + itemSeconds(prepared.jobs) * Double(itemCount) / Double(readerCount),
            byteCount: residentByteCount() + Int(cacheByteCount + fitByteCount) + 300 * itemCount)
    }

    /// What distances and other scores of the windows of one view are fitted in.
    private static func fitByteCount(windows: Double, of job: ViewJob, detects: Bool) -> Double {
        guard detects else { return 0 }
        let length = Double(job.plan.model.elementCount)
        // The windows, what is made of them and copies of both, and the distances of one kind.
        let count = min(windows, 8192, Double(NeighbourDistance.valueLimit) / length)
        return 4 * (6 * count * length + count * count)
    }

    /// Seconds in which a file is decoded for the survey.
    private static func itemSeconds(_ jobs: [ViewJob]) -> Double {
        let paths = jobs[0].training.items.prefix(16).map(\.item)
        let seconds = ViewCost.seconds {
            _ = Survey(of: paths, domain: jobs[0].plan.preprocessing.domain, threadCount: 1) {
                _, _ in
            }
        }
        return seconds / Double(max(1, paths.count))
    }

    /// Memory of this process that lies in the machine's.
    private static func residentByteCount() -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        let fields = text.split(separator: " ").compactMap { Int($0) }
        return fields.count > 1 ? fields[1] * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }
}

/// What the parts of training one view take, measured on files of the data.
private struct ViewCost {
    /// Seconds and bytes of decoding one item.
    let itemSeconds: Double
    let itemByteCount: Double
    /// Seconds of taking one item from a cache on the disk that the system has in memory.
    let restoreSeconds: Double
    /// Seconds of one step.
    let stepSeconds: Double
    /// Seconds of one held-out window.
    let evaluationSeconds: Double
    /// Seconds of scoring one window.
    let scoringSeconds: Double

    /// Batches that are tried, at most; passes over so many count as epochs do, with their readers.
    private static let batchLimit = 8
    private static let warmUpCount = 2
    private static let secondLimit = 1.0

    static func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = ContinuousClock.now
        try body()
        return (ContinuousClock.now - start) / .seconds(1)
    }

    init(of job: TrainingRun.ViewJob, device: Device, drawCount: Int) throws {
        let preprocessing = job.plan.preprocessing
        let batchSize = job.configuration.batchSize
        var items: [SurveyedItem] = []
        var windowCount = 0
        for item in job.training.items where windowCount < Self.batchLimit * batchSize {
            items.append(item)
            windowCount += job.training.windowCount(item)
        }
        let gate = LargeFileGate()
        let timed = items.prefix(16)
        var maps: [FeatureMap] = []
        itemSeconds =
            try Self.seconds {
                for item in timed {
                    maps.append(
                        try preprocessing.windows(ofFile: item.item.path, gate: gate).map)
                }
            } / Double(max(1, timed.count))
        itemByteCount =
            Double(maps.reduce(0) { $0 + $1.byteCount }) / Double(max(1, timed.count))
        let records = maps.map { WindowRecord.bytes(of: $0, word: 0) }
        restoreSeconds =
            Self.seconds {
                for (map, record) in zip(maps, records) {
                    _ = WindowRecord.map(of: record, word: 0, shape: map.shape)
                }
            } / Double(max(1, timed.count))

        func source(_ items: [SurveyedItem]) throws -> WindowSource {
            try WindowSource(
                items, preprocessing: preprocessing, threadCount: 2,
                conditioning: job.plan.model.conditioning)
        }
        let some = try source(items)
        let trainer = try Trainer(
            Trainer.Job(
                configuration: job.configuration, model: job.plan.model, training: some,
                heldOut: try source(Array(items.prefix(64))), plan: "", checkpointPath: "",
                checkpointInterval: .infinity),
            device: device, observer: Trainer.Observer(onEvent: { _ in }))
        let order = Generator(seed: job.configuration.seed, Stream.order.rawValue)
        func pass() -> WindowSource.Pass {
            some.batches(shuffledBy: order, batchSize: batchSize)
        }
        // A first pass reads the files.
        let reading = pass()
        var batches: [WindowBatch] = []
        while let batch = try reading.next() {
            if batches.count < Self.warmUpCount { batches.append(batch) }
        }
        var count = 0
        func step(_ batch: WindowBatch) throws {
            try trainer.step(.bound, batch: batch, progress: 0.5)
            try trainer.average?.update(step: count)
            count += 1
        }
        for batch in batches { try step(batch) }
        count = 0
        let start = ContinuousClock.now
        func elapsed() -> Double { (ContinuousClock.now - start) / .seconds(1) }
        while count < 2 || elapsed() < Self.secondLimit {
            let running = pass()
            while count < 2 || elapsed() < Self.secondLimit, let batch = try running.next() {
                try step(batch)
            }
        }
        stepSeconds = elapsed() / Double(count)
        let evaluated = Double(max(1, trainer.job.heldOut.windowCount))
        // The first pass reads the files.
        _ = try trainer.evaluate(.bound)
        evaluationSeconds = try Self.seconds { _ = try trainer.evaluate(.bound) } / evaluated

        let model = trainer.model
        let length = model.configuration.elementCount
        let rows = min(32, batches[0].count)
        let x = try model.batch(Array(batches[0].values.prefix(rows * length)))
        let condition = try model.condition(batches[0].items.prefix(rows).map { some.codes($0) })
        var noise = Generator(seed: 0, Stream.scoring.rawValue)
        scoringSeconds =
            try Self.seconds {
                _ = try model.statistics(of: x, condition: condition, drawCount: drawCount) {
                    _, draws in
                    noise.normals(draws.count * model.noiseCount)
                }
            } / Double(rows)
    }

    /// Seconds in which a network learns to fill in what is hidden.
    func maskedSeconds(windowCount: Int, job: TrainingRun.ViewJob) throws -> Double {
        let shape = job.plan.model.window
        let rows = max(1, min(windowCount, 256))
        var generator = Generator(seed: 0, Stream.fittedScores.rawValue)
        let x = try Tensor(
            generator.normals(rows * shape.elementCount), shape: [rows, shape.elementCount])
        let windows = ScoredWindows(
            x: x, posteriorMean: try Tensor.zeros(shape: [rows, 1]), reconstructed: x, shape: shape)
        func fit(_ steps: Int) throws -> Double {
            try Self.seconds { _ = try MaskedError(fittedTo: windows, stepCount: steps) }
        }
        let base = try fit(1)
        let step = max(0, try fit(6) - base) / 5
        return base * Double(min(windowCount, 8192)) / Double(rows)
            + Double(MaskedError.stepCount) * step
    }

    /// Seconds in which deformations are learned, where there are pairs to learn them from.
    func deformationSeconds(_ stepCount: Int?, job: TrainingRun.ViewJob) throws -> Double {
        let count = stepCount ?? DeformationNetwork.defaultStepCount
        guard count > 0, DeformationPairs.exist(in: job.training) else { return 0 }
        let preprocessing = job.plan.preprocessing
        var configuration = DeformationConfiguration(
            windowing: preprocessing.windowing, channelCount: preprocessing.channelCount,
            stepCount: 1, itemCount: 2)
        let map = [Float](repeating: 0.5, count: configuration.elementCount)
        let pairs = DeformationPairs(maps: [map, map], labels: [nil, nil])
        func fit(_ steps: Int) throws -> Double {
            configuration.stepCount = steps
            return try Self.seconds {
                _ = try DeformationNetwork.fitted(
                    to: pairs, configuration: configuration, isImage: true, seed: 0
                ) { _ in }
            }
        }
        let base = try fit(1)
        return Double(count) * max(0, try fit(6) - base) / 5
    }

    /// Seconds in which a flow of the latents is learned, in both of its runs.
    func flowSeconds(_ stepCount: Int, job: TrainingRun.ViewJob) throws -> Double {
        guard stepCount > 0 else { return 0 }
        let width = job.plan.model.latentCount
        var generator = Generator(seed: 0, Stream.latentFlow.rawValue)
        let z = try Tensor(generator.normals(64 * width), shape: [64, width])
        let latents = try LabelledPosteriors(
            Posterior(mean: z, logVariance: z), groups: [Int](repeating: 0, count: 64))
        func fit(_ steps: Int) throws -> Double {
            try Self.seconds {
                _ = try LatentFlow.fitted(
                    to: latents, groups: nil, stepCount: steps, seed: 0
                ) { _, _ in }
            }
        }
        let base = try fit(1)
        return Double(stepCount) * max(0, try fit(6) - base) / 5
    }

    /// Seconds in which a mixture of networks is fitted and its use found out, where one is.
    func mixtureSeconds(windowCount: Int, job: TrainingRun.ViewJob) throws -> Double {
        guard windowCount >= MixtureError.smallestWindowCount,
            job.plan.preprocessing.windowing.mode != .grid
        else { return 0 }
        var generator = Generator(seed: 0, Stream.fittedScores.rawValue)
        let rows = min(windowCount, 3000)
        let x = try Tensor(generator.normals(rows * 64), shape: [rows, 64])
        func fit(_ steps: Int) throws -> Double {
            try Self.seconds { _ = try LocalAutoencoders(fittedTo: x, stepCount: steps) }
        }
        let base = try fit(1)
        let step = max(0, try fit(6) - base) / 5
        return base + Double(LocalAutoencoders.stepCount) * step
    }
}
