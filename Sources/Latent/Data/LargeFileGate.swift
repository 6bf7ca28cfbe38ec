import Foundation
import Media

/// Lets one large file at a time be decoded, so that several readers do not need several times its
/// memory; small ones pass freely.
final class LargeFileGate: Sendable {
    private let lock = NSLock()
    private static let pixelLimit = 8 << 20
    private static let byteLimit = 16 << 20
    /// Of recordings that may be many times as large when they are decoded.
    private static let compressedByteLimit = 1 << 20
    /// How recordings begin that are not.
    private static let plainSounds = ["RIFF", "RIFX", "RF64", "riff", "FORM", ".snd", "caff"]
    /// What so many pixels are as values in three channels.
    private static let mapByteLimit = 12 * pixelLimit

    /// Runs the decoding of a file, in turn if it is large.
    func run<Result>(_ bytes: [UInt8], _ decode: () throws -> Result) rethrows -> Result {
        guard Self.isLarge(bytes) else { return try decode() }
        return try lock.withLock(decode)
    }

    /// Runs what copies a decoded map, in turn if that is large.
    func run<Result>(mapOf byteCount: Int, _ copy: () -> Result) -> Result {
        byteCount > Self.mapByteLimit ? lock.withLock(copy) : copy()
    }

    private static func isLarge(_ bytes: [UInt8]) -> Bool {
        if bytes.count > byteLimit { return true }
        let kind = MediaKind.sniff(bytes)
        if kind == .audio {
            let isPlain = plainSounds.contains { bytes.starts(with: $0.utf8) }
            return !isPlain && bytes.count > compressedByteLimit
        }
        guard kind == .png, bytes.count >= 24 else { return false }
        // Width and height stand in the header, which comes first.
        func number(_ start: Int) -> Int {
            bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
        }
        return number(16).multipliedFullWidth(by: number(20)).low > UInt(pixelLimit)
    }
}
