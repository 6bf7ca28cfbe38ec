import Foundation
import Torch

/// A batch of windows on the host.
struct WindowBatch {
    /// `count` windows of [C, H, W].
    var values: [Float]
    /// Number of windows.
    var count: Int
    /// For each window, the content word of its item and its index in it.
    var keys: [(contentWord: UInt64, window: Int)]
}

/// Items as windows, decoded on other threads and kept in memory up to a bound.
final class WindowSource: Sendable {
    let items: [SurveyedItem]
    let preprocessing: Preprocessing
    private let threadCount: Int
    private let cache: WindowCache
    private let gate = LargeFileGate()

    private let poolByteLimit: Int

    /// Makes a source that keeps `cacheByteLimit` of windows decoded between epochs and shuffles
    /// `poolByteLimit` of them among each other.
    init(
        _ items: [SurveyedItem], preprocessing: Preprocessing, threadCount: Int,
        cacheByteLimit: Int = 160 << 20, poolByteLimit: Int = 48 << 20
    ) {
        self.items = items
        self.preprocessing = preprocessing
        self.threadCount = threadCount
        self.poolByteLimit = poolByteLimit
        cache = WindowCache(byteLimit: cacheByteLimit)
    }

    /// Number of windows of an item, from its size alone.
    func windowCount(_ item: SurveyedItem) -> Int {
        switch preprocessing.view {
        case .pixels:
            return preprocessing.windowing.windowCount(height: item.height, width: item.width)
        case .logMel(let view):
            let samples = view.sampleCount(of: item.width, at: item.sampleRate)
            return preprocessing.windowing.windowCount(
                height: view.melCount, width: view.frameCount(sampleCount: samples))
        }
    }

    /// Number of windows of all items.
    var windowCount: Int { items.reduce(0) { $0 + windowCount($1) } }

    private func load(_ index: Int) -> Result<ItemWindows, FileChanged> {
        if let windows = cache[index] { return .success(windows) }
        let item = items[index]
        do {
            let windows = try preprocessing.windows(ofFile: item.item.path, gate: gate)
            guard windows.hash.word == item.contentWord, windows.count == windowCount(item) else {
                return .failure(FileChanged(path: item.item.path, message: "its content changed"))
            }
            cache[index] = windows
            return .success(windows)
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
    /// - Returns: the pass, before its first batch
    func batches(shuffledBy generator: Generator?, batchSize: Int, skipping: Int = 0) -> Pass {
        Pass(self, generator: generator, batchSize: batchSize, skipping: skipping)
    }

    /// One pass over the windows.
    final class Pass {
        private let source: WindowSource
        private let batchSize: Int
        private let reader: ReadAhead<Int, Result<ItemWindows, FileChanged>>
        private let poolSizes: [Int]
        private var generator: Generator?
        private var pool: [ItemWindows] = []
        private var order: [(item: Int, window: Int)] = []
        private var position = 0
        private var poolIndex = 0
        private var toSkip: Int
        /// Batches of the whole pass, those skipped included.
        let batchCount: Int

        init(_ source: WindowSource, generator: Generator?, batchSize: Int, skipping: Int) {
            self.source = source
            self.batchSize = batchSize
            self.generator = generator
            var indices = Array(source.items.indices)
            if var generator {
                indices.shuffle(using: &generator)
                self.generator = generator
            }
            let windowBytes =
                source.preprocessing.windowing.height * source.preprocessing.windowing.width
                * source.preprocessing.channelCount * 4
            var sizes: [Int] = []
            var batches = 0
            var pooled = 0
            var windows = 0
            for (place, index) in indices.enumerated() {
                pooled += 1
                windows += source.windowCount(source.items[index])
                if windows * windowBytes >= source.poolByteLimit && windows >= batchSize
                    || place == indices.count - 1
                {
                    sizes.append(pooled)
                    batches += (windows + batchSize - 1) / batchSize
                    (pooled, windows) = (0, 0)
                }
            }
            poolSizes = sizes
            batchCount = batches
            toSkip = skipping
            let capacity = max(4, min(256, (16 << 20) / max(1, windowBytes)))
            reader = ReadAhead(
                indices.makeIterator(), threadCount: source.threadCount, capacity: capacity,
                byteCount: { (try? $0.get())?.byteCount ?? 0 }
            ) { source.load($0) }
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

        private func batch(_ entries: ArraySlice<(item: Int, window: Int)>) -> WindowBatch {
            var batch = WindowBatch(values: [], count: entries.count, keys: [])
            for entry in entries {
                let windows = pool[entry.item]
                batch.values += windows.values(entry.window..<entry.window + 1)
                batch.keys.append((windows.hash.word, entry.window))
            }
            return batch
        }

        private func fillPool() throws -> Bool {
            guard poolIndex < poolSizes.count else { return false }
            pool.removeAll(keepingCapacity: true)
            order.removeAll(keepingCapacity: true)
            position = 0
            for _ in 0..<poolSizes[poolIndex] {
                guard let result = reader.next() else { break }
                switch result {
                case .success(let windows):
                    for window in 0..<windows.count { order.append((pool.count, window)) }
                    pool.append(windows)
                case .failure(let changed):
                    throw LatentError(
                        .data, path: changed.path,
                        "the file cannot be read as before: \(changed.message)",
                        hint: "put it back and run the same command with --resume")
                }
            }
            poolIndex += 1
            if var generator {
                order.shuffle(using: &generator)
                self.generator = generator
            }
            return !order.isEmpty
        }
    }
}

/// Decoded windows by item, up to a bound; what does not fit is decoded again each time.
private final class WindowCache: @unchecked Sendable {
    // Unchecked: every access is under the lock.
    private let lock = NSLock()
    private var entries: [Int: ItemWindows] = [:]
    private var byteCount = 0
    private let byteLimit: Int

    init(byteLimit: Int) { self.byteLimit = byteLimit }

    subscript(index: Int) -> ItemWindows? {
        get { lock.withLock { entries[index] } }
        set {
            guard let newValue else { return }
            lock.withLock {
                let size = newValue.byteCount
                guard byteCount + size <= byteLimit else { return }
                entries[index] = newValue
                byteCount += size
            }
        }
    }
}
