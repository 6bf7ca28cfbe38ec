import Foundation

/// The most memory that this process has held so far, in bytes.
public func peakMemory() -> Int {
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    return usage.ru_maxrss * 1024  // Linux counts kibibytes.
}
