import Media

/// What was found of one readable file, in a few bytes.
public struct SurveyedItem: Sendable {
    /// The file.
    public let item: Item
    /// The first 64 bits of the content's SHA-256.
    public let contentWord: UInt64
    /// Pixels, or 0 for a recording.
    public let height: Int
    /// Pixels, or samples of each channel.
    public let width: Int
    /// Hz, or 0 for an image.
    public let sampleRate: Int
    /// Bits of a PNG's samples, or 0.
    public let bitDepth: Int
    /// Whether an image has a pixel that is not grey.
    public let isColoured: Bool
}

extension SurveyedItem {
    /// An image.
    init(_ item: Item, contentWord: UInt64, image: Image) {
        self.init(
            item: item, contentWord: contentWord, height: image.height, width: image.width,
            sampleRate: 0, bitDepth: image.bitDepth, isColoured: image.isColoured)
    }

    /// A recording.
    init(_ item: Item, contentWord: UInt64, audio: Audio) {
        self.init(
            item: item, contentWord: contentWord, height: 0, width: audio.frameCount,
            sampleRate: audio.sampleRate, bitDepth: 0, isColoured: false)
    }
}

/// A file that could not be used, and why.
public struct ItemFailure: Error, Sendable {
    /// The file.
    public let item: Item
    /// What is wrong.
    public let error: ItemError
}

/// What is there: every input read once before anything is decided from it.
public struct Survey: Sendable {
    /// The readable items in the order of input.
    public private(set) var items: [SurveyedItem] = []
    /// The others.
    public private(set) var failures: [ItemFailure] = []

    /// What was found of some items, as far as it was kept.
    init(items: [SurveyedItem]) { self.items = items }

    /// Reads all items on other threads.
    ///
    /// - Parameters:
    ///   - items: the inputs
    ///   - domain: how to read them
    ///   - threadCount: readers
    ///   - onItem: called after each item with the number done, on the calling thread
    public init(
        of items: some Sequence<Item>, domain: Domain, threadCount: Int,
        onItem: (Int, ItemFailure?) throws -> Void
    ) rethrows {
        let gate = LargeFileGate()
        let reader = ReadAhead(items.makeIterator(), threadCount: threadCount, capacity: 64) {
            item in
            Result<SurveyedItem, FailedItem> { () throws(FailedItem) in
                do {
                    return try Self.look(at: item, domain: domain, gate: gate)
                } catch {
                    throw FailedItem(failure: ItemFailure(item: item, error: ItemError(error)))
                }
            }
        }
        var done = 0
        while let result = reader.next() {
            done += 1
            switch result {
            case .success(let item):
                self.items.append(item)
                try onItem(done, nil)
            case .failure(let failed):
                failures.append(failed.failure)
                try onItem(done, failed.failure)
            }
        }
    }

    private struct FailedItem: Error {
        let failure: ItemFailure
    }

    private static func look(
        at item: Item, domain: Domain, gate: LargeFileGate
    ) throws -> SurveyedItem {
        let bytes = try FileBytes.read(item.path)
        return try gate.run(bytes) { try look(at: item, bytes: bytes, domain: domain) }
    }

    private static func look(
        at item: Item, bytes: [UInt8], domain: Domain
    ) throws -> SurveyedItem {
        let word = ContentHash(of: bytes).word
        switch domain {
        case .image:
            let image = try Image(pngData: bytes, path: item.path)
            return SurveyedItem(item, contentWord: word, image: image)
        case .audio:
            let audio = try Audio(recording: bytes, path: item.path)
            return SurveyedItem(item, contentWord: word, audio: audio)
        }
    }

    /// The most frequent value of a property; the smallest of equals.
    public func mode(_ property: (SurveyedItem) -> Int) -> Int {
        var counts: [Int: Int] = [:]
        for item in items { counts[property(item), default: 0] += 1 }
        return counts.min { ($1.value, $0.key) < ($0.value, $1.key) }?.key ?? 0
    }

    /// The value below which the given share of a property lies.
    public func quantile(_ share: Double, _ property: (SurveyedItem) -> Int) -> Int {
        let sorted = items.map(property).sorted()
        guard !sorted.isEmpty else { return 0 }
        return sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }
}

extension Image {
    /// Whether any pixel is not grey.
    var isColoured: Bool {
        guard channelCount >= 3 else { return false }
        return samples.withUnsafeBufferPointer { codes in
            stride(from: 0, to: codes.count, by: channelCount).contains {
                codes[$0] != codes[$0 + 1] || codes[$0] != codes[$0 + 2]
            }
        }
    }
}
