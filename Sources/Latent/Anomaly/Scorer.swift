import Torch

/// The figures of one file.
public struct ItemScore: Sendable {
    /// Each kind of score, aggregated over the windows; larger is more anomalous.
    public let values: [ScoreKind: Double]
    /// The same of the model's further views.
    public let further: [[ScoreKind: Double]]
    /// Number of windows of the first view.
    public let windowCount: Int
    /// Draws of z for each window; fewer than asked for where the verdict was certain before.
    public let drawCount: Int
    /// SHA-256 of the file.
    public let hash: ContentHash
    /// Conversions on the way in that lose something.
    public let conversions: [String]
    /// What the file lacks of what the model reads, in words.
    public let losses: [String]
}

/// Scores files by what a model makes of them.
///
/// The noise of a draw is keyed by (seed, content, window, draw): the score of a file depends on
/// nothing that is scored with it, nor on batch size, order or threads beyond the rounding of
/// float32.
///
/// What rounding there is depends on the shape of a batch and on a window's place in it, as kernels
/// for matrix products differ at their edges. Items are therefore scored in groups of as many items
/// as a batch has windows, counted from the first, and no batch has windows of two groups: whoever
/// scores whole groups in the same order computes the same to the last bit. ``Shard`` divides by
/// them. On the processor each thread scores whole batches by operations that are serial, so that their
/// number changes nothing, but where models of their own would be too large (``ScoringLanes``).
///
/// With ``SequentialStopping`` a batch has the windows of one round of draws, of one group as well. Where
/// a file is at the edge of certainty, that rounding may decide whether it has another round.
public final class Scorer {
    /// How scoring is done; none of it changes a score beyond rounding, but the seed and draws.
    public struct Configuration: Sendable {
        /// The source of the draws.
        public var seed: UInt64 = 0
        /// L, draws of z for each window.
        public var drawCount: Int
        /// Windows of a batch, and items of a group.
        public var batchSize = 32
        /// Seconds without a further item after which a batch is begun though it is not full.
        ///
        /// Nil waits for full batches, whose windows do not depend on when items come.
        public var pause: Double?
        /// Threads that read files ahead.
        public var readerCount = 2
        /// Labels that all files are taken to have, by attribute, instead of their own.
        public var assignments: [String: String] = [:]
        /// Scores that are computed beside those that cost nothing, of the first view.
        public var requestedKinds: Set<ScoreKind> = []
        /// When a file has draws enough; nil takes all for each.
        public var stopping: SequentialStopping?
        /// Steps of `regret`.
        var regretStepCount = LikelihoodRegret.defaultStepCount

        /// Makes a configuration.
        public init(drawCount: Int) { self.drawCount = drawCount }
    }

    private let lanes: ScoringLanes
    private let ensemble: Ensemble?
    private let rounds: DrawRounds?
    private let configuration: Configuration

    private var views: [DetectorView] { lanes.views }

    /// Makes a scorer from a model file; on the processor each thread has its own model.
    ///
    /// - Throws: ``LatentError`` `.model` for a file whose parts do not fit together, `.usage` for a
    ///   requested score that the model does not have, or one by which no verdict is certain early
    public convenience init(
        file: ModelFile, device: Device, configuration: Configuration
    ) throws {
        var configuration = configuration
        configuration.regretStepCount = file.record.regretSteps
        let count = device == .cpu ? ScoringLanes.count(of: file) : 1
        try self.init(
            try (0..<count).map { _ in try file.views(on: device) },
            ensemble: file.record.ensemble, configuration: configuration)
    }

    /// Makes a scorer of at least one view, on the calling thread.
    convenience init(
        _ views: [DetectorView], ensemble: Ensemble? = nil, configuration: Configuration
    ) throws(LatentError) {
        try self.init([views], ensemble: ensemble, configuration: configuration)
    }

    /// Makes a scorer of the same views for each of its threads.
    private init(
        _ copies: [[DetectorView]], ensemble: Ensemble?, configuration: Configuration
    ) throws(LatentError) {
        rounds =
            if let stopping = configuration.stopping {
                try DrawRounds(
                    stopping, ensemble: ensemble, drawCount: configuration.drawCount)
            } else { nil }
        lanes = try ScoringLanes(copies, configuration: configuration, rounds: rounds)
        self.ensemble = ensemble
        self.configuration = configuration
    }

    /// Scores items and hands each result on in the order of the items.
    ///
    /// At most a few batches of windows for each thread are in memory, whatever the number of items.
    ///
    /// - Parameters:
    ///   - items: consumed lazily, on reader threads
    ///   - emit: called once for each item, on the calling thread; throwing ends the run
    /// - Throws: what `emit` throws, and `TorchError` when the model cannot be run
    public func score(
        _ items: some Sequence<Item>,
        emit: (Item, Result<ItemScore, ItemFailed>) throws -> Void
    ) throws {
        let reader = try ItemReader(
            preprocessings: views.map(\.preprocessing),
            conditioning: views.first?.model.configuration.conditioning,
            assignments: configuration.assignments
        )(
            items, threadCount: configuration.readerCount,
            capacity: (lanes.size + 1) * configuration.batchSize)
        var waiting: [ScoredEntry] = []
        var itemCount = 0
        var isAtEnd = false
        while !isAtEnd || !waiting.isEmpty {
            var isPaused = false
            // Counted on, not anew: with many threads many items wait.
            var left = waiting.reduce(0) { $0 + $1.windowsLeft }
            var leftOfOpen = waiting.reduce(0) {
                $0 + ($1.group == itemCount / configuration.batchSize ? $1.windowsLeft : 0)
            }
            while !isAtEnd, !isPaused,
                wantsItem(after: itemCount, left: left, ofOpenGroup: leftOfOpen)
            {
                switch reader.next(within: waiting.isEmpty ? nil : configuration.pause) {
                case .result(let read):
                    let entry = ScoredEntry(
                        read, group: itemCount / configuration.batchSize,
                        draws: rounds?.first(for: read.item) ?? 0..<configuration.drawCount)
                    waiting.append(entry)
                    itemCount += 1
                    left += entry.windowsLeft
                    leftOfOpen =
                        itemCount % configuration.batchSize == 0
                        ? 0 : leftOfOpen + entry.windowsLeft
                case .pause: isPaused = true
                case .end: isAtEnd = true
                }
            }
            let openGroup = isAtEnd || isPaused ? nil : itemCount / configuration.batchSize
            let batches = takeBatches(of: &waiting, openGroup: openGroup)
            for (batch, result) in zip(batches, try lanes.results(of: batches)) {
                put(result, of: batch, into: &waiting)
            }
            for index in waiting.indices { endRound(of: &waiting[index]) }
            let done = waiting.prefix { $0.windowsLeft == 0 }.count
            for entry in waiting.prefix(done) {
                try emit(entry.item, entry.content.map { summary(entry, of: $0.views) })
            }
            waiting.removeFirst(done)
        }
    }

    /// Whether a further item is needed before batches are taken.
    ///
    /// With rounds, what a batch has depends on what is known of its group: a group that is not whole is
    /// then read as far as its next batch needs, however many threads wait.
    private func wantsItem(after itemCount: Int, left: Int, ofOpenGroup leftOfOpen: Int) -> Bool {
        let batch = configuration.batchSize * views.count
        return rounds != nil && itemCount % configuration.batchSize > 0
            ? leftOfOpen < batch : left < batch * lanes.size
    }

    /// Batches that wait for each lane, at most: a long recording has thousands, which would be copied at
    /// once.
    private static let batchesOfLane = 2

    /// Takes batches from the front of each group: those that are full, and of a group that is whole what
    /// remains; with rounds one of each view, else as many as are done before more are taken.
    ///
    /// They are the same whatever is scored beside the group, and by how many threads.
    private func takeBatches(
        of waiting: inout [ScoredEntry], openGroup: Int?
    ) -> [ScoringBatch] {
        var batches: [ScoringBatch] = []
        var start = 0
        while start < waiting.count {
            let group = waiting[start].group
            let end = waiting[start...].firstIndex { $0.group != group } ?? waiting.count
            for view in views.indices {
                var left = waiting[start..<end].reduce(0) { $0 + $1.windowsLeft(view) }
                let least = group == openGroup && rounds == nil ? configuration.batchSize : 1
                while left >= least {
                    guard rounds != nil || batches.count < Self.batchesOfLane * lanes.size else {
                        return batches
                    }
                    guard let batch = takeBatch(of: &waiting, start..<end, view: view) else {
                        break
                    }
                    batches.append(batch)
                    left -= batch.places.count
                    if rounds != nil { break }
                }
            }
            start = end
        }
        return batches
    }

    /// Takes a batch of a view's windows, all for the same draws, from the front of some entries.
    private func takeBatch(
        of waiting: inout [ScoredEntry], _ entries: Range<Int>, view: Int
    ) -> ScoringBatch? {
        var batch: ScoringBatch?
        for index in entries {
            guard case .success(let content) = waiting[index].content else { continue }
            let draws = waiting[index].draws
            let take = min(
                waiting[index].windowsLeft(view),
                configuration.batchSize - (batch?.places.count ?? 0))
            guard take > 0, batch.map({ $0.draws == draws }) ?? true else { continue }
            var taken = batch ?? ScoringBatch(view: view, draws: draws)
            let first = waiting[index].windowsTaken[view]
            taken.values += content.views[view].values(first..<first + take)
            for window in first..<first + take {
                taken.keys.append(
                    ScoringBatch.Key(hash: content.views[view].hash, window: window))
                taken.places.append((index, window))
                taken.codes.append(content.codes)
                if draws.lowerBound > 0 {
                    taken.earlier.append(waiting[index].drawn[view][window])
                }
            }
            waiting[index].windowsTaken[view] += take
            batch = taken
        }
        return batch
    }

    /// Adds what was found of a batch to the items that its windows are of.
    private func put(
        _ result: ScoringBatch.Result, of batch: ScoringBatch, into waiting: inout [ScoredEntry]
    ) {
        for (member, statistics) in result.kept.enumerated() {
            for (row, place) in batch.places.enumerated() {
                waiting[place.entry].keep(
                    VAE.Statistics.Row(statistics: statistics, index: row), view: batch.view,
                    window: place.window, member: member)
            }
        }
        for (kind, values) in result.scores {
            for (value, place) in zip(values, batch.places) {
                waiting[place.entry].set(value, kind, view: batch.view, window: place.window)
            }
        }
    }

    /// Gives an item whose round is over its next one, unless its verdict is certain.
    private func endRound(of entry: inout ScoredEntry) {
        guard let rounds, entry.windowsLeft == 0, !entry.isSettled,
            case .success = entry.content
        else { return }
        let taken = entry.draws.upperBound
        guard let next = rounds.next(after: taken) else { return entry.begin(nil) }
        let isCertain = rounds.isCertain(
            entry.item, after: taken, scores: scores(of: entry),
            windows: { (entry.figures[$0.view][$0.kind] ?? [], entry.draws(of: $0)) },
            views: views.map(\.aggregate))
        entry.begin(isCertain ? nil : next)
    }

    /// The scores of an item by the draws so far, of each view.
    private func scores(of entry: ScoredEntry) -> [[ScoreKind: Double]] {
        var values = zip(views, entry.figures).map { view, figures in
            figures.mapValues { view.aggregate($0) }
        }
        values[0][.ensemble] = ensemble?.value(of: values)
        return values
    }

    private func summary(_ entry: ScoredEntry, of windows: [ItemWindows]) -> ItemScore {
        let values = scores(of: entry)
        return ItemScore(
            values: values[0], further: Array(values.dropFirst()), windowCount: windows[0].count,
            drawCount: entry.draws.upperBound, hash: windows[0].hash,
            conversions: windows[0].source.conversions, losses: windows[0].source.losses)
    }
}
