import Foundation

/// Where the windows of data that are read more than once are kept after they were decoded.
public struct CachePolicy: Sendable {
    /// Memory for the windows that a model is fitted to, in bytes.
    ///
    /// Data that fit leave nothing on the disk.
    public var memoryByteLimit = 160 << 20
    /// The folder that caches of the user lie in; nil keeps windows in memory alone.
    ///
    /// Windows go to `latent/windows` in it.
    public var folder: String?
    /// What `latent/windows` may take, in bytes; never more than half of what would else be free.
    public var diskByteLimit = Self.usualDiskByteLimit

    /// 10 GB.
    public static let usualDiskByteLimit = 10_000_000_000

    /// Keeps windows in memory alone.
    public init() {}

    /// The user's folder for caches: `XDG_CACHE_HOME`, or else `.cache` in `HOME`; nil where neither is an
    /// absolute path.
    ///
    /// Source: XDG Base Directory Specification 0.8.
    public static func folder(ofUser environment: [String: String]) -> String? {
        if let folder = environment["XDG_CACHE_HOME"], folder.hasPrefix("/") { return folder }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        return home + "/.cache"
    }

    /// The same with less memory, for what is kept beside the windows that a model is fitted to.
    func withMemory(of byteLimit: Int) -> CachePolicy {
        var policy = self
        policy.memoryByteLimit = min(byteLimit, memoryByteLimit)
        return policy
    }
}

/// Decoded maps by item, up to a bound; what does not fit is found again each time, in a
/// ``WindowStore`` or in the file itself.
final class WindowCache: @unchecked Sendable {
    // Unchecked: every access is under the lock.
    private let lock = NSLock()
    private var entries: [Int: FeatureMap] = [:]
    private var byteCount = 0
    private let byteLimit: Int

    init(byteLimit: Int) { self.byteLimit = byteLimit }

    /// The items that are kept; none of them ever goes.
    var indices: Set<Int> { lock.withLock { Set(entries.keys) } }

    subscript(index: Int) -> FeatureMap? {
        get { lock.withLock { entries[index] } }
        set {
            guard let newValue else { return }
            lock.withLock {
                let size = newValue.byteCount
                guard byteCount + size <= byteLimit else { return }
                entries[index] = newValue
                byteCount += size
            }
        }
    }
}
