/// A protocol-buffer message under construction.
///
/// By hand, since event files need six kinds of field in four messages whose numbers have not changed
/// since 2015; swift-protobuf and generated code would be a heavy dependency for that.
///
/// Source: Protocol Buffers, *Encoding*: a field is its number and wire type, then its value.
struct WireMessage {
    /// The bytes so far.
    private(set) var content: [UInt8] = []

    private enum WireType: Int {
        case variableLength = 0
        case eightBytes = 1
        case counted = 2
        case fourBytes = 5
    }

    /// An `int32`, `int64` or enumeration.
    mutating func integer(_ field: Int, _ value: Int) {
        key(field, .variableLength)
        variable(UInt64(bitPattern: Int64(value)))
    }

    /// A `double`.
    mutating func double(_ field: Int, _ value: Double) {
        key(field, .eightBytes)
        content += Self.littleEndian(value.bitPattern)
    }

    /// A `float`.
    mutating func float(_ field: Int, _ value: Float) {
        key(field, .fourBytes)
        content += Self.littleEndian(value.bitPattern)
    }

    /// A `bytes`.
    mutating func bytes(_ field: Int, _ value: [UInt8]) {
        key(field, .counted)
        variable(UInt64(value.count))
        content += value
    }

    /// A `string`.
    mutating func string(_ field: Int, _ value: String) { bytes(field, Array(value.utf8)) }

    /// A message in the message.
    mutating func message(_ field: Int, _ fill: (inout WireMessage) -> Void) {
        var inner = WireMessage()
        fill(&inner)
        bytes(field, inner.content)
    }

    /// The bytes of an integer, the low one first.
    static func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private mutating func key(_ field: Int, _ type: WireType) {
        variable(UInt64(field << 3 | type.rawValue))
    }

    /// Seven bits a byte, the low ones first; the top bit says that more follow.
    private mutating func variable(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            content.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        content.append(UInt8(rest))
    }
}
