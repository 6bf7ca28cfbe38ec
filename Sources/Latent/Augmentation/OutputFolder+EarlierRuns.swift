import Foundation
import Glibc
import Media

/// What earlier runs left in a folder: names, locks, and how it is taken up or removed.
extension OutputFolder {
    static func manifestName(_ shard: Shard?) -> String {
        "manifest" + RunRecord.suffix(shard) + ".ndjson"
    }

    static func recordName(_ shard: Shard?) -> String {
        RunRecord.namePrefix + RunRecord.suffix(shard) + ".json"
    }

    static func unreadableName(_ shard: Shard?) -> String {
        RunRecord.namePrefix + "-unreadable" + RunRecord.suffix(shard) + ".ndjson"
    }

    /// The lines of ``note(_:)``; of one that was torn nothing is left.
    static func unreadable(_ path: String) -> [UnreadableItem] {
        guard let handle = FileHandle(forReadingAtPath: path) else { return [] }
        let (reader, decoder) = (LineReader(handle), JSONDecoder())
        var items: [UnreadableItem] = []
        while let line = reader.next() {
            if let item = try? decoder.decode(UnreadableItem.self, from: Data(line.utf8)) {
                items.append(item)
            }
        }
        return items
    }

    static var recordEncoder: JSONEncoder {
        let encoder = ModelFile.encoder
        encoder.outputFormatting.insert(.prettyPrinted)
        return encoder
    }

    /// A file that a manifest names, and its size; nil where it is none, or not inside the folder.
    static func location(of name: String, in folder: String) -> (path: String, byteCount: Int)? {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy({ !["", ".", ".."].contains($0) }),
            !name.utf8.contains(0)
        else { return nil }
        var status = stat()
        // A class folder that is a link leads elsewhere.
        if parts.count == 2 {
            guard lstat("\(folder)/\(parts[0])", &status) == 0, status.st_mode & S_IFMT == S_IFDIR
            else { return nil }
        }
        let path = "\(folder)/\(name)"
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return (path, Int(status.st_size))
    }

    /// Holds the record for this process, until it ends.
    static func lock(_ path: String) throws(LatentError) -> FileHandle {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw refusal(path, "opened") }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        // Some network file systems have no locks; there nothing is refused.
        guard flock(handle.fileDescriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
            throw LatentError(
                .exists, path: path, "another process is writing this run",
                hint: "wait until it ends, or name another folder")
        }
        return handle
    }

    /// Takes what is behind the trusted lines off a manifest.
    static func cut(_ path: String, to progress: RunProgress) throws {
        guard FileManager.default.fileExists(atPath: path) else {
            return try FileBytes.write([], to: path, overwrite: false)
        }
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw refusal(path, "opened for writing") }
        defer { close(descriptor) }
        let length = Int(lseek(descriptor, 0, SEEK_END))
        guard length == progress.manifestByteCount else {
            throw LatentError(
                .exists, path: path, "another process has just written to it",
                hint: "run the command again")
        }
        if length > progress.byteCount, ftruncate(descriptor, off_t(progress.byteCount)) != 0 {
            throw refusal(path, "cut to its whole lines")
        }
    }

    /// What is said of a file that the last call of the system refused.
    private static func refusal(_ path: String, _ action: String) -> LatentError {
        let failure = SystemFailure()
        return LatentError(
            .cannotWrite, path: path, "cannot be \(action): \(failure.reason)",
            hint: failure.advice)
    }

    /// Removes a file of an earlier run, if it is there.
    private static func remove(_ path: String) throws(LatentError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw refusal(path, "removed") }
    }

    /// Removes files that had no name yet when a run was ended.
    static func removePartialFiles(_ path: String) {
        let manager = FileManager.default
        for name in (try? manager.contentsOfDirectory(atPath: path)) ?? [] {
            let inner = (try? manager.contentsOfDirectory(atPath: "\(path)/\(name)")) ?? []
            for file in [name] + inner.map({ "\(name)/\($0)" }) {
                if FileBytes.isTemporary(file) { unlink("\(path)/\(file)") }
            }
        }
    }

    /// Removes what earlier runs wrote, of a part only its own.
    static func removeRuns(_ path: String, shard: Shard?) throws(LatentError) {
        let names = shard == nil ? RunRecord.names(in: path) : [recordName(shard)]
        for name in names {
            let record = "\(path)/\(name)"
            guard FileManager.default.fileExists(atPath: record) else { continue }
            _ = try lock(record)
            let ending = name.dropFirst(RunRecord.namePrefix.count).dropLast(".json".count)
            let manifest = "\(path)/manifest\(ending).ndjson"
            if let handle = FileHandle(forReadingAtPath: manifest) {
                try removeFiles(of: LineReader(handle), in: path)
            }
            try remove("\(path)/\(RunRecord.namePrefix)-unreadable\(ending).ndjson")
            try remove(manifest)
            try remove(record)
        }
    }

    private static func removeFiles(
        of manifest: LineReader, in path: String
    ) throws(LatentError) {
        struct Line: Decodable { let file: String }
        let decoder = JSONDecoder()
        var folders: Set<Substring> = []
        while let text = manifest.next() {
            guard let line = try? decoder.decode(Line.self, from: Data(text.utf8)),
                let file = location(of: line.file, in: path)
            else { continue }
            try remove(file.path)
            if let end = line.file.firstIndex(of: "/") { folders.insert(line.file[..<end]) }
        }
        // Those that hold something else stay.
        for folder in folders { rmdir("\(path)/\(folder)") }
    }
}
