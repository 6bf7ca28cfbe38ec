import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("EventFile") struct EventFileTests {
    private let folder = try! TemporaryFolder()

    @Test(
        "the check is CRC-32C's, by published values",
        arguments: [
            (Array("123456789".utf8), 0xE306_9283), ([], 0),
            // RFC 3720, B.4.
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
            ([UInt8](repeating: 255, count: 32), 0x62A8_AB43),
            ([UInt8](0..<32), 0x46DD_794E),
        ] as [([UInt8], UInt32)])
    func check(bytes: [UInt8], expected: UInt32) {
        #expect(CRC32C.checksum(bytes) == expected)
    }

    @Test("what was added is read back, frame by frame and field by field")
    func contents() throws {
        let events = try EventFile(
            folder: folder / "a/b", now: { Date(timeIntervalSince1970: 1_700_000_000.25) })
        let name = try #require(events.path.split(separator: "/").last)
        #expect(name.hasPrefix("events.out.tfevents.1700000000."))
        #expect(name.hasSuffix(".\(getpid())"))
        events.scalar("loss/träining", -812.5, step: 1)
        events.scalar("loss/träining", .nan, step: 300)
        // Long enough for lengths of more than one byte.
        let png = [UInt8](repeating: 7, count: 70_000)
        events.image("sheet", png: png, height: 20, width: 300, channelCount: 3, step: 0)
        let before = try WireReader.records(Array(Data(at: events.path)))
        #expect(before.count == 1, "only flushing writes")
        try events.close()

        let records = try WireReader.records(Array(Data(at: events.path)))
        try #require(records.count == 4)
        for record in records { #expect(try record.double(1) == 1_700_000_000.25) }
        #expect(try records[0].text(3) == "brain.Event:2")

        #expect(try records[1].integer(2) == 1)
        let scalar = try records[1].message(5).message(1)
        #expect(try scalar.text(1) == "loss/träining")
        #expect(try scalar.float(2) == -812.5)
        #expect(try records[2].integer(2) == 300)
        #expect(try records[2].message(5).message(1).float(2).isNaN)

        #expect(records[3].fields[2] == nil, "a step of 0 is the default")
        let value = try records[3].message(5).message(1)
        #expect(try value.text(1) == "sheet")
        let image = try value.message(4)
        #expect(try image.integer(1) == 20)
        #expect(try image.integer(2) == 300)
        #expect(try image.integer(3) == 3)
        #expect(try image.bytes(4) == png)
    }

    @Test("a resumed run has a file of its own, which begins where it resumes")
    func resuming() throws {
        let now = { Date(timeIntervalSince1970: 5) }
        let first = try EventFile(folder: folder.path, now: now)
        let second = try EventFile(folder: folder.path, resumingAtStep: 4, now: now)
        #expect(second.path == first.path + ".1")
        #expect(first.path.contains(".0000000005."), "names sort by time")
        let records = try WireReader.records(Array(Data(at: second.path)))
        try #require(records.count == 2)
        #expect(try records[1].integer(2) == 4)
        #expect(try records[1].message(7).integer(1) == 1)
    }

    @Test("a sheet is added with its own size")
    func sheet() throws {
        let sheet = try ContactSheet.samples(
            [FeatureMap(channelCount: 1, height: 1, width: 4, values: [0, 0.5, 1, 0])],
            domain: .image)
        let events = try EventFile(folder: folder.path)
        events.image("samples", sheet, step: 2)
        try events.flush()
        let records = try WireReader.records(Array(Data(at: events.path)))
        let image = try records[1].message(5).message(1).message(4)
        #expect(try image.integer(1) == UInt64(sheet.height))
        #expect(try image.integer(2) == UInt64(sheet.width))
        #expect(try Image(pngData: image.bytes(4), path: nil).channelCount == 3)
    }

    @Test("a negative step is ten bytes, as the format has it")
    func negativeStep() throws {
        let events = try EventFile(folder: folder.path)
        events.scalar("a", 1, step: -3)
        try events.flush()
        let records = try WireReader.records(Array(Data(at: events.path)))
        #expect(Int64(bitPattern: try records[1].integer(2)) == -3)
    }

    @Test("a folder that cannot be made, and a closed file, are errors")
    func failures() throws {
        try folder.write([1], to: "file")
        #expect { try EventFile(folder: folder / "file/x") } throws: {
            ($0 as? LatentError)?.code == .cannotWrite
        }
        let events = try EventFile(folder: folder.path)
        try events.close()
        events.scalar("a", 1, step: 1)
        #expect { try events.flush() } throws: { ($0 as? LatentError)?.code == .cannotWrite }
    }

    @Test("a full disk is an error, and the next attempt starts anew")
    func fullDisk() throws {
        let file = try AppendedFile(path: "/dev/full", .existing)
        for _ in 0..<2 {
            #expect { try file.append([1, 2, 3]) } throws: {
                ($0 as? LatentError)?.code == .cannotWrite
            }
        }
        #expect { try AppendedFile(path: folder / "missing", .existing) } throws: {
            ($0 as? LatentError)?.code == .cannotWrite
        }
        #expect { try AppendedFile(path: "a\0b", .new) } throws: {
            ($0 as? LatentError)?.code == .cannotWrite
        }
    }
}

@Suite("MetricsLog") struct MetricsLogTests {
    private let folder = try! TemporaryFolder()
    private var path: String { folder / "metrics.ndjson" }

    private func text() throws -> String { String(decoding: try Data(at: path), as: UTF8.self) }

    private func record(_ epoch: Int, loss: Double = 0.5) -> EpochRecord {
        EpochRecord(epoch: epoch, trainingLoss: loss, distortion: 1, rate: 2, heldOutLoss: nil)
    }

    @Test("a line a record, keys sorted, numbers that JSON lacks as text")
    func lines() throws {
        let log = try MetricsLog(path: path, overwrite: false)
        try log.append(record(1))
        try log.append(record(2, loss: .nan))
        #expect(
            try text() == """
                {"distortion":1,"epoch":1,"rate":2,"trainingLoss":0.5}
                {"distortion":1,"epoch":2,"rate":2,"trainingLoss":"NaN"}

                """)
    }

    @Test("an existing log is replaced only when asked")
    func overwriting() throws {
        try folder.write("old\n".utf8, to: "metrics.ndjson")
        #expect { try MetricsLog(path: path, overwrite: false) } throws: {
            ($0 as? MediaError)?.code == .exists
        }
        #expect(try text() == "old\n")
        _ = try MetricsLog(path: path, overwrite: true)
        #expect(try text() == "")
    }

    @Test("a resumed run has each epoch once", arguments: [0, 1, 2, 3, 9])
    func resuming(after epoch: Int) throws {
        do {
            let log = try MetricsLog(path: path, overwrite: false)
            for epoch in 1...3 { try log.append(record(epoch)) }
        }
        let log = try MetricsLog(path: path, resumingAfterEpoch: epoch)
        for next in min(epoch, 3) + 1...4 { try log.append(record(next)) }
        let epochs = try text().split(separator: "\n").map {
            try JSONDecoder().decode(EpochRecord.self, from: Data($0.utf8)).epoch
        }
        #expect(epochs == [1, 2, 3, 4])
    }

    @Test("half a line goes, a line without its end stays whole, other lines stay before the cut")
    func damage() throws {
        let content =
            "{\"begun\":1}\n{\"epoch\":1}\n{\"epo\n\n{\"epoch\":2}\n{\"epoch\":3}\n{\"x\":1}"
        try folder.write(content.utf8, to: "metrics.ndjson")
        _ = try MetricsLog(path: path, resumingAfterEpoch: 2)
        #expect(try text() == "{\"begun\":1}\n{\"epoch\":1}\n{\"epoch\":2}\n")
        try folder.write("{\"epoch\":1}".utf8, to: "metrics.ndjson")
        try MetricsLog(path: path, resumingAfterEpoch: 2).append(["epoch": 2])
        #expect(try text() == "{\"epoch\":1}\n{\"epoch\":2}\n")
    }

    @Test("without a log to go on with, one begins; a folder in its place is an error")
    func missing() throws {
        try MetricsLog(path: path, resumingAfterEpoch: 7).append(["epoch": 8])
        #expect(try text() == "{\"epoch\":8}\n")
        #expect(throws: MediaError.self) {
            try MetricsLog(path: folder.path, resumingAfterEpoch: 7)
        }
    }
}

/// Reads records and protocol-buffer messages, written apart from what it checks.
struct WireReader {
    private(set) var fields: [Int: [UInt8]] = [:]

    struct Broken: Error {
        let reason: String
    }

    /// The messages of a TFRecord file, their checks verified bit by bit.
    static func records(_ bytes: [UInt8]) throws -> [WireReader] {
        var messages: [WireReader] = []
        var rest = bytes[...]
        func take(_ count: Int) throws -> [UInt8] {
            guard rest.count >= count else { throw Broken(reason: "the file ends early") }
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        while !rest.isEmpty {
            let length = try take(8)
            guard try take(4) == check(length) else { throw Broken(reason: "check of the length") }
            let content = try take(Int(littleEndian(length)))
            guard try take(4) == check(content) else {
                throw Broken(reason: "check of the content")
            }
            messages.append(try WireReader(content))
        }
        return messages
    }

    private static func check(_ bytes: [UInt8]) -> [UInt8] {
        var remainder: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            for bit in 0..<8 {
                let isOdd = (remainder ^ UInt32(byte >> bit)) & 1 == 1
                remainder = (remainder >> 1) ^ (isOdd ? 0x82F6_3B78 : 0)
            }
        }
        remainder = ~remainder
        let masked = ((remainder >> 15) | (remainder << 17)) &+ 0xA282_EAD8
        return (0..<4).map { UInt8(masked >> (8 * $0) & 255) }
    }

    private static func littleEndian(_ bytes: [UInt8]) -> UInt64 {
        bytes.reversed().reduce(0) { $0 * 256 + UInt64($1) }
    }

    /// Reads a message; a field that comes twice is an error, since none here may.
    init(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        func variable() throws -> (value: UInt64, bytes: [UInt8]) {
            var (value, taken): (UInt64, [UInt8]) = (0, [])
            while let byte = rest.popFirst() {
                value |= UInt64(byte & 127) << (7 * taken.count)
                taken.append(byte)
                if byte < 128 { return (value, taken) }
            }
            throw Broken(reason: "an integer ends early")
        }
        while !rest.isEmpty {
            let key = try variable().value
            var content: [UInt8] = []
            switch key & 7 {
            case 0:
                let value = try variable().value
                content = (0..<8).map { UInt8(value >> (8 * $0) & 255) }
            case 1: content = Array(rest.prefix(8))
            case 2:
                let length = Int(try variable().value)
                content = Array(rest.prefix(length))
                guard content.count == length else { throw Broken(reason: "bytes end early") }
            case 5: content = Array(rest.prefix(4))
            default: throw Broken(reason: "wire type \(key & 7)")
            }
            if key & 7 != 0 { rest = rest.dropFirst(content.count) }
            guard fields.updateValue(content, forKey: Int(key >> 3)) == nil else {
                throw Broken(reason: "field \(key >> 3) twice")
            }
        }
    }

    func bytes(_ field: Int) throws -> [UInt8] {
        guard let content = fields[field] else { throw Broken(reason: "no field \(field)") }
        return content
    }

    func text(_ field: Int) throws -> String { String(decoding: try bytes(field), as: UTF8.self) }
    func message(_ field: Int) throws -> WireReader { try WireReader(bytes(field)) }
    func integer(_ field: Int) throws -> UInt64 { Self.littleEndian(try bytes(field)) }
    func double(_ field: Int) throws -> Double { Double(bitPattern: try integer(field)) }
    func float(_ field: Int) throws -> Float {
        Float(bitPattern: UInt32(truncatingIfNeeded: try integer(field)))
    }
}
