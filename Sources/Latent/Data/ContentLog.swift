import Foundation
import Glibc

/// Which files have the same content, of any number of files: what is kept of each lies in two
/// temporary files that have no name, and not in memory.
///
/// On disk 16 bytes and the path for each file; in memory 16 bytes for each file of a sixty-fourth of
/// them, or of 262,144, and 16 for each duplicate. Contents are told by the first 64 bits of their
/// SHA-256: of a million different files two are taken for equal with a chance of 3 in 100 million.
final class ContentLog {
    private let records: Spool
    private let paths: Spool
    private(set) var count = 0

    private static let recordByteCount = 16
    private static let bucketSize = 1 << 18
    private static let bucketLimit = 64

    /// - Throws: ``LatentError`` `.cannotWrite` where there is no room for temporary files
    init() throws(LatentError) {
        records = try Spool()
        paths = try Spool()
    }

    /// Adds a file.
    func add(_ word: UInt64, path: String) throws(LatentError) {
        let offset = UInt64(paths.byteCount)
        var record: [UInt8] = []
        for number in [word, offset] { withUnsafeBytes(of: number) { record += $0 } }
        try records.write(record)
        try paths.write(Array(path.utf8))
        count += 1
    }

    /// The files that have the content of an earlier one, in their order, with the first of these.
    func duplicates() throws(LatentError) -> [(index: Int, first: Int)] {
        let bucketCount = min(
            Self.bucketLimit, max(1, (count + Self.bucketSize - 1) / Self.bucketSize))
        var found: [(index: Int, first: Int)] = []
        for bucket in 0..<bucketCount {
            var entries: [(word: UInt64, index: Int)] = []
            let perRead = 4096
            for start in stride(from: 0, to: count, by: perRead) {
                let length = min(perRead, count - start)
                let bytes = try records.read(
                    Self.recordByteCount * start, Self.recordByteCount * length)
                bytes.withUnsafeBytes { buffer in
                    for index in 0..<length {
                        let word = buffer.loadUnaligned(
                            fromByteOffset: Self.recordByteCount * index, as: UInt64.self)
                        if word % UInt64(bucketCount) == UInt64(bucket) {
                            entries.append((word, start + index))
                        }
                    }
                }
            }
            entries.sort { ($0.word, $0.index) < ($1.word, $1.index) }
            var first = 0
            for place in entries.indices.dropFirst() {
                if entries[place].word != entries[first].word { first = place }
                if place != first { found.append((entries[place].index, entries[first].index)) }
            }
        }
        return found.sorted { $0.index < $1.index }
    }

    /// The path of a file.
    func path(_ index: Int) throws(LatentError) -> String {
        func offset(_ index: Int) throws(LatentError) -> Int {
            guard index < count else { return paths.byteCount }
            return try records.read(Self.recordByteCount * index + 8, 8).withUnsafeBytes {
                Int($0.loadUnaligned(as: UInt64.self))
            }
        }
        let start = try offset(index)
        return String(
            decoding: try paths.read(start, try offset(index + 1) - start), as: UTF8.self)
    }
}

/// A temporary file without a name, written at its end and read anywhere.
private final class Spool {
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var writtenCount = 0
    private static let bufferLimit = 1 << 16

    var byteCount: Int { writtenCount + buffer.count }

    init() throws(LatentError) {
        let folder = FileManager.default.temporaryDirectory.path
        var template = Array("\(folder)/latent-XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw Self.failure(folder) }
        unlink(template)
    }

    deinit { close(descriptor) }

    private static func failure(_ folder: String) -> LatentError {
        LatentError(
            .cannotWrite, path: folder,
            "a temporary file cannot be written: \(String(cString: strerror(errno)))",
            hint: "make room, or name another folder by TMPDIR")
    }

    func write(_ bytes: [UInt8]) throws(LatentError) {
        buffer += bytes
        if buffer.count >= Self.bufferLimit { try flush() }
    }

    private func flush() throws(LatentError) {
        var done = 0
        while done < buffer.count {
            let count = buffer[done...].withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw Self.failure(FileManager.default.temporaryDirectory.path)
            }
            done += count
        }
        writtenCount += buffer.count
        buffer.removeAll(keepingCapacity: true)
    }

    /// Some of the bytes that were written.
    func read(_ offset: Int, _ count: Int) throws(LatentError) -> [UInt8] {
        if !buffer.isEmpty { try flush() }
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let step = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress?.advanced(by: done), count - done, offset + done)
            }
            if step < 0, errno == EINTR { continue }
            guard step > 0 else {
                throw Self.failure(FileManager.default.temporaryDirectory.path)
            }
            done += step
        }
        return bytes
    }
}
