import Foundation

/// The contents of a `.safetensors` file: float32 tensors by name, and a dictionary of strings.
///
/// Layout: 8 bytes of little-endian header length, a JSON header that gives each tensor's type,
/// shape and byte range, then the data. Python's `safetensors` reads and writes the same. Decoding
/// runs no code and trusts no number: every length is checked against the bytes that are there
/// before anything is allocated from it.
///
/// Source: the safetensors format description of the `safetensors` package. Differs: only `F32`.
public struct Safetensors: Sendable, Equatable {
    /// The strings under `__metadata__`.
    public var metadata: [String: String]
    /// The tensors by name.
    public var tensors: [String: HostTensor]

    /// Longest header that is read, as in the reference implementation.
    private static let maximumHeaderByteCount = 100_000_000

    /// Makes the contents of a file.
    public init(metadata: [String: String], tensors: [String: HostTensor]) {
        self.metadata = metadata
        self.tensors = tensors
    }

    /// The bytes of the file; equal contents give equal bytes.
    public func encoded() throws -> [UInt8] {
        var header: [String: Any] = ["__metadata__": metadata]
        var offset = 0
        let names = tensors.keys.sorted()
        for name in names {
            guard let tensor = tensors[name] else { continue }
            let end = offset + tensor.values.count * 4
            header[name] =
                [
                    "dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, end],
                ] as [String: Any]
            offset = end
        }
        var text = [UInt8](
            try JSONSerialization.data(
                withJSONObject: header, options: [.sortedKeys, .withoutEscapingSlashes]))
        // Spaces up to a multiple of 8 align the data, as the format asks.
        text += [UInt8](repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)

        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 + text.count + offset)
        withUnsafeBytes(of: UInt64(text.count).littleEndian) { bytes.append(contentsOf: $0) }
        bytes += text
        for name in names {
            tensors[name]?.values.withUnsafeBytes { bytes.append(contentsOf: $0) }
        }
        return bytes
    }

    /// Reads the bytes of a file.
    ///
    /// - Throws: ``TorchError`` with code `.weights` saying what is wrong, expected against found
    public init(decoding bytes: [UInt8]) throws(TorchError) {
        guard bytes.count >= 8 else {
            throw Self.malformed("\(bytes.count) bytes are too few for a header")
        }
        var length: UInt64 = 0
        for index in (0..<8).reversed() { length = length << 8 | UInt64(bytes[index]) }
        guard length <= UInt64(min(bytes.count - 8, Self.maximumHeaderByteCount)) else {
            throw Self.malformed(
                "the header claims \(length) bytes, the file has \(bytes.count - 8) after it")
        }
        let dataStart = 8 + Int(length)
        guard length > 0, bytes[8] == UInt8(ascii: "{"),
            let json = try? JSONSerialization.jsonObject(with: Data(bytes[8..<dataStart])),
            var header = json as? [String: Any]
        else { throw Self.malformed("the header is no JSON object") }

        let rawMetadata = header.removeValue(forKey: "__metadata__") ?? [String: String]()
        guard let metadata = rawMetadata as? [String: String] else {
            throw Self.malformed("the metadata are not strings")
        }
        var entries: [(name: String, shape: [Int], range: Range<Int>)] = []
        for (name, value) in header {
            let (shape, range) = try Self.entry(
                name: name, value: value, dataByteCount: bytes.count - dataStart)
            entries.append((name, shape, range))
        }
        // The ranges must tile the data: no hole in which something hides, no rest, and no overlap,
        // by which a small file could ask for copies without end.
        entries.sort {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        var end = 0
        for (_, _, range) in entries {
            guard range.lowerBound == end else {
                throw Self.malformed("tensor data overlap or leave a gap at byte \(end)")
            }
            end = range.upperBound
        }
        guard end == bytes.count - dataStart else {
            throw Self.malformed(
                "the header describes \(end) bytes of data, the file has "
                    + "\(bytes.count - dataStart)")
        }
        var tensors: [String: HostTensor] = [:]
        for (name, shape, range) in entries {
            let start = dataStart + range.lowerBound
            let values = [Float](unsafeUninitializedCapacity: range.count / 4) {
                buffer, initialized in
                bytes.withUnsafeBytes { source in
                    UnsafeMutableRawBufferPointer(buffer).copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: source[start..<start + range.count]))
                }
                initialized = range.count / 4
            }
            tensors[name] = HostTensor(shape: shape, values: values)
        }
        self.metadata = metadata
        self.tensors = tensors
    }

    private static func entry(
        name: String, value: Any, dataByteCount: Int
    ) throws(TorchError) -> (shape: [Int], range: Range<Int>) {
        guard let fields = value as? [String: Any],
            let type = fields["dtype"] as? String,
            let shape = fields["shape"] as? [Int],
            let offsets = fields["data_offsets"] as? [Int], offsets.count == 2
        else { throw malformed("the entry of \(name) lacks dtype, shape or data_offsets") }
        guard type == "F32" else {
            throw malformed("\(name) is of type \(type), only F32 is read")
        }
        var count = 1
        for extent in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard extent >= 0, !overflow else {
                throw malformed("\(name) has an impossible shape \(shape)")
            }
            count = product
        }
        let (byteCount, overflow) = count.multipliedReportingOverflow(by: 4)
        guard !overflow, offsets[0] >= 0, offsets[0] <= offsets[1], offsets[1] <= dataByteCount,
            offsets[1] - offsets[0] == byteCount
        else {
            throw malformed(
                "\(name) of shape \(shape) cannot lie at bytes \(offsets[0])..<\(offsets[1]) of "
                    + "\(dataByteCount)")
        }
        return (shape, offsets[0]..<offsets[1])
    }

    private static func malformed(_ what: String) -> TorchError {
        TorchError(.weights, "not a well-formed safetensors file: \(what)")
    }
}
