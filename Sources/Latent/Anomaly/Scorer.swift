import Torch

/// The figures of one file.
public struct ItemScore: Sendable {
    /// Each kind of score, aggregated over the windows; larger is more anomalous.
    public let values: [ScoreKind: Double]
    /// Number of windows.
    public let windowCount: Int
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
public final class Scorer {
    /// How scoring is done; none of it changes a score beyond rounding, but the seed and draws.
    public struct Configuration: Sendable {
        /// The source of the draws.
        public var seed: UInt64 = 0
        /// L, draws of z for each window.
        public var drawCount: Int
        /// Windows of a batch.
        public var batchSize = 32
        /// Threads that read files ahead.
        public var readerCount = 2
        /// Labels that all files are taken to have, by attribute, instead of their own.
        public var assignments: [String: String] = [:]

        /// Makes a configuration.
        public init(drawCount: Int) { self.drawCount = drawCount }
    }

    private let model: VAE
    private let preprocessing: Preprocessing
    private let aggregate: Aggregate
    private let fitted: FittedScores
    private let ensemble: Ensemble?
    private let configuration: Configuration

    /// Makes a scorer from a model file; the model stays on the calling thread.
    ///
    /// - Throws: ``LatentError`` `.model` for a file whose parts do not fit together
    public convenience init(
        file: ModelFile, device: Device, configuration: Configuration
    ) throws {
        self.init(
            model: try file.model(on: device), preprocessing: file.record.preprocessing,
            aggregate: file.record.aggregate,
            fitted: try FittedScores(weights: file.weights, on: device),
            ensemble: file.record.ensemble, configuration: configuration)
    }

    init(
        model: VAE, preprocessing: Preprocessing, aggregate: Aggregate,
        fitted: FittedScores = FittedScores(), ensemble: Ensemble? = nil,
        configuration: Configuration
    ) {
        self.model = model
        self.preprocessing = preprocessing
        self.aggregate = aggregate
        self.fitted = fitted
        self.ensemble = ensemble
        self.configuration = configuration
    }

    private struct Entry {
        let item: Item
        let result: Result<ItemWindows, ItemFailed>
        var codes: [Int] = []
        var figures: [ScoreKind: [Double]] = [:]
        var windowsTaken = 0

        var windowsLeft: Int {
            guard case .success(let windows) = result else { return 0 }
            return windows.count - windowsTaken
        }
    }

    /// Why an item has no score.
    public struct ItemFailed: Error, Sendable {
        /// What is wrong with the file.
        public let error: ItemError
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
        let preprocessing = preprocessing
        let conditioning = model.configuration.conditioning
        let assigned = try conditioning?.codes(ofAssignments: configuration.assignments) ?? []
        let gate = LargeFileGate()
        let reader = ReadAhead(
            items.makeIterator(), threadCount: configuration.readerCount,
            capacity: 2 * configuration.batchSize,
            byteCount: { (try? $0.result.get())?.byteCount ?? 0 }
        ) { item in
            do {
                let codes = try conditioning?.codes(of: item, assigned: assigned) ?? []
                return Entry(
                    item: item,
                    result: .success(try preprocessing.windows(ofFile: item.path, gate: gate)),
                    codes: codes)
            } catch {
                return Entry(item: item, result: .failure(ItemFailed(error: ItemError(error))))
            }
        }
        var waiting: [Entry] = []
        var isAtEnd = false
        while !isAtEnd || !waiting.isEmpty {
            while !isAtEnd,
                waiting.reduce(0, { $0 + $1.windowsLeft }) < configuration.batchSize,
                waiting.count < 4 * configuration.batchSize
            {
                if let entry = reader.next() { waiting.append(entry) } else { isAtEnd = true }
            }
            try evaluateBatch(of: &waiting)
            let done = waiting.prefix { $0.windowsLeft == 0 }.count
            for entry in waiting.prefix(done) {
                try emit(entry.item, entry.result.map { summary(entry, of: $0) })
            }
            waiting.removeFirst(done)
        }
    }

    /// Takes a batch of windows from the front of the queue and adds their figures.
    private func evaluateBatch(of waiting: inout [Entry]) throws {
        var values: [Float] = []
        var keys: [(hash: ContentHash, window: Int)] = []
        var owners: [Int] = []
        for index in waiting.indices {
            guard case .success(let windows) = waiting[index].result else { continue }
            let take = min(waiting[index].windowsLeft, configuration.batchSize - owners.count)
            guard take > 0 else { continue }
            let first = waiting[index].windowsTaken
            values += windows.values(first..<first + take)
            for window in first..<first + take {
                keys.append((windows.hash, window))
                owners.append(index)
            }
            waiting[index].windowsTaken += take
        }
        guard !owners.isEmpty else { return }
        let x = try model.batch(values)
        let statistics = try model.statistics(
            of: x,
            condition: model.condition(owners.map { waiting[$0].codes }),
            drawCount: configuration.drawCount
        ) { noise(of: keys[$0].hash, window: keys[$0].window, draws: $1) }
        let fittedValues = try fitted.values(of: ScoredWindows(x, statistics))
        for (position, owner) in owners.enumerated() {
            let reconstruction = statistics.reconstruction[position]
            let divergence = statistics.klDivergence[position]
            let figures: [(ScoreKind, Double)] = [
                (.reconstructionProbability, -reconstruction),
                (.elbo, divergence - reconstruction), (.kl, divergence),
                (.mse, statistics.meanSquaredError[position]),
                (.iwBound, -statistics.importanceBound[position]),
            ]
            for (kind, value) in figures { waiting[owner].figures[kind, default: []].append(value) }
            for (kind, values) in fittedValues {
                waiting[owner].figures[kind, default: []].append(values[position])
            }
        }
    }

    /// The noise of some draws of a window, [draws, D].
    private func noise(of hash: ContentHash, window: Int, draws: Range<Int>) -> [Float] {
        var noise: [Float] = []
        for draw in draws {
            var generator = Generator(
                seed: configuration.seed, Stream.scoring.rawValue, hash.word, UInt64(window),
                UInt64(draw))
            noise += generator.normals(model.noiseCount)
        }
        return noise
    }

    private func summary(_ entry: Entry, of windows: ItemWindows) -> ItemScore {
        var values = entry.figures.mapValues { aggregate($0) }
        values[.ensemble] = ensemble?.value(of: values)
        return ItemScore(
            values: values, windowCount: windows.count,
            hash: windows.hash, conversions: windows.source.conversions)
    }
}
