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
/// them.
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

    private let views: [DetectorView]
    private let ensemble: Ensemble?
    private let requested: RequestedScores
    private let rounds: DrawRounds?
    private let configuration: Configuration

    /// Makes a scorer from a model file; the model stays on the calling thread.
    ///
    /// - Throws: ``LatentError`` `.model` for a file whose parts do not fit together, `.usage` for a
    ///   requested score that the model does not have, or one by which no verdict is certain early
    public convenience init(
        file: ModelFile, device: Device, configuration: Configuration
    ) throws {
        var configuration = configuration
        configuration.regretStepCount = file.record.regretSteps
        try self.init(
            try file.views(on: device), ensemble: file.record.ensemble,
            configuration: configuration)
    }

    /// Makes a scorer of at least one view.
    init(
        _ views: [DetectorView], ensemble: Ensemble? = nil, configuration: Configuration
    ) throws(LatentError) {
        requested = try RequestedScores(
            configuration.requestedKinds, of: views[0].model.configuration,
            regretStepCount: configuration.regretStepCount)
        rounds =
            if let stopping = configuration.stopping {
                try DrawRounds(
                    stopping, ensemble: ensemble, drawCount: configuration.drawCount)
            } else { nil }
        self.views = views
        self.ensemble = ensemble
        self.configuration = configuration
    }

    /// Scores items and hands each result on in the order of the items.
    ///
    /// At most a few batches of windows are in memory, whatever the number of items.
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
        )(items, threadCount: configuration.readerCount, capacity: 2 * configuration.batchSize)
        var waiting: [ScoredEntry] = []
        var isAtEnd = false
        var leftOfGroup = 0
        while !isAtEnd || !waiting.isEmpty {
            var isPaused = false
            if leftOfGroup == 0, waiting.isEmpty { leftOfGroup = configuration.batchSize }
            while !isAtEnd, !isPaused, leftOfGroup > 0,
                waiting.reduce(0, { $0 + $1.windowsLeft }) < configuration.batchSize * views.count
            {
                switch reader.next(within: waiting.isEmpty ? nil : configuration.pause) {
                case .result(let read):
                    let draws = rounds?.first(for: read.item) ?? 0..<configuration.drawCount
                    waiting.append(ScoredEntry(read, draws: draws))
                    leftOfGroup -= 1
                case .pause: isPaused = true
                case .end: isAtEnd = true
                }
            }
            for view in views.indices { try evaluateBatch(of: &waiting, view: view) }
            for index in waiting.indices { endRound(of: &waiting[index]) }
            let done = waiting.prefix { $0.windowsLeft == 0 }.count
            for entry in waiting.prefix(done) {
                try emit(entry.item, entry.content.map { summary(entry, of: $0.views) })
            }
            waiting.removeFirst(done)
        }
    }

    /// Takes a batch of a view's windows from the front of the queue and adds their figures.
    private func evaluateBatch(of waiting: inout [ScoredEntry], view: Int) throws {
        let model = views[view].model
        var values: [Float] = []
        var keys: [WindowKey] = []
        var places: [(entry: Int, window: Int)] = []
        var codes: [[Int]] = []
        var round: Range<Int>?
        for index in waiting.indices {
            guard case .success(let content) = waiting[index].content else { continue }
            let take = min(
                waiting[index].windowsLeft(view), configuration.batchSize - places.count)
            guard take > 0, round == nil || round == waiting[index].draws else { continue }
            round = waiting[index].draws
            let first = waiting[index].windowsTaken[view]
            values += content.views[view].values(first..<first + take)
            for window in first..<first + take {
                keys.append(WindowKey(hash: content.views[view].hash, window: window))
                places.append((index, window))
                codes.append(content.codes)
            }
            waiting[index].windowsTaken[view] += take
        }
        guard let round else { return }
        let x = try model.batch(values)
        let condition = try model.condition(codes)
        var scores: [[ScoreKind: [Double]]] = []
        for (index, member) in views[view].members.enumerated() {
            let earlier =
                round.lowerBound == 0
                ? nil
                : try VAE.Statistics(
                    joining: places.map { waiting[$0.entry].drawn[view][$0.window][index] })
            let (ofMember, statistics) = try self.scores(
                of: x, condition: condition, by: member, isOfFirstView: view == 0, draws: round,
                after: earlier
            ) { window, draws in
                self.noise(of: keys[window], draws: draws, view: view, member: index)
            }
            scores.append(ofMember)
            guard rounds?.next(after: round.upperBound) != nil else { continue }
            for (row, place) in places.enumerated() {
                waiting[place.entry].keep(
                    VAE.Statistics.Row(statistics: statistics, index: row), view: view,
                    window: place.window, member: index)
            }
        }
        for (kind, values) in DetectorView.mean(scores) {
            for (value, place) in zip(values, places) {
                waiting[place.entry].set(value, kind, view: view, window: place.window)
            }
        }
    }

    /// What a member makes of a batch of windows, by kind, [B] each, and of which draws.
    ///
    /// After earlier draws only what further ones change is computed.
    private func scores(
        of x: Tensor, condition: Tensor?, by member: DetectorView.Member, isOfFirstView: Bool,
        draws: Range<Int>, after earlier: VAE.Statistics?,
        noise: @escaping (_ window: Int, _ draws: Range<Int>) -> [Float]
    ) throws -> ([ScoreKind: [Double]], VAE.Statistics) {
        let model = member.model
        var statistics = try model.statistics(
            of: x, condition: condition, drawCount: draws.count
        ) { noise($0, $1.lowerBound + draws.lowerBound..<$1.upperBound + draws.lowerBound) }
        if let earlier { statistics = try earlier.appending(statistics) }
        var scores = statistics.scores
        let windows = try ScoredWindows(x, statistics, shape: model.configuration.window)
        scores.merge(try member.fitted.values(of: windows, onlyDrawn: earlier != nil)) { $1 }
        if isOfFirstView, earlier == nil {
            let batch = ScoredBatch(
                model: model, x: x, condition: condition, drawCount: configuration.drawCount,
                noise: noise, statistics: statistics)
            scores.merge(try requested.values(of: batch)) { $1 }
        }
        return (scores, statistics)
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

    /// What the noise of a window is keyed by.
    private struct WindowKey {
        let hash: ContentHash
        let window: Int
    }

    /// The noise of some draws of a window, [draws, D].
    private func noise(
        of key: WindowKey, draws: Range<Int>, view: Int, member: Int
    ) -> [Float] {
        var noise: [Float] = []
        for draw in draws {
            // Views and members have draws of their own; those of the first do not depend on there
            // being others.
            var generator = Generator(
                seed: configuration.seed,
                Stream.scoring.rawValue &+ UInt64(view) << 32 &+ UInt64(member) << 48,
                key.hash.word, UInt64(key.window), UInt64(draw))
            noise += generator.normals(views[view].model.noiseCount)
        }
        return noise
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
            conversions: windows[0].source.conversions)
    }
}
