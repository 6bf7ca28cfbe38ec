import Glibc

/// Whole files in and out.
public enum FileBytes {
    /// Reads a whole regular file.
    ///
    /// Folders, pipes and devices are refused without waiting for them. The size is checked before
    /// anything is allocated, and again while reading for files that grow or hide their size.
    ///
    /// - Parameters:
    ///   - path: the file, following symbolic links
    ///   - maximumByteCount: the largest size that is read, in bytes
    /// - Returns: the bytes; none for an empty file
    /// - Throws: ``MediaError`` with code `.notFound`, `.unreadable` or `.tooLarge`
    public static func read(
        _ path: String, maximumByteCount: Int = 512 << 20
    ) throws(MediaError) -> [UInt8] {
        guard !path.utf8.contains(0) else {
            throw MediaError(.notFound, "a path cannot contain a NUL character", path: path)
        }
        // O_NONBLOCK: opening a FIFO that nobody writes to would otherwise wait for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let number = errno
            let isMissing = number == ENOENT || number == ENOTDIR
            throw MediaError(
                isMissing ? .notFound : .unreadable,
                isMissing ? "there is no such file" : "cannot be opened: \(text(of: number))",
                hint: number == EACCES
                    ? "check its permissions"
                    : isMissing && path.contains("\u{FFFD}")
                        ? "names must be UTF-8: rename it" : isMissing ? "check the path" : nil,
                path: path)
        }
        defer { close(descriptor) }

        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw MediaError(.unreadable, "cannot be read: \(text(of: errno))", path: path)
        }
        if let kind = kindUnlessRegular(status) {
            throw MediaError(
                .unreadable, "is \(kind), not a regular file",
                hint: "give the name of a file", path: path)
        }
        let size = Int(status.st_size)
        guard size <= maximumByteCount else {
            throw tooLarge("has \(size) bytes", maximumByteCount, path)
        }

        // One byte more than expected, so that the usual file needs one pass to find its end.
        var bytes = [UInt8]()
        var capacity = size + 1
        while true {
            let start = bytes.count
            var number: Int32 = 0
            let tail = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
                while count < buffer.count, let base = buffer.baseAddress {
                    let step = Glibc.read(descriptor, base + count, buffer.count - count)
                    if step < 0 && errno == EINTR { continue }
                    if step < 0 { number = errno }
                    if step <= 0 { break }
                    count += step
                }
            }
            guard number == 0 else {
                throw MediaError(
                    .unreadable,
                    "cannot be read past byte \(start + tail.count): "
                        + text(of: number), path: path)
            }
            guard start + tail.count <= maximumByteCount else {
                throw tooLarge("has more than \(maximumByteCount) bytes", maximumByteCount, path)
            }
            if start == 0 { bytes = tail } else { bytes += tail }
            if tail.count < capacity { return bytes }
            capacity = min(max(bytes.count, 64 << 10), maximumByteCount - bytes.count + 1)
        }
    }

    /// Writes a whole file so that its name never shows half of it.
    ///
    /// The bytes go to a temporary name in the same folder, which then takes the final name in one
    /// step. A symbolic link of that name is replaced, not followed. On any error the temporary
    /// file is removed and a file that was there before is untouched.
    ///
    /// - Parameters:
    ///   - bytes: the contents
    ///   - path: the file; its folder must be there
    ///   - overwrite: whether to replace a file of that name
    ///   - durable: whether to wait until file and name have reached the disk
    /// - Throws: ``MediaError`` with code `.exists` when the name is taken and `overwrite` is false,
    ///   else `.cannotWrite`
    public static func write(
        _ bytes: [UInt8], to path: String, overwrite: Bool, durable: Bool = false
    ) throws(MediaError) {
        func failure(_ reason: String, hint: String? = nil) -> MediaError {
            MediaError(.cannotWrite, "cannot be written: \(reason)", hint: hint, path: path)
        }
        func failure(_ number: Int32) -> MediaError {
            let found = SystemFailure(number)
            return failure(found.reason, hint: found.advice)
        }
        guard !path.isEmpty, !path.hasSuffix("/"), !path.utf8.contains(0) else {
            throw failure("not the name of a file")
        }
        var status = stat()
        if stat(path, &status) == 0 {
            // Renaming over a device such as /dev/null would replace it for everybody.
            if let kind = kindUnlessRegular(status) {
                throw failure("it is \(kind)", hint: "choose another name")
            }
            if !overwrite { throw alreadyThere(path) }
        }

        let temporary = temporaryName(beside: path)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw failure(errno) }
        var isMoved = false
        defer { if !isMoved { unlink(temporary) } }

        var problem = write(bytes, to: descriptor)
        if problem == 0, durable, fsync(descriptor) != 0 { problem = errno }
        // Network file systems report a full disk only here.
        let closing = close(descriptor) == 0 ? 0 : errno
        if problem != 0 || closing != 0 {
            throw failure(problem != 0 ? problem : closing)
        }
        if overwrite {
            guard rename(temporary, path) == 0 else { throw failure(errno) }
            isMoved = true
        } else {
            let number = moveWithoutReplacing(temporary, to: path)
            if number == EEXIST { throw alreadyThere(path) }
            if number != 0 { throw failure(number) }
            // Whether moved or linked, the temporary name is free or about to be removed.
        }
        if durable { synchronizeFolder(folder(of: path)) }
    }

    /// A name in the same folder that nothing has; not derived from the name, which may already be as
    /// long as the file system allows.
    static func temporaryName(beside path: String) -> String {
        let unique = String(UInt64.random(in: .min ... .max), radix: 36)
        return "\(folder(of: path)).latent-\(unique).partial"
    }

    /// Whether a file has the name of one that was not yet whole when its writer ended.
    public static func isTemporary(_ path: String) -> Bool {
        let name = path.split(separator: "/").last ?? ""
        return name.hasPrefix(".latent-") && name.hasSuffix(".partial")
    }

    private static func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    }

    /// Writes all bytes where a descriptor stands; returns 0, or the number of the error.
    public static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
        bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count, let base = buffer.baseAddress {
                let step = Glibc.write(descriptor, base + done, buffer.count - done)
                if step < 0 && errno == EINTR { continue }
                if step < 0 { return errno }
                done += step
            }
            return 0
        }
    }

    /// Gives `temporary` the name `path` unless that is taken; returns 0 or an error number.
    private static func moveWithoutReplacing(_ temporary: String, to path: String) -> Int32 {
        if link(temporary, path) == 0 { return 0 }
        guard [EPERM, EOPNOTSUPP, ENOSYS, EMLINK].contains(errno) else { return errno }
        // A file system without hard links: reserve the name, which only one process can, and then
        // rename over the reservation.
        let reservation = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard reservation >= 0 else { return errno }
        close(reservation)
        guard rename(temporary, path) != 0 else { return 0 }
        let number = errno
        unlink(path)
        return number
    }

    /// Waits for the folder's entries to reach the disk, where the file system can do so.
    private static func synchronizeFolder(_ folder: String) {
        let descriptor = open(folder.isEmpty ? "." : folder, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    private static func kindUnlessRegular(_ status: stat) -> String? {
        switch status.st_mode & S_IFMT {
        case S_IFREG: nil
        case S_IFDIR: "a folder"
        case S_IFIFO: "a pipe"
        case S_IFSOCK: "a socket"
        default: "a device"
        }
    }

    private static func tooLarge(_ found: String, _ maximum: Int, _ path: String) -> MediaError {
        MediaError(
            .tooLarge, "\(found), but at most \(maximum) are read",
            hint: "split the file or make it smaller", path: path)
    }

    private static func alreadyThere(_ path: String) -> MediaError {
        MediaError(
            .exists, "there is already a file of that name",
            hint: "choose another name, or ask to overwrite it", path: path)
    }

    private static func text(of number: Int32) -> String {
        String(cString: strerror(number))
    }
}
