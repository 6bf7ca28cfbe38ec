import Glibc

/// What the system says of a call that failed, and what to do about it.
public struct SystemFailure: Error, Sendable {
    /// The number, as of `errno`.
    public let number: Int32

    /// Takes the number of the last call of this thread, or one that was kept.
    public init(_ number: Int32 = errno) { self.number = number }

    /// What is wrong, as the system has it: `No space left on device`.
    public var reason: String { String(cString: strerror(number)) }

    /// What to do about an output that cannot be written; nil where there is nothing to say.
    public var advice: String? {
        switch number {
        case ENOSPC, EDQUOT: "make room on the disk, or name another output"
        case EFBIG: "raise the limit on the size of files (ulimit -f), or name another output"
        case EROFS: "name an output elsewhere"
        case EACCES, EPERM: "check the permissions, or name another output"
        case ENOENT: "create its folder first"
        case ENOTDIR, EEXIST: "a file is where a folder should be: name another output"
        case ENAMETOOLONG: "choose a shorter name"
        default: nil
        }
    }
}
