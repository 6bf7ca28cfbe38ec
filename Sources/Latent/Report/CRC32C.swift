/// The cyclic redundancy check of Castagnoli's polynomial, reflected, as in iSCSI (RFC 3720) and in
/// TensorFlow's record files.
enum CRC32C {
    /// What each byte does to the remainder.
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in
            value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1
        }
    }

    /// The check of some bytes.
    static func checksum(_ bytes: [UInt8]) -> UInt32 {
        let table = table
        return ~bytes.reduce(~0) { value, byte in
            value >> 8 ^ table[Int(UInt8(truncatingIfNeeded: value) ^ byte)]
        }
    }

    /// The check as record files store it: turned and shifted, since the check of bytes that hold
    /// their own check is not a good one.
    static func masked(_ bytes: [UInt8]) -> UInt32 {
        let value = checksum(bytes)
        return (value >> 15 | value << 17) &+ 0xA282_EAD8
    }
}
