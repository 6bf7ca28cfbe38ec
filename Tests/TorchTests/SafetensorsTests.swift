import Foundation
import TestSupport
import Testing
import Torch

@Suite("Safetensors") struct SafetensorsTests {
    private struct File: Decodable {
        let metadata: [String: String]
        let tensors: [String: OracleArray]
    }

    private static let example = Safetensors(
        metadata: ["schema": "{\"latent\": 1, \"name\": \"é\\n\"}", "note": ""],
        tensors: [
            "encoder.0.weight": HostTensor(
                shape: [2, 1, 3], values: [1, -2, 3.5, 0, -0.0, .leastNonzeroMagnitude]),
            "scalar": HostTensor(shape: [], values: [.pi]),
            "empty": HostTensor(shape: [0, 3], values: []),
            "extremes": HostTensor(
                shape: [3], values: [.greatestFiniteMagnitude, -.infinity, .leastNormalMagnitude]),
        ])

    /// A file of the given header, whatever it says, and data.
    private static func file(header: String, data: [UInt8] = []) -> [UInt8] {
        let text = [UInt8](header.utf8)
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { [UInt8]($0) } + text + data
    }

    private static func entry(
        _ shape: String, _ offsets: String, type: String = "F32"
    ) -> String {
        #"{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(offsets)}"#
    }

    @discardableResult
    private static func expectMalformed(
        _ bytes: [UInt8], _ comment: Comment? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> String {
        let error = #expect(throws: TorchError.self, comment, sourceLocation: sourceLocation) {
            try Safetensors(decoding: bytes)
        }
        let message = error?.description ?? ""
        #expect(error?.code == .weights, comment, sourceLocation: sourceLocation)
        #expect(
            message.hasPrefix("not a well-formed safetensors file: "), comment,
            sourceLocation: sourceLocation)
        return message
    }

    /// Decodes bytes that may be anything. They may be refused; when they are not, the tensors
    /// must account for every byte of data.
    private static func expectRefusedOrWhole(
        _ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do {
            let decoded = try Safetensors(decoding: bytes)
            let count = decoded.tensors.values.reduce(0) { $0 + $1.values.count }
            let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
            #expect(8 + length + 4 * count == bytes.count, sourceLocation: sourceLocation)
        } catch {
            #expect((error as TorchError).code == .weights, sourceLocation: sourceLocation)
        }
    }

    @Test("what Python wrote is read exactly")
    func readsPython() throws {
        let expected: File = try Fixtures.expected("weights.json")
        let path = Fixtures.path("expected/weights.safetensors")
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        let decoded = try Safetensors(decoding: bytes)
        #expect(decoded.metadata == expected.metadata)
        #expect(Set(decoded.tensors.keys) == Set(expected.tensors.keys))
        for (name, tensor) in expected.tensors {
            let found = try #require(decoded.tensors[name])
            #expect(found.shape == tensor.shape)
            // Bit patterns: -0 equals 0.
            #expect(found.values.map(\.bitPattern) == tensor.values.map(\.bitPattern), "\(name)")
        }
    }

    @Test(
        "what is written is read by Python",
        .enabled(
            if: FileManager.default.isExecutableFile(
                atPath: Fixtures.packageRoot.appendingPathComponent(".libtorch-python").path),
            "needs .libtorch-python, which Tools/bootstrap.sh makes"))
    func readByPython() throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("latent-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("weights.safetensors")
        try Data(Self.example.encoded()).write(to: file)

        let program = """
            import json, sys
            from safetensors import safe_open
            with safe_open(sys.argv[1], "numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
                print(json.dumps({
                    "metadata": file.metadata(),
                    "tensors": {name: {"shape": t.shape, "bits": t.view("uint32").ravel().tolist()
                                       if t.ndim else [int(t.view("uint32"))]}
                                for name, t in tensors.items()}}))
            """
        let process = Process()
        process.executableURL = Fixtures.packageRoot.appendingPathComponent(".libtorch-python")
        process.arguments = ["-c", program, file.path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)

        struct Seen: Decodable {
            struct Array: Decodable {
                let shape: [Int]
                let bits: [UInt32]
            }
            let metadata: [String: String]
            let tensors: [String: Array]
        }
        let seen = try JSONDecoder().decode(Seen.self, from: data)
        #expect(seen.metadata == Self.example.metadata)
        #expect(Set(seen.tensors.keys) == Set(Self.example.tensors.keys))
        for (name, tensor) in Self.example.tensors {
            #expect(seen.tensors[name]?.shape == tensor.shape)
            #expect(seen.tensors[name]?.bits == tensor.values.map(\.bitPattern))
        }
    }

    @Test("contents come back, and give the same bytes again")
    func roundTrip() throws {
        let bytes = try Self.example.encoded()
        let decoded = try Safetensors(decoding: bytes)
        #expect(decoded == Self.example)
        #expect(try decoded.encoded() == bytes)
    }

    @Test("nothing at all comes back as well")
    func nothing() throws {
        let bytes = try Safetensors(metadata: [:], tensors: [:]).encoded()
        #expect(
            try Safetensors(decoding: bytes) == Safetensors(metadata: [:], tensors: [:]))
    }

    @Test("NaN keeps its bits")
    func notANumber() throws {
        let patterns: [UInt32] = [0x7fc0_0000, 0xffc0_0001, 0x7fff_ffff]
        let tensor = HostTensor(shape: [3], values: patterns.map(Float.init(bitPattern:)))
        let bytes = try Safetensors(metadata: [:], tensors: ["a": tensor]).encoded()
        let values = try Safetensors(decoding: bytes).tensors["a"]?.values
        #expect(values?.map(\.bitPattern) == patterns)
    }

    @Test("equal contents give equal bytes, however the dictionaries were filled")
    func determinism() throws {
        let names = (0..<50).map { "layer.\($0).weight" }
        func encoded(_ order: [String]) throws -> [UInt8] {
            var file = Safetensors(metadata: [:], tensors: [:])
            for name in order {
                file.metadata[name] = name
                file.tensors[name] = HostTensor(shape: [1], values: [Float(name.count)])
            }
            return try file.encoded()
        }
        let bytes = try encoded(names)
        #expect(try encoded(names.reversed()) == bytes)
        var generator = Generator(seed: 1)
        #expect(try encoded(names.shuffled(using: &generator)) == bytes)
    }

    @Test("data begin at a multiple of 8 bytes", arguments: 1...8)
    func alignment(nameLength: Int) throws {
        let name = String(repeating: "x", count: nameLength)
        let tensors = [name: HostTensor(shape: [1], values: [1])]
        let bytes = try Safetensors(metadata: [:], tensors: tensors).encoded()
        #expect((bytes.count - 4) % 8 == 0)
        #expect(try Safetensors(decoding: bytes).tensors == tensors)
    }

    @Test("a file cut at any byte is refused")
    func truncation() throws {
        let bytes = try Self.example.encoded()
        for count in 0..<bytes.count {
            Self.expectMalformed(Array(bytes[..<count]), "cut after \(count) bytes")
        }
        Self.expectMalformed(bytes + [0], "one byte more")
    }

    @Test("no flipped bit of the length or the header brings the decoder down")
    func bitFlips() throws {
        let bytes = try Self.example.encoded()
        let dataCount = Self.example.tensors.values.reduce(0) { $0 + $1.values.count * 4 }
        for index in 0..<bytes.count - dataCount {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[index] ^= 1 << bit
                Self.expectRefusedOrWhole(damaged)
            }
        }
    }

    @Test("no byte that is lost, doubled or exchanged brings the decoder down")
    func editedBytes() throws {
        let bytes = try Self.example.encoded()
        for index in 0..<bytes.count {
            var damaged = bytes
            damaged.remove(at: index)
            Self.expectRefusedOrWhole(damaged)
            damaged.insert(bytes[index], at: index)
            damaged.insert(bytes[index], at: index)
            Self.expectRefusedOrWhole(damaged)
            damaged = bytes
            damaged.swapAt(index, (index * 7 + 3) % bytes.count)
            Self.expectRefusedOrWhole(damaged)
        }
    }

    @Test("a header length that lies is refused before anything is allocated")
    func headerLength() throws {
        let bytes = try Self.example.encoded()
        let after = UInt64(bytes.count - 8)
        for length in [after + 1, 1 << 31, 1 << 32, 1 << 62, 1 << 63, .max, .max - 7, 0, 1] {
            let prefix = withUnsafeBytes(of: length.littleEndian) { [UInt8]($0) }
            Self.expectMalformed(prefix + bytes[8...], "\(length)")
        }
        Self.expectMalformed([UInt8](repeating: 0, count: 8))
        let message = Self.expectMalformed(
            withUnsafeBytes(of: (after + 1).littleEndian) { [UInt8]($0) } + bytes[8...])
        #expect(message.contains("claims \(after + 1) bytes, the file has \(after)"))
    }

    @Test(
        "offsets and shapes that do not fit the data are refused",
        arguments: [
            (#"[1]"#, #"[-4,0]"#), ("[1]", "[-4,4]"), ("[2]", "[4,-4]"), ("[1]", "[4,0]"),
            ("[1]", "[4,8]"), ("[2]", "[0,4]"), ("[1]", "[0,8]"), ("[1]", "[0,3]"),
            ("[]", "[0,0]"), ("[1]", "[0]"), ("[1]", "[0,4,8]"), ("[1]", "[]"), ("[1]", "null"),
            ("[1]", "[0.5,4.5]"), ("[1]", #"["0","4"]"#), ("[1.5]", "[0,4]"), ("[-1]", "[0,4]"),
            ("[-1,-1]", "[0,4]"), ("null", "[0,4]"), ("1", "[0,4]"), ("[null]", "[0,4]"),
            ("[[1]]", "[0,4]"), (#"["1"]"#, "[0,4]"), ("[1]", "[0,9223372036854775807]"),
            ("[1]", "[0,9223372036854775808]"), ("[1]", "[-9223372036854775808,4]"),
            ("[1]", "[-9223372036854775808,9223372036854775807]"), ("[1]", "[0,1e400]"),
            ("[1]", "[0,1e30]"), ("[4611686018427387904]", "[0,0]"),
            ("[4294967296,4294967296]", "[0,0]"), ("[4294967296,4294967296,4294967296]", "[0,4]"),
            ("[9223372036854775807,9223372036854775807]", "[0,4]"),
            ("[18446744073709551617]", "[0,4]"), ("[4611686018427387905]", "[0,4]"),
        ])
    func lyingNumbers(shape: String, offsets: String) {
        let header = #"{"a":\#(Self.entry(shape, offsets))}"#
        Self.expectMalformed(Self.file(header: header, data: [1, 2, 3, 4]))
    }

    @Test("tensors that overlap, leave a gap or leave a rest are refused")
    func tiling() throws {
        func file(_ a: String, _ b: String, count: Int) -> [UInt8] {
            let header = #"{"a":\#(Self.entry("[2]", a)),"b":\#(Self.entry("[2]", b))}"#
            return Self.file(header: header, data: [UInt8](repeating: 0, count: count))
        }
        #expect(try Safetensors(decoding: file("[8,16]", "[0,8]", count: 16)).tensors.count == 2)
        let overlap = Self.expectMalformed(file("[0,8]", "[4,12]", count: 12))
        #expect(overlap.contains("overlap or leave a gap"))
        Self.expectMalformed(file("[0,8]", "[0,8]", count: 8))
        Self.expectMalformed(file("[0,8]", "[12,20]", count: 20))
        Self.expectMalformed(file("[4,12]", "[12,20]", count: 20))
        let rest = Self.expectMalformed(file("[0,8]", "[8,16]", count: 20))
        #expect(rest.contains("describes 16 bytes of data, the file has 20"))
        // An empty tensor is no gap, but must lie where it hides nothing.
        let header = #"{"a":\#(Self.entry("[2]", "[0,8]")),"b":\#(Self.entry("[0]", "[4,4]"))}"#
        Self.expectMalformed(Self.file(header: header, data: [UInt8](repeating: 0, count: 8)))
    }

    @Test("data that many tensors claim are not copied for each")
    func amplification() {
        // 400 times 8 MB would be 3.2 GB.
        let entry = Self.entry("[2000000]", "[0,8000000]")
        let header = "{" + (0..<400).map { "\"\($0)\":\(entry)" }.joined(separator: ",") + "}"
        let before = peakMemory()
        Self.expectMalformed(
            Self.file(header: header, data: [UInt8](repeating: 1, count: 8_000_000)))
        #expect(peakMemory() - before < 1_500_000_000)
    }

    @Test("other types than F32 are named", arguments: ["F16", "BF16", "F64", "I64", "f32", ""])
    func otherTypes(type: String) {
        let header = #"{"a":\#(Self.entry("[1]", "[0,2]", type: type))}"#
        let message = Self.expectMalformed(Self.file(header: header, data: [0, 0]))
        #expect(message.hasSuffix("a is of type \(type), only F32 is read"))
    }

    @Test(
        "a header that is not what the format says is refused",
        arguments: [
            "", " ", "{", "}", "[]", "null", "0", "\"a\"", "{\"a\":}", "{} x", " {}", "\u{FEFF}{}",
            #"{"a":null}"#, #"{"a":[]}"#, #"{"a":{}}"#, #"{"a":1}"#,
            #"{"a":{"dtype":"F32","shape":[0]}}"#,
            #"{"a":{"dtype":"F32","data_offsets":[0,0]}}"#,
            #"{"a":{"shape":[0],"data_offsets":[0,0]}}"#,
            #"{"a":{"dtype":32,"shape":[0],"data_offsets":[0,0]}}"#,
        ])
    func otherHeaders(header: String) {
        Self.expectMalformed(Self.file(header: header))
    }

    @Test(
        "metadata that are not strings are refused",
        arguments: [
            "null", "1", "\"text\"", "[]", #"{"a":1}"#, #"{"a":null}"#, #"{"a":true}"#,
            #"{"a":{}}"#, #"{"a":["b"]}"#, #"{"a":"b","c":0.5}"#,
        ])
    func otherMetadata(metadata: String) {
        let message = Self.expectMalformed(
            Self.file(header: #"{"__metadata__":\#(metadata)}"#))
        #expect(message.hasSuffix("the metadata are not strings"))
    }

    @Test("a header that is not UTF-8 is refused", arguments: [0x80, 0xC0, 0xFF, 0xED] as [UInt8])
    func otherEncodings(byte: UInt8) {
        var bytes = Self.file(header: #"{"__metadata__":{"a":"#)
        bytes += [UInt8(ascii: "\""), byte, UInt8(ascii: "\"")] + [UInt8]("}}".utf8)
        bytes[0] = UInt8(bytes.count - 8)
        Self.expectMalformed(bytes)
    }

    @Test("deep nesting is refused, not followed", arguments: [600, 100_000, 2_000_000])
    func nesting(depth: Int) {
        for (open, close) in [("[", "]"), (#"{"a":"#, "}")] {
            let deep = String(repeating: open, count: depth)
            let ends = String(repeating: close, count: depth)
            Self.expectMalformed(Self.file(header: #"{"a":\#(deep)0\#(ends)}"#))
            Self.expectMalformed(Self.file(header: #"{"a":\#(deep)"#))
        }
    }

    @Test("a repeated name is no way to hide data")
    func repeatedName() {
        let header = #"{"a":\#(Self.entry("[1]", "[0,4]")),"a":\#(Self.entry("[1]", "[4,8]"))}"#
        Self.expectRefusedOrWhole(Self.file(header: header, data: [UInt8](repeating: 0, count: 8)))
    }

    @Test("random bytes are refused")
    func randomBytes() {
        var generator = Generator(seed: 13)
        for _ in 0..<2000 {
            let count = Int.random(in: 0..<200, using: &generator)
            var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            if count > 16 {
                // A length that is believed, so that the header is looked at.
                bytes.replaceSubrange(0..<8, with: [UInt8(count - 8), 0, 0, 0, 0, 0, 0, 0])
                bytes[8] = UInt8(ascii: "{")
            }
            Self.expectMalformed(bytes)
        }
    }
}
