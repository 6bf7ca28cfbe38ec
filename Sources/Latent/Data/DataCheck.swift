/// What is there, before anything is trained: every file read once, counted, and forgotten.
///
/// Memory does not grow with the number of files but by what a duplicate costs (see `ContentLog`);
/// for each class, size and sample rate there is one count, and up to 10,000 files, evenly spread, are
/// kept for ``TrainingRun/forecast(_:of:domain:)``.
public final class DataCheck {
    /// Numbers of files by what they are.
    public private(set) var totals = Totals()
    private let domain: Domain?
    private let threadCount: Int
    private let log: ContentLog?
    private var trainingSample = Thinned<SurveyedItem>()
    private var sample = Thinned<SurveyedItem>()

    /// A class of a split.
    public struct Class: Hashable, Sendable {
        /// `train`, `test`, … where the folders or the manifest say.
        public let split: String?
        /// The class, from the folder or the manifest.
        public let label: String?
    }

    /// Height and width of an image.
    public struct Size: Hashable, Sendable {
        /// Pixels.
        public let height, width: Int
    }

    /// Numbers of files by what they are.
    public struct Totals: Sendable {
        /// All files, readable or not.
        public fileprivate(set) var fileCount = 0
        /// Readable images and recordings.
        public fileprivate(set) var imageCount = 0, recordingCount = 0
        /// Bytes of the readable files.
        public fileprivate(set) var byteCount = 0
        /// Files with something wrong, by what it is.
        public internal(set) var problems: [CheckedFile.Problem: Int] = [:]
        /// Readable files of each class.
        public fileprivate(set) var classes: [Class: Int] = [:]
        /// Sizes of images.
        public fileprivate(set) var sizes = Counts<Size>()
        /// Bits of a sample of images.
        public fileprivate(set) var bitDepths = Counts<Int>()
        /// Channels, of images with alpha.
        public fileprivate(set) var channels = Counts<Int>()
        /// Sample rates of recordings, in Hz.
        public fileprivate(set) var sampleRates = Counts<Int>()
        /// The shortest and longest recording and all together, in seconds.
        public fileprivate(set) var shortestSeconds = Double.infinity, longestSeconds = 0.0
        /// Length of all recordings together, in seconds.
        public fileprivate(set) var totalSeconds = 0.0

        fileprivate mutating func add(_ file: CheckedFile) {
            let item = file.surveyed
            byteCount += file.byteCount
            classes[Class(split: item.item.split, label: item.item.label), default: 0] += 1
            channels.add(file.channelCount)
            if file.isRecording {
                recordingCount += 1
                sampleRates.add(item.sampleRate)
                shortestSeconds = min(shortestSeconds, file.seconds)
                longestSeconds = max(longestSeconds, file.seconds)
                totalSeconds += file.seconds
            } else {
                imageCount += 1
                sizes.add(Size(height: item.height, width: item.width))
                bitDepths.add(item.bitDepth)
            }
            if let problem = file.problem { problems[problem, default: 0] += 1 }
        }
    }

    /// Numbers by value, of up to 4,096 values.
    public struct Counts<Value: Hashable & Sendable>: Sendable {
        /// The number of each value.
        public private(set) var counts: [Value: Int] = [:]
        /// The number of further values' files.
        public private(set) var otherCount = 0

        mutating func add(_ value: Value) {
            if let count = counts[value] {
                counts[value] = count + 1
            } else if counts.count < 4096 {
                counts[value] = 1
            } else {
                otherCount += 1
            }
        }
    }

    /// Makes a check.
    ///
    /// - Parameters:
    ///   - domain: how to read the files; nil goes by their names
    ///   - threadCount: readers
    ///   - findsDuplicates: whether contents are compared
    /// - Throws: ``LatentError`` `.cannotWrite` where there is no room for temporary files
    public init(domain: Domain?, threadCount: Int, findsDuplicates: Bool) throws {
        self.domain = domain
        self.threadCount = threadCount
        log = findsDuplicates ? try ContentLog() : nil
    }

    /// Reads all files on other threads.
    ///
    /// - Parameters:
    ///   - items: consumed lazily
    ///   - onFile: called for each in their order, on the calling thread; throwing ends the run
    /// - Throws: what `onFile` throws; ``LatentError`` `.cannotWrite`
    public func read(
        _ items: some Sequence<Item>,
        onFile: (Item, Result<CheckedFile, ItemFailed>) throws -> Void
    ) throws {
        let gate = LargeFileGate()
        let reader = ReadAhead(
            items.makeIterator(), threadCount: threadCount, capacity: 32 * threadCount
        ) { [domain] item in
            (
                item,
                Result<CheckedFile, ItemFailed> { () throws(ItemFailed) in
                    do {
                        return try CheckedFile(item, domain: domain, gate: gate)
                    } catch {
                        throw ItemFailed(ItemError(error))
                    }
                }
            )
        }
        while let (item, result) = reader.next() {
            totals.fileCount += 1
            switch result {
            case .success(let file):
                totals.add(file)
                try log?.add(file.hash.word, path: item.path)
                if item.split == "train" {
                    trainingSample.add(file.surveyed)
                } else {
                    sample.add(file.surveyed)
                }
            case .failure:
                totals.problems[.unreadable, default: 0] += 1
            }
            try onFile(item, result)
        }
    }

    /// Gives the files that have the content of an earlier one, in their order, with the first of
    /// these.
    public func duplicates(_ body: (_ path: String, _ first: String) throws -> Void) throws {
        guard let log else { return }
        for (index, first) in try log.duplicates() {
            totals.problems[.duplicate, default: 0] += 1
            try body(log.path(index), log.path(first))
        }
    }

    /// What training would be of: files of the split `train` where there is one.
    var trainable: (survey: Survey, itemCount: Int) {
        let chosen = trainingSample.seenCount > 0 ? trainingSample : sample
        return (Survey(items: chosen.elements), chosen.seenCount)
    }
}

/// Some of a sequence, evenly spread, at most 10,000: all of a shorter one.
private struct Thinned<Element> {
    private(set) var elements: [Element] = []
    private(set) var seenCount = 0
    private var step = 1
    private static var limit: Int { 10_000 }

    mutating func add(_ element: Element) {
        defer { seenCount += 1 }
        guard seenCount % step == 0 else { return }
        elements.append(element)
        guard elements.count > Self.limit else { return }
        elements = stride(from: 0, to: elements.count, by: 2).map { elements[$0] }
        step *= 2
    }
}
