import Glibc
import Media

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
    private var descriptor: Int32
    private var length: off_t

    /// Opens a file.
    ///
    /// - Throws: ``LatentError`` `.exists` when a new file's name is taken, else `.cannotWrite`
    init(path: String, _ mode: Mode) throws(LatentError) {
        var flags = O_WRONLY | O_APPEND | O_CLOEXEC
        if mode == .new { flags |= O_CREAT | O_EXCL }
        // Two names would be opened for one that holds a NUL.
        let isName = !path.utf8.contains(0)
        descriptor = isName ? open(path, flags, 0o666) : -1
        let failure = SystemFailure(isName ? errno : EINVAL)
        guard descriptor >= 0 else {
            throw failure.number == EEXIST
                ? LatentError(.exists, path: path, "there is already a file of that name")
                : LatentError(
                    .cannotWrite, path: path, "cannot be opened for writing: \(failure.reason)",
                    hint: failure.advice ?? "check the path")
        }
        length = max(0, lseek(descriptor, 0, SEEK_END))
        self.path = path
    }

    deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

    /// Writes bytes at the end, all or none of them.
    ///
    /// - Throws: ``LatentError`` `.cannotWrite`
    func append(_ bytes: [UInt8]) throws(LatentError) {
        let number = FileBytes.write(bytes, to: descriptor)
        guard number == 0 else {
            // What was written of them would make everything after it unreadable.
            _ = ftruncate(descriptor, length)
            throw refusal(number)
        }
        length += off_t(bytes.count)
    }

    /// Closes the file.
    ///
    /// - Throws: ``LatentError`` `.cannotWrite` when the disk was full: some report it only here
    func close() throws(LatentError) {
        let status = Glibc.close(descriptor)
        let number = errno
        descriptor = -1
        guard status == 0 else { throw refusal(number) }
    }

    private func refusal(_ number: Int32) -> LatentError {
        let failure = SystemFailure(number)
        return LatentError(
            .cannotWrite, path: path, "cannot be written: \(failure.reason)", hint: failure.advice)
    }
}
