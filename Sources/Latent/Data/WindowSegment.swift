import Foundation
import Media

/// One file of a ``WindowStore``: maps that one process decoded, in the order in which it did.
///
/// 64 bytes of head: 16 that name the format, 32 of the store's key, and the number n of entries that
/// there is room for. Then n entries of 16 bytes, the content word of an item and the place of its record;
/// those that are not taken are 0. Then the records. Numbers are little-endian; what is read is only ever
/// a place to look at, since a record proves itself.
///
/// Only the process that made the file writes to it: entry by entry, each after its record.
struct WindowSegment {
    let name: String
    let file: FileDescriptor
    private let entryLimit: Int
    /// Entries that have been read or written.
    private(set) var entryCount = 0
    /// Where the next record goes.
    private var end: Int

    private static let format = Array("latent-windows-1".utf8)
    private static let headByteCount = 64
    private static let entryByteCount = 16
    /// Entries that are read at once.
    private static let entriesPerRead = 4096

    /// Opens a file that is there; nil unless it is one, of the same key.
    init?(_ name: String, in folder: CacheFolder, key: ContentHash) {
        guard let file = folder.open(name) else { return nil }
        let head = file.read(Self.headByteCount, at: 0)
        guard head.count == Self.headByteCount, head[0..<16] == Self.format[...],
            head[16..<48] == key.bytes[...]
        else { return nil }
        let limit = Self.word(head, at: 48)
        // A table longer than its file is read as far as that goes.
        entryLimit = Int(clamping: min(limit, 1 << 32))
        end = 0
        self.name = name
        self.file = file
    }

    /// Makes a file.
    ///
    /// - Parameters:
    ///   - folder: where to
    ///   - key: of the store
    ///   - entryLimit: items that may go into it
    /// - Throws: what the system says
    init(in folder: CacheFolder, key: ContentHash, entryLimit: Int) throws(SystemFailure) {
        (name, file) = try folder.make(named: Self.prefix(of: key))
        self.entryLimit = entryLimit
        end = Self.emptyByteCount(entryLimit: entryLimit)
        var head = Self.format + key.bytes
        Self.append(UInt64(entryLimit), to: &head)
        Self.append(0, to: &head)
        do throws(SystemFailure) {
            try file.write(head, at: 0)
            // What is not written reads as 0, and takes no room yet.
            guard ftruncate(file.number, end) == 0 else { throw SystemFailure() }
        } catch {
            folder.remove(name)
            throw error
        }
    }

    /// What names of files of a key begin with.
    static func prefix(of key: ContentHash) -> String { key.description.prefix(32) + "-" }

    /// Bytes of a file without records.
    static func emptyByteCount(entryLimit: Int) -> Int {
        headByteCount + entryLimit * entryByteCount
    }

    /// Whether its name is gone: somebody has deleted it.
    var isRemoved: Bool { file.status.map { $0.st_nlink == 0 } ?? true }

    /// Reads the entries that were written since the last time.
    mutating func readEntries(_ body: (_ word: UInt64, _ offset: Int) -> Void) {
        while entryCount < entryLimit {
            let bytes = file.read(
                min(Self.entriesPerRead, entryLimit - entryCount) * Self.entryByteCount,
                at: Self.headByteCount + entryCount * Self.entryByteCount)
            let count = bytes.count / Self.entryByteCount
            guard count > 0 else { return }
            for index in 0..<count {
                let offset = Self.word(bytes, at: index * Self.entryByteCount + 8)
                guard offset != 0 else { return }
                body(Self.word(bytes, at: index * Self.entryByteCount), Int(clamping: offset))
                entryCount += 1
            }
        }
    }

    /// Takes the place of a record.
    mutating func allot(_ byteCount: Int) -> Int {
        defer { end += byteCount }
        return end
    }

    /// Writes an entry, after its record; without effect where the table is full.
    mutating func enter(_ word: UInt64, at offset: Int) throws(SystemFailure) {
        guard entryCount < entryLimit else { return }
        var entry: [UInt8] = []
        Self.append(word, to: &entry)
        Self.append(UInt64(offset), to: &entry)
        try file.write(entry, at: Self.headByteCount + entryCount * Self.entryByteCount)
        entryCount += 1
    }

    fileprivate static func word(_ bytes: [UInt8], at offset: Int) -> UInt64 {
        bytes.withUnsafeBytes {
            UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
    }

    fileprivate static func append(_ word: UInt64, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: word.littleEndian) { bytes += $0 }
    }
}

/// A map as it lies in a file: 32 bytes of SHA-256 over all that follows, content word and shape
/// [C, H, W] in 8 bytes each, and the values.
///
/// The digest is what makes a place in a file the windows of an item: after a crash, damage, or two writers
/// at one place there is none that fits. SHA-256, as for files: where the processor has instructions for
/// it, it is as fast as the CRC of zlib.
enum WindowRecord {
    private static let digestByteCount = 32
    private static let headByteCount = 64

    static func byteCount(of shape: WindowShape) -> Int { headByteCount + 4 * shape.elementCount }

    private static func head(_ word: UInt64, _ shape: WindowShape) -> [UInt8] {
        var head: [UInt8] = []
        WindowSegment.append(word, to: &head)
        for extent in shape.extents { WindowSegment.append(UInt64(extent), to: &head) }
        return head
    }

    private static func digest(_ record: [UInt8]) -> ContentHash {
        record.withUnsafeBytes {
            ContentHash(of: UnsafeRawBufferPointer(rebasing: $0[digestByteCount...]))
        }
    }

    /// The record of a map.
    static func bytes(of map: FeatureMap, word: UInt64) -> [UInt8] {
        var record: [UInt8] = []
        record.reserveCapacity(byteCount(of: map.shape))
        record += [UInt8](repeating: 0, count: digestByteCount)
        record += head(word, map.shape)
        map.values.withUnsafeBytes { record += $0 }
        record.replaceSubrange(0..<digestByteCount, with: digest(record).bytes)
        return record
    }

    /// The map of a record; nil unless it is whole, of that content and that shape.
    static func map(of record: [UInt8], word: UInt64, shape: WindowShape) -> FeatureMap? {
        guard record.count == byteCount(of: shape),
            record[digestByteCount..<headByteCount] == head(word, shape)[...],
            record[0..<digestByteCount] == digest(record).bytes[...]
        else { return nil }
        let values = [Float](unsafeUninitializedCapacity: shape.elementCount) { buffer, count in
            record.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(buffer).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: $0[headByteCount...]))
            }
            count = shape.elementCount
        }
        return FeatureMap(
            channelCount: shape.channelCount, height: shape.height, width: shape.width,
            values: values)
    }
}

extension FeatureMap {
    /// [C, H, W].
    var shape: WindowShape {
        WindowShape(channelCount: channelCount, height: height, width: width)
    }

    /// Memory of the values.
    var byteCount: Int { values.count * 4 }
}
