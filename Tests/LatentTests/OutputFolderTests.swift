import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("OutputFolder") struct OutputFolderTests {
    private let folder = try! TemporaryFolder()
    private let hash = ContentHash(of: [1])
    private let record = RunRecord(["seed": "0"])

    private static func item(_ index: Int, label: String?, byte: UInt8 = 7) -> SyntheticItem {
        SyntheticItem(
            bytes: [byte], fileExtension: "png", label: label,
            parents: [.init(path: "p/\"1\".png", hash: ContentHash(of: [2]))], slot: index,
            drawIndex: index,
            mix: index % 2 == 0 ? 0.5 : nil, attributes: [:], transforms: [])
    }

    private func configuration(_ method: LatentSampling = .posterior) -> Augmenter.Configuration {
        var configuration = Augmenter.Configuration(method: method, count: 1)
        configuration.seed = .max
        return configuration
    }

    private struct Line: Decodable {
        struct Parent: Decodable { let path, sha256: String }
        let file, method, model_sha256: String
        let label: String?
        let parents: [Parent]
        let seed: UInt64
        let draw: Int
        let mix: Double?
    }

    private func lines(_ path: String) throws -> [Line] {
        let text = String(decoding: try Data(at: path + "/manifest.ndjson"), as: UTF8.self)
        #expect(text.isEmpty || text.hasSuffix("\n"))
        return try text.split(separator: "\n").map {
            try JSONDecoder().decode(Line.self, from: Data($0.utf8))
        }
    }

    private static let labels: [String?] = [
        nil, "cat", "a/b", "../up", "..", ".", "", "/etc", "a/../../b", ".hidden", "né 猫", "a\nb",
        "a\0b", "manifest", "c:\\d", "\"q\"", "-rf",
    ]

    @Test("each line of the manifest names a file that is there, inside the folder")
    func manifest() throws {
        let output = try OutputFolder(path: folder / "out", record: record, overwrites: false)
        var written: [String] = []
        for (index, label) in Self.labels.enumerated() {
            written.append(
                try output.write(
                    Self.item(index, label: label, byte: UInt8(index)),
                    configuration: configuration(), modelHash: hash))
        }
        let lines = try lines(folder / "out")
        #expect(lines.map(\.label) == Self.labels)
        #expect(lines.map(\.draw) == Array(Self.labels.indices))
        let root = URL(fileURLWithPath: folder / "out").resolvingSymlinksInPath().path + "/"
        for (index, line) in lines.enumerated() {
            #expect(written[index] == folder / "out/\(line.file)")
            #expect(try Data(at: written[index]) == Data([UInt8(index)]))
            let real = URL(fileURLWithPath: written[index]).resolvingSymlinksInPath().path
            #expect(real.hasPrefix(root) && line.file.split(separator: "/").count <= 2)
            #expect(line.seed == .max && line.method == "posterior")
            #expect(line.model_sha256 == "\(hash)" && line.mix == (index % 2 == 0 ? 0.5 : nil))
            #expect(line.parents.map(\.path) == ["p/\"1\".png"])
            #expect(line.parents[0].sha256 == "\(ContentHash(of: [2]))")
        }
        // Nothing beside the folder.
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out"])
    }

    @Test("what was written can be read back as inputs, labels with it")
    func readBack() throws {
        let output = try OutputFolder(path: folder / "out", record: record, overwrites: false)
        for index in 0..<3 {
            _ = try output.write(
                Self.item(index, label: "cat"), configuration: configuration(), modelHash: hash)
        }
        let listed = Array(try Inputs([folder / "out/manifest.ndjson"], domain: nil))
        let walked = Array(try Inputs([folder / "out"], domain: .image))
        #expect(listed.map(\.path) == walked.map(\.path))
        #expect(
            listed.map(\.label) == ["cat", "cat", "cat"]
                && walked.map(\.label) == listed.map(\.label))
        #expect(walked.map(\.relativePath).first == "cat/posterior-000000.png")
    }

    @Test("a folder that holds something is refused and left alone, unless forced")
    func fullFolder() throws {
        try folder.write([1], to: "out/mine.txt")
        let error = try #require(throws: LatentError.self) {
            try OutputFolder(path: folder / "out", record: record, overwrites: false)
        }
        #expect(error.code == .exists && error.path == folder / "out")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder / "out") == ["mine.txt"])
        for byte: UInt8 in [3, 4] {
            let output = try OutputFolder(path: folder / "out", record: record, overwrites: true)
            _ = try output.write(
                Self.item(0, label: nil, byte: byte), configuration: configuration(),
                modelHash: hash)
            #expect(try Data(at: folder / "out/posterior-000000.png") == Data([byte]))
            #expect(try lines(folder / "out").count == 1)
        }
        #expect(try Data(at: folder / "out/mine.txt") == Data([1]))
        #expect(throws: Never.self) {
            try OutputFolder(
                path: try folder.makeFolder("empty"), record: record, overwrites: false)
        }
    }

    @Test("a place that cannot be a folder is an error that names it")
    func impossibleFolder() throws {
        let file = try folder.write([1], to: "file")
        let error = try #require(throws: LatentError.self) {
            try OutputFolder(path: file + "/out", record: record, overwrites: false)
        }
        #expect(error.code == .cannotWrite && error.path == file + "/out")
    }
}
