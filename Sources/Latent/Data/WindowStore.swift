import Foundation
import Glibc
import Media
import Synchronization

/// Decoded maps on the disk, for data that are read more than once and do not fit in memory.
///
/// Maps are found by the content of their file and by a key of all that else decides what is read of it:
/// the preprocessing, the program with its libraries, and the processor. So they are the same to the bit as
/// what decoding gives; files that moved, or were added to others, are found wherever they lie. A program
/// that was built anew finds nothing; what older ones left goes as the least recently used.
///
/// Nothing here fails: what cannot be read is decoded, what cannot be written is decoded again, and
/// ``takeProblem()`` has why. Each process writes files of its own (``WindowSegment``) and reads
/// those of all; two that decode one item at the same time both keep it.
final class WindowStore: Sendable {
    private let items: [SurveyedItem]
    private let preprocessing: Preprocessing
    private let base: String
    private let byteLimit: Int
    private let state = Mutex(State())

    /// Files of a key that are read, at most: those that were used last.
    private static let segmentLimit = 256

    private struct Place {
        let file: FileDescriptor
        let offset: Int
    }

    private struct State {
        var isOpened = false
        var folder: CacheFolder?
        var key = ContentHash(of: [])
        var wanted: Set<UInt64> = []
        var places: [UInt64: Place] = [:]
        var readers: [WindowSegment] = []
        /// Files that have nothing that is wanted, with the time of their last change.
        var others: [String: Int] = [:]
        var writer: WindowSegment?
        var isWritable = true
        /// Bytes that may be written before room is asked for again.
        var grant = 0
        var problem: String?
    }

    /// Prepares a store, which touches the disk when it is first used.
    ///
    /// - Parameters:
    ///   - items: whose maps may be kept
    ///   - preprocessing: what becomes of them
    ///   - base: the user's folder for caches
    ///   - byteLimit: what all stores in it may take together
    init(_ items: [SurveyedItem], preprocessing: Preprocessing, in base: String, byteLimit: Int) {
        self.items = items
        self.preprocessing = preprocessing
        self.base = base
        self.byteLimit = byteLimit
    }

    /// Looks for what is there: once before each pass, which finds what other processes have added.
    func refresh() {
        state.withLock { state in
            open(&state)
            guard let folder = state.folder else { return }
            forgetRemoved(&state)
            var known = Set(state.readers.map(\.name))
            for index in state.readers.indices {
                state.readers[index].file.touch()
                read(&state.readers[index], places: &state.places, wanted: state.wanted)
            }
            if let writer = state.writer { known.insert(writer.name) }
            let prefix = WindowSegment.prefix(of: state.key)
            // The last that was made comes first, by its name: it has again what an older one has damaged.
            let entries = folder.entries().filter { $0.name.hasPrefix(prefix) }
                .prefix(Self.segmentLimit).sorted { $0.name > $1.name }
            for entry in entries
            where !known.contains(entry.name) && state.others[entry.name] != entry.lastUse {
                state.others[entry.name] = entry.lastUse
                guard var segment = WindowSegment(entry.name, in: folder, key: state.key),
                    read(&segment, places: &state.places, wanted: state.wanted)
                else { continue }
                segment.file.touch()
                state.readers.append(segment)
            }
        }
    }

    /// The map of an item; nil where there is none that is whole.
    func map(of item: SurveyedItem) -> FeatureMap? {
        let word = item.contentWord
        guard let place = state.withLock({ $0.places[word] }) else { return nil }
        let shape = preprocessing.mapShape(of: item)
        let record = place.file.read(WindowRecord.byteCount(of: shape), at: place.offset)
        if let map = WindowRecord.map(of: record, word: word, shape: shape) { return map }
        state.withLock { state in
            // Another thread may have written it anew.
            guard let now = state.places[word], now.file === place.file, now.offset == place.offset
            else { return }
            state.places[word] = nil
        }
        return nil
    }

    /// Keeps the map of an item, where there is room.
    func keep(_ map: FeatureMap, of item: SurveyedItem) {
        let word = item.contentWord
        guard map.shape == preprocessing.mapShape(of: item),
            let place = state.withLock({
                allot(WindowRecord.byteCount(of: map.shape), for: word, in: &$0)
            })
        else { return }
        let record = WindowRecord.bytes(of: map, word: word)
        let written = Result { () throws(SystemFailure) in
            try place.file.write(record, at: place.offset)
        }
        state.withLock { state in
            do throws(SystemFailure) {
                try written.get()
                guard state.writer?.file === place.file else { return }
                try state.writer?.enter(word, at: place.offset)
                state.places[word] = place
            } catch {
                stopWriting(error.reason, &state)
            }
        }
    }

    /// Why the store does less than it should, once; nil where all is well.
    func takeProblem() -> String? {
        state.withLock { state in
            defer { state.problem = nil }
            return state.problem
        }
    }

    // MARK: Under the lock

    private func open(_ state: inout State) {
        guard !state.isOpened else { return }
        state.isOpened = true
        do throws(LatentError) {
            guard let program = RunningProgram.description else { return }
            guard let encoded = try? ModelFile.encoder.encode(preprocessing) else { return }
            state.key = ContentHash(of: Array(program.utf8) + [0] + encoded)
            state.folder = try CacheFolder(in: base)
            state.wanted = Set(items.map(\.contentWord))
        } catch {
            state.problem =
                "windows are decoded again in each epoch: \(error.path ?? base) \(error.message)"
        }
    }

    /// Lets go of files that somebody has deleted, so that their room is free.
    private func forgetRemoved(_ state: inout State) {
        var gone = state.readers.filter(\.isRemoved).map(\.file)
        if let writer = state.writer, writer.isRemoved {
            gone.append(writer.file)
            state.writer = nil
            state.isWritable = false
        }
        guard !gone.isEmpty else { return }
        state.readers.removeAll { reader in gone.contains { $0 === reader.file } }
        state.places = state.places.filter { _, place in !gone.contains { $0 === place.file } }
    }

    /// Reads what was added to a file; gives whether any of it is wanted.
    @discardableResult
    private func read(
        _ segment: inout WindowSegment, places: inout [UInt64: Place], wanted: Set<UInt64>
    ) -> Bool {
        var isWanted = false
        let file = segment.file
        segment.readEntries { word, offset in
            guard wanted.contains(word) else { return }
            isWanted = true
            if places[word] == nil { places[word] = Place(file: file, offset: offset) }
        }
        return isWanted
    }

    /// A place for a record; nil where it is not to be written.
    private func allot(_ byteCount: Int, for word: UInt64, in state: inout State) -> Place? {
        guard let folder = state.folder, state.isWritable, state.places[word] == nil else {
            return nil
        }
        let isFirst = state.writer == nil
        let needed =
            byteCount + (isFirst ? WindowSegment.emptyByteCount(entryLimit: items.count) : 0)
        if state.grant < needed { state.grant = folder.room(for: needed, limit: byteLimit) }
        guard state.grant >= needed else {
            stopWriting(
                "its limit is reached, by --cache or by what is free on the disk", &state)
            return nil
        }
        if isFirst {
            do throws(SystemFailure) {
                state.writer = try WindowSegment(
                    in: folder, key: state.key, entryLimit: items.count)
            } catch {
                stopWriting(error.reason, &state)
                return nil
            }
        }
        state.grant -= needed
        guard let file = state.writer?.file, let offset = state.writer?.allot(byteCount) else {
            return nil
        }
        return Place(file: file, offset: offset)
    }

    private func stopWriting(_ reason: String, _ state: inout State) {
        guard state.isWritable else { return }
        state.isWritable = false
        state.problem =
            "windows that are not in \(state.folder?.path ?? base) are decoded again in each epoch: "
            + reason
    }
}

/// What computes here: a map is kept for the same program on the same kind of processor.
private enum RunningProgram {
    /// The program and its libraries, each with size and time of change, and the processor with what it
    /// can do and is allowed to; nil where that cannot be found out.
    static var description: String? {
        // Foundation loses lines of files whose size the system does not know.
        guard let maps = try? FileBytes.read("/proc/self/maps"),
            let processor = try? FileBytes.read("/proc/cpuinfo")
        else { return nil }
        var lines: [String] = []
        for line in String(decoding: maps, as: UTF8.self).split(separator: "\n")
        where line.contains(" r-xp ") {
            guard let start = line.firstIndex(of: "/") else { continue }
            let path = String(line[start...])
            // Code that was made in memory follows from the rest; who looks up names of hosts, or when,
            // says nothing.
            if ["/memfd:", "/dev/"].contains(where: path.hasPrefix) || path.contains("/libnss_") {
                continue
            }
            lines.append(path)
        }
        lines = Set(lines).sorted()
        for (index, path) in lines.enumerated() {
            var status = stat()
            // A file that was replaced while it runs is not there any more.
            guard stat(path, &status) == 0 else { return nil }
            lines[index] +=
                " \(status.st_size) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
        }
        let block = String(decoding: processor, as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false
        ).prefix { !$0.isEmpty }
        let kinds = ["model name", "flags", "CPU implementer", "CPU part", "Features"]
        lines += block.filter { line in kinds.contains { line.hasPrefix($0) } }.map(String.init)
        let settings = ["ATEN_", "ONEDNN_", "DNNL_", "MKL_"]
        lines += ProcessInfo.processInfo.environment.filter { name, _ in
            settings.contains { name.hasPrefix($0) }
        }.map { "\($0)=\($1)" }.sorted()
        return lines.joined(separator: "\n")
    }
}
