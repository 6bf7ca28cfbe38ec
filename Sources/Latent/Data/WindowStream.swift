import Foundation
import Torch

/// A batch of windows on the host, or this process's rows of one.
struct WindowBatch {
    /// `count` windows of [C, H, W].
    var values: [Float]
    /// Number of windows.
    var count: Int
    /// Windows of the whole batch.
    var wholeCount: Int
    /// Places of the windows in the whole batch.
    var positions: [Int]
    /// Indices of the windows' items.
    var items: [Int]
    /// For each window, the content word of its item and its index in it.
    var keys: [(contentWord: UInt64, window: Int)]
}

/// Items as windows, decoded on other threads and kept up to a bound: in memory, and where that does not
/// do, on the disk.
final class WindowSource: Sendable {
    let items: [SurveyedItem]
    let preprocessing: Preprocessing
    /// Number of windows of all items; each step of training asks for it.
    let windowCount: Int
    private let threadCount: Int
    private let cache: WindowCache
    /// What does not fit in memory; nil where all does, or nothing is to be kept on the disk.
    private let store: WindowStore?
    private let gate = LargeFileGate()

    private let poolByteLimit: Int
    private let conditionCodes: [[Int]]
    private let classWeights: [String?: Float]

    static let poolByteLimit = 48 << 20

    /// Makes a source that keeps windows decoded between epochs as `cache` has it, and shuffles
    /// `poolByteLimit` of them among each other.
    init(
        _ items: [SurveyedItem], preprocessing: Preprocessing, threadCount: Int,
        conditioning: Conditioning? = nil, cache: CachePolicy = CachePolicy(),
        poolByteLimit: Int = WindowSource.poolByteLimit
    ) throws(LatentError) {
        self.items = items
        self.preprocessing = preprocessing
        windowCount = items.reduce(0) { $0 + preprocessing.windowCount(of: $1) }
        self.threadCount = threadCount
        self.poolByteLimit = poolByteLimit
        self.cache = WindowCache(byteLimit: cache.memoryByteLimit)
        store = cache.folder.flatMap { folder in
            let byteCount = items.reduce(0) {
                $0 + 4 * preprocessing.mapShape(of: $1).elementCount
            }
            return byteCount <= cache.memoryByteLimit
                ? nil
                : WindowStore(
                    items, preprocessing: preprocessing, in: folder,
                    byteLimit: cache.diskByteLimit)
        }
        var codes: [[Int]] = []
        if let conditioning {
            for item in items { codes.append(try conditioning.codes(of: item.item)) }
        }
        conditionCodes = codes
        let sizes = Dictionary(grouping: items, by: \.item.label).mapValues(\.count)
        classWeights = sizes.mapValues { Float(items.count) / Float(sizes.count * $0) }
    }

    /// The codes of an item's labels; empty without conditioning.
    func codes(_ index: Int) -> [Int] { conditionCodes.isEmpty ? [] : conditionCodes[index] }

    /// What a window of an item weighs for all classes to weigh the same; 1 on average.
    func balanceWeight(_ index: Int) -> Float { classWeights[items[index].item.label] ?? 1 }

    /// Indices of a pass in which all classes are equally frequent: as many as there are items.
    fileprivate func balancedIndices(using generator: inout Generator) -> [Int] {
        let groups = Dictionary(grouping: items.indices) { items[$0].item.label }
            .sorted { ($0.key ?? "") < ($1.key ?? "") }.map(\.value)
        var indices: [Int] = []
        for (rank, group) in groups.enumerated() {
            // Whole rounds of the class and a part of one, so that no item is left out for long.
            let target = (rank + 1) * items.count / groups.count - rank * items.count / groups.count
            var drawn: [Int] = []
            while drawn.count < target {
                drawn += group.shuffled(using: &generator).prefix(target - drawn.count)
            }
            indices += drawn
        }
        return indices.shuffled(using: &generator)
    }

    /// Number of windows of an item, from its size alone.
    func windowCount(_ item: SurveyedItem) -> Int { preprocessing.windowCount(of: item) }

    /// Why windows are decoded more often than they should be, once; nil where they are not.
    func takeCacheProblem() -> String? { store?.takeProblem() }

    /// What windows of an item are cut from: as it was kept, or of the file, which must not have changed.
    private func load(_ index: Int) -> Result<FeatureMap, FileChanged> {
        if let map = cache[index] { return .success(map) }
        let item = items[index]
        if let store,
            let map = gate.run(
                mapOf: 4 * preprocessing.mapShape(of: item).elementCount, { store.map(of: item) })
        {
            cache[index] = map
            return .success(map)
        }
        do {
            let windows = try preprocessing.windows(ofFile: item.item.path, gate: gate)
            guard windows.hash.word == item.contentWord, windows.count == windowCount(item) else {
                return .failure(FileChanged(path: item.item.path, message: "its content changed"))
            }
            cache[index] = windows.map
            // What memory has too: the next run begins without.
            if let store {
                gate.run(mapOf: windows.map.byteCount) { store.keep(windows.map, of: item) }
            }
            return .success(windows.map)
        } catch {
            return .failure(
                FileChanged(path: item.item.path, message: ItemError(error).message))
        }
    }

    struct FileChanged: Error {
        let path: String
        let message: String
    }

    /// Batches of one pass.
    ///
    /// Items in the given order are pooled up to a bound, and the windows of a pool are shuffled: for
    /// small data a full shuffle, for large data one in bounded memory.
    ///
    /// - Parameters:
    ///   - generator: the source of the order; nil keeps the order of the items
    ///   - batchSize: windows of a batch; the last one may be smaller
    ///   - skipping: batches that are left out at the start
    ///   - balanced: whether all classes are equally frequent
    ///   - team: the processes that divide each batch; this one reads the items of its rows only
    ///   - selection: the windows that are seen, not together with `balanced`; nil for all
    /// - Returns: the pass, before its first batch
    func batches(
        shuffledBy generator: Generator?, batchSize: Int, skipping: Int = 0,
        balanced: Bool = false, team: Team = .alone, of selection: Selection? = nil
    ) -> Pass {
        Pass(
            self, generator: generator, batchSize: batchSize, skipping: skipping,
            balanced: balanced, team: team, selection: selection)
    }

    /// Some of the windows; items that have none of them are not read.
    struct Selection {
        /// Windows by item.
        fileprivate let windows: [Int: [Int]]
    }

    /// Windows spread over all items, at most `limit`: the first of each of so many equal parts; nil
    /// where that is all of them.
    func spread(limit: Int) -> Selection? {
        let total = windowCount
        guard total > limit else { return nil }
        var windows: [Int: [Int]] = [:]
        guard limit > 0 else { return Selection(windows: windows) }
        var place = 0
        for (index, item) in items.enumerated() {
            for window in 0..<windowCount(item) {
                if place == 0 || place * limit / total > (place - 1) * limit / total {
                    windows[index, default: []].append(window)
                }
                place += 1
            }
        }
        return Selection(windows: windows)
    }

    /// A window with the index of the item that it is of.
    typealias Sampled = (item: Int, values: [Float])

    /// Hands over the windows of ``spread(limit:)``, batch by batch: one of them is in memory at a time.
    func forEachBatch(ofSample limit: Int, _ body: ([Sampled]) throws -> Void) throws {
        let pass = batches(shuffledBy: nil, batchSize: 64, of: spread(limit: limit))
        while let batch = try pass.next() {
            let length = batch.values.count / max(1, batch.count)
            try body(
                batch.items.enumerated().map { index, item in
                    (item, Array(batch.values[index * length..<(index + 1) * length]))
                })
        }
    }

    /// The windows of ``spread(limit:)`` in batches, all in memory.
    func sample(limit: Int) throws -> [[Sampled]] {
        var sample: [[Sampled]] = []
        try forEachBatch(ofSample: limit) { sample.append($0) }
        return sample
    }

    /// One pass over the windows.
    final class Pass {
        private let source: WindowSource
        private let batchSize: Int
        private let team: Team
        /// Gives the items that were not in memory when the pass began; nil where all were.
        private let reader: ReadAhead<Int, Result<FeatureMap, FileChanged>>?
        private let inMemory: Set<Int>
        private let indices: [Int]
        private let selection: Selection?
        /// Places in `indices` where pools begin, and their end.
        private let poolStarts: [Int]
        private var generator: Generator?
        private var pool: [Pooled?] = []
        private var order: [Entry] = []
        private var position = 0
        private var poolIndex = 0
        private var toSkip: Int
        /// Batches of the whole pass, those skipped included.
        let batchCount: Int

        /// What is kept of an item while its windows are seen.
        private enum Pooled {
            case map(FeatureMap)
            /// By index, where few windows of a large map are chosen.
            case windows([Int: [Float]])
        }

        /// A window: its item's place in the pool, and its index in it.
        private struct Entry {
            let item: Int
            let window: Int
        }

        init(
            _ source: WindowSource, generator: Generator?, batchSize: Int, skipping: Int,
            balanced: Bool, team: Team, selection: Selection?
        ) {
            self.source = source
            self.selection = selection
            self.batchSize = batchSize
            self.team = team
            self.generator = generator
            var indices = selection.map { $0.windows.keys.sorted() } ?? Array(source.items.indices)
            if var generator {
                if balanced {
                    indices = source.balancedIndices(using: &generator)
                } else {
                    indices.shuffle(using: &generator)
                }
                self.generator = generator
            }
            self.indices = indices
            let windowBytes =
                source.preprocessing.windowing.height * source.preprocessing.windowing.width
                * source.preprocessing.channelCount * 4
            var starts = [0]
            var batches = 0
            var windows = 0
            for (place, index) in indices.enumerated() {
                windows +=
                    selection?.windows[index]?.count ?? source.windowCount(source.items[index])
                if windows * windowBytes >= source.poolByteLimit && windows >= batchSize
                    || place == indices.count - 1
                {
                    starts.append(place + 1)
                    batches += (windows + batchSize - 1) / batchSize
                    windows = 0
                }
            }
            poolStarts = starts
            batchCount = batches
            toSkip = skipping
            let capacity = max(4, min(256, (16 << 20) / max(1, windowBytes)))
            var wanted = indices
            if team.size > 1 {
                wanted = []
                var generator = self.generator
                for pool in 0..<starts.count - 1 {
                    let order = Self.order(
                        indices[starts[pool]..<starts[pool + 1]], of: source,
                        selection: selection, using: &generator)
                    let needed = Self.needed(order, batchSize: batchSize, team: team)
                    for place in 0..<starts[pool + 1] - starts[pool] where needed.contains(place) {
                        wanted.append(indices[starts[pool] + place])
                    }
                }
            }
            // What is in memory stays there: it is taken without the ways through other threads.
            let inMemory = source.cache.indices
            if !wanted.isEmpty { source.store?.refresh() }
            self.inMemory = inMemory
            wanted.removeAll(where: inMemory.contains)
            reader =
                wanted.isEmpty
                ? nil
                : ReadAhead(
                    wanted.makeIterator(), threadCount: source.threadCount, capacity: capacity,
                    byteCount: { (try? $0.get())?.byteCount ?? 0 }
                ) { source.load($0) }
        }

        /// The windows of a pool in the order in which they are seen.
        private static func order(
            _ indices: ArraySlice<Int>, of source: WindowSource, selection: Selection?,
            using generator: inout Generator?
        ) -> [Entry] {
            var order: [Entry] = []
            for (place, index) in indices.enumerated() {
                let count = source.windowCount(source.items[index])
                for window in selection?.windows[index] ?? Array(0..<count) {
                    order.append(Entry(item: place, window: window))
                }
            }
            if var shuffling = generator {
                order.shuffle(using: &shuffling)
                generator = shuffling
            }
            return order
        }

        /// Places in the pool of the items that this process needs windows of.
        private static func needed(_ order: [Entry], batchSize: Int, team: Team) -> Set<Int> {
            var needed: Set<Int> = []
            for (place, entry) in order.enumerated()
            where place % batchSize % team.size == team.rank {
                needed.insert(entry.item)
            }
            return needed
        }

        /// The next batch, or nil at the end of the pass.
        ///
        /// - Throws: ``LatentError`` with code `.data` when a file changed since the survey
        func next() throws -> WindowBatch? {
            while true {
                if position >= order.count {
                    guard try fillPool() else { return nil }
                }
                let end = min(position + batchSize, order.count)
                defer { position = end }
                if toSkip > 0 {
                    toSkip -= 1
                    continue
                }
                return batch(order[position..<end])
            }
        }

        /// The next batches, so many or what is left; nil at the end of the pass.
        ///
        /// - Throws: as ``next()``
        func next(_ count: Int) throws -> [WindowBatch]? {
            var batches: [WindowBatch] = []
            while batches.count < count, let batch = try next() { batches.append(batch) }
            return batches.isEmpty ? nil : batches
        }

        /// The next batch, or why there is none; nil at the end of the pass.
        func nextResult() -> Result<WindowBatch, any Error>? {
            do {
                return try next().map { .success($0) }
            } catch {
                return .failure(error)
            }
        }

        private func batch(_ entries: ArraySlice<Entry>) -> WindowBatch {
            var batch = WindowBatch(
                values: [], count: 0, wholeCount: entries.count, positions: [], items: [],
                keys: [])
            let start = poolStarts[poolIndex - 1]
            for (place, entry) in entries.enumerated() where place % team.size == team.rank {
                guard let pooled = pool[entry.item] else { continue }
                let item = indices[start + entry.item]
                switch pooled {
                case .map(let map): batch.values += window(entry.window, of: map)
                case .windows(let values): batch.values += values[entry.window] ?? []
                }
                batch.count += 1
                batch.positions.append(place)
                batch.items.append(item)
                batch.keys.append((source.items[item].contentWord, entry.window))
            }
            return batch
        }

        private func window(_ index: Int, of map: FeatureMap) -> [Float] {
            source.preprocessing.windows(index..<index + 1, of: map)
        }

        private func pooled(_ map: FeatureMap, of item: Int) -> Pooled {
            guard let chosen = selection?.windows[item] else { return .map(map) }
            return .windows(
                Dictionary(chosen.map { ($0, window($0, of: map)) }, uniquingKeysWith: { $1 }))
        }

        private func fillPool() throws -> Bool {
            guard poolIndex + 1 < poolStarts.count else { return false }
            let places = indices[poolStarts[poolIndex]..<poolStarts[poolIndex + 1]]
            order = Self.order(
                places, of: source, selection: selection, using: &generator)
            let needed =
                team.size > 1 ? Self.needed(order, batchSize: batchSize, team: team) : nil
            pool = [Pooled?](repeating: nil, count: places.count)
            position = 0
            for place in 0..<places.count where needed?.contains(place) ?? true {
                let item = places[places.startIndex + place]
                if inMemory.contains(item) {
                    pool[place] = source.cache[item].map { pooled($0, of: item) }
                    continue
                }
                guard let result = reader?.next() else { break }
                switch result {
                case .success(let map):
                    pool[place] = pooled(map, of: item)
                case .failure(let changed):
                    throw LatentError(
                        .data, path: changed.path,
                        "the file cannot be read as before: \(changed.message)",
                        hint: "put it back and run the same command with --resume")
                }
            }
            poolIndex += 1
            return !order.isEmpty
        }
    }
}
