import Foundation
import Glibc
import Media

/// A folder of files that can be made again, in the user's folder for caches: `latent/windows`.
///
/// For the user alone (0700, files 0600), bounded, and safe to delete at any time. Links below the
/// user's folder are not followed, and a folder that others could write into is not used.
final class CacheFolder: Sendable {
    /// Where it is, for messages.
    let path: String
    private let descriptor: FileDescriptor

    private static let components = ["latent", "windows"]
    private static let suffix = ".windows"

    /// Opens the folder, which is made where it is not there.
    ///
    /// - Parameter base: the user's folder for caches
    /// - Throws: ``LatentError`` `.cannotWrite` where it cannot be made, or is not the user's own
    init(in base: String) throws(LatentError) {
        try FileManager.default.makeFolder(base, mode: 0o700)
        let number = Glibc.open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw Self.refusal(base, SystemFailure().reason) }
        var folder = FileDescriptor(number)
        var path = base
        for name in Self.components {
            path += "/" + name
            folder = try Self.folder(name, in: folder, path: path)
        }
        self.path = path
        descriptor = folder
    }

    private static func refusal(_ path: String, _ reason: String) -> LatentError {
        LatentError(
            .cannotWrite, path: path, "cannot be used as a cache: \(reason)",
            hint: "name another folder by XDG_CACHE_HOME")
    }

    private static func folder(
        _ name: String, in parent: FileDescriptor, path: String
    ) throws(LatentError) -> FileDescriptor {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        var number = openat(parent.number, name, flags)
        if number < 0, errno == ENOENT {
            guard mkdirat(parent.number, name, 0o700) == 0 || errno == EEXIST else {
                throw refusal(path, SystemFailure().reason)
            }
            number = openat(parent.number, name, flags)
        }
        guard number >= 0 else {
            let failure = SystemFailure()
            throw refusal(
                path,
                [ENOTDIR, ELOOP].contains(failure.number)
                    ? "it is a file or a link, where a folder should be" : failure.reason)
        }
        let folder = FileDescriptor(number)
        guard let status = folder.status, status.st_uid == geteuid(), status.st_mode & 0o022 == 0
        else { throw refusal(path, "it is another user's, or others may write into it") }
        return folder
    }

    /// A file of the folder.
    struct Entry {
        let name: String
        let byteCount: Int
        /// When it was last written or read, in nanoseconds.
        let lastUse: Int
    }

    /// The files, those that were used last first; none where the folder cannot be read.
    func entries() -> [Entry] {
        // Opened anew: a duplicate would share the place in the listing with other threads.
        let number = openat(descriptor.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { return [] }
        guard let listing = fdopendir(number) else {
            close(number)
            return []
        }
        defer { closedir(listing) }
        var entries: [Entry] = []
        while let found = readdir(listing) {
            let name = withUnsafePointer(to: &found.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) {
                    String(cString: $0)
                }
            }
            var status = stat()
            guard name.hasSuffix(Self.suffix),
                fstatat(descriptor.number, name, &status, AT_SYMLINK_NOFOLLOW) == 0,
                status.st_mode & S_IFMT == S_IFREG
            else { continue }
            entries.append(
                Entry(
                    name: name, byteCount: Int(status.st_size),
                    lastUse: status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec))
        }
        return entries.sorted { ($0.lastUse, $0.name) > ($1.lastUse, $1.name) }
    }

    /// Opens a file for reading, and keeps others from removing it for room; nil where that is not the
    /// user's own regular file.
    func open(_ name: String) -> FileDescriptor? {
        let number = openat(
            descriptor.number, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard number >= 0 else { return nil }
        let file = FileDescriptor(number)
        guard let status = file.status, status.st_mode & S_IFMT == S_IFREG,
            status.st_uid == geteuid()
        else { return nil }
        flock(number, LOCK_SH | LOCK_NB)
        return file
    }

    /// Makes a file under a new name: the prefix, the time in 16 hexadecimal digits, so that names sort by
    /// it, and what is random.
    func make(named prefix: String) throws(SystemFailure) -> (name: String, file: FileDescriptor) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let time = String(UInt64(clamping: now.tv_sec * 1_000_000_000 + now.tv_nsec), radix: 16)
        let name =
            prefix + String(repeating: "0", count: max(0, 16 - time.count)) + time
            + String(UInt32.random(in: .min ... .max), radix: 36) + Self.suffix
        let number = openat(
            descriptor.number, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard number >= 0 else { throw SystemFailure() }
        flock(number, LOCK_SH | LOCK_NB)
        return (name, FileDescriptor(number))
    }

    /// Removes a file.
    func remove(_ name: String) { unlinkat(descriptor.number, name, 0) }

    /// What may be written at once before the question is put again, at most.
    private static let grantLimit = 64 << 20

    /// Makes room for bytes that are to be written: removes the files that were not used for the longest
    /// time, but none that a process has open.
    ///
    /// - Parameters:
    ///   - needed: bytes
    ///   - limit: what the folder may take; never more than half of what would else be free
    /// - Returns: bytes that may be written, as many as are needed or more; 0 where there is no room
    func room(for needed: Int, limit: Int) -> Int {
        var system = statvfs()
        guard fstatvfs(descriptor.number, &system) == 0 else { return 0 }
        let free = Int(clamping: UInt64(system.f_bavail) * UInt64(system.f_frsize))
        var entries = entries()
        var used = entries.reduce(0) { $0 + $1.byteCount }
        let allowed = min(limit, (used + free) / 2)
        guard needed <= allowed else { return 0 }
        while used + needed > allowed, let oldest = entries.popLast() {
            let number = openat(
                descriptor.number, oldest.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
            let file = number >= 0 ? FileDescriptor(number) : nil
            // A file system without locks has nothing to say of who reads: what is open stays readable.
            if let file, flock(file.number, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
                continue
            }
            guard unlinkat(descriptor.number, oldest.name, 0) == 0 else { continue }
            used -= oldest.byteCount
        }
        guard used + needed <= allowed else { return 0 }
        return min(max(needed, Self.grantLimit), allowed - used)
    }
}

/// An open file, closed with its last owner.
///
/// Reads and writes are at places that are named, so that threads share it, and give errors where memory
/// that is mapped would end the process.
final class FileDescriptor: Sendable {
    let number: Int32

    init(_ number: Int32) { self.number = number }

    deinit { close(number) }

    /// What the system knows of it.
    var status: stat? {
        var status = stat()
        return fstat(number, &status) == 0 ? status : nil
    }

    /// Sets the time of its last use to now.
    func touch() { futimens(number, nil) }

    /// Bytes from a place on; fewer where the file ends, or cannot be read.
    func read(_ count: Int, at offset: Int) -> [UInt8] {
        guard offset >= 0, count >= 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
            while done < count, let base = buffer.baseAddress {
                let step = pread(number, base + done, count - done, offset + done)
                if step < 0, errno == EINTR { continue }
                guard step > 0 else { break }
                done += step
            }
        }
    }

    /// Writes all bytes from a place on.
    func write(_ bytes: [UInt8], at offset: Int) throws(SystemFailure) {
        let problem: Int32 = bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count, let base = buffer.baseAddress {
                let step = pwrite(number, base + done, buffer.count - done, offset + done)
                if step < 0, errno == EINTR { continue }
                if step <= 0 { return step < 0 ? errno : ENOSPC }
                done += step
            }
            return 0
        }
        if problem != 0 { throw SystemFailure(problem) }
    }
}
