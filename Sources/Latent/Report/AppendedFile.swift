import Foundation
import Glibc

/// A file that grows by whole pieces: a piece that cannot be written in full leaves nothing behind,
/// so that whoever reads along never meets half of one for good.
final class AppendedFile {
    /// How to open.
    enum Mode {
        /// A new file; one of that name is an error.
        case new
        /// A file that is there already.
        case existing
    }

    /// The name of the file.
    let path: String
    private let handle: FileHandle
    private var length: UInt64

    /// Opens a file.
    ///
    /// - Throws: ``LatentError`` `.exists` when a new file's name is taken, else `.cannotWrite`
    init(path: String, _ mode: Mode) throws(LatentError) {
        var flags = O_WRONLY | O_APPEND | O_CLOEXEC
        if mode == .new { flags |= O_CREAT | O_EXCL }
        // Two names would be opened for one that holds a NUL.
        let descriptor = path.utf8.contains(0) ? -1 : open(path, flags, 0o666)
        guard descriptor >= 0 else {
            let number = errno
            throw number == EEXIST
                ? LatentError(.exists, path: path, "there is already a file of that name")
                : LatentError(
                    .cannotWrite, path: path,
                    "cannot be opened for writing: \(String(cString: strerror(number)))",
                    hint: "check the path and its permissions")
        }
        handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        length = (try? handle.seekToEnd()) ?? 0
        self.path = path
    }

    /// Writes bytes at the end, all or none of them.
    ///
    /// - Throws: ``LatentError`` `.cannotWrite`
    func append(_ bytes: [UInt8]) throws(LatentError) {
        do {
            try handle.write(contentsOf: bytes)
            length += UInt64(bytes.count)
        } catch {
            // What was written of them would make everything after it unreadable.
            try? handle.truncate(atOffset: length)
            throw LatentError(
                .cannotWrite, path: path, "cannot be written: \(error.localizedDescription)",
                hint: "make room on the disk")
        }
    }

    /// Closes the file.
    ///
    /// - Throws: ``LatentError`` `.cannotWrite` when the disk was full: some report it only here
    func close() throws(LatentError) {
        do {
            try handle.close()
        } catch {
            throw LatentError(
                .cannotWrite, path: path, "cannot be written: \(error.localizedDescription)",
                hint: "make room on the disk")
        }
    }
}
