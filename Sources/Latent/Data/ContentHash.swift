import CCrypto

/// SHA-256 of a file's bytes: what an item is, whatever its name.
public struct ContentHash: Hashable, Sendable, CustomStringConvertible {
    /// The 32 bytes of the digest.
    public let bytes: [UInt8]

    /// Hashes bytes; about 1.5 GB/s where the processor has SHA instructions.
    public init(of content: [UInt8]) {
        self = content.withUnsafeBytes { ContentHash(of: $0) }
    }

    /// The same of bytes that lie anywhere.
    init(of content: UnsafeRawBufferPointer) {
        var digest = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 0
        let done = EVP_Digest(
            content.baseAddress, content.count, &digest, &length, EVP_sha256(), nil)
        // EVP_Digest fails only when the digest itself is missing from the library.
        precondition(done == 1 && length == 32, "libcrypto has no SHA-256")
        bytes = digest
    }

    /// 64 hexadecimal digits, as `sha256sum` prints.
    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        return String(decoding: text, as: UTF8.self)
    }

    /// The first 64 bits: the key of the item's random numbers.
    public var word: UInt64 { bytes[0..<8].reduce(0) { $0 << 8 | UInt64($1) } }
}

extension ContentHash {
    /// SHA-256 over sorted content words: the same files in another order are the same data.
    static func fingerprint(ofWords words: [UInt64]) -> String {
        var bytes: [UInt8] = []
        for word in words.sorted() { withUnsafeBytes(of: word.bigEndian) { bytes += $0 } }
        return ContentHash(of: bytes).description
    }
}
