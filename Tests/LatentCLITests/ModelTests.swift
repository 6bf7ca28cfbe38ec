import Foundation
import TestSupport
import Testing

@Suite("Model files")
struct ModelFiles {
    /// Each way to spoil a file, and what is said of it.
    static let damages: [(name: String, message: String)] = [
        ("empty", "safetensors"), ("truncated", ""), ("short header", "safetensors"),
        ("flipped weight", "checksum"), ("flipped header", ""), ("longer", ""),
        ("future", "format 4"), ("picture", ""), ("other safetensors", "not a latent model"),
    ]

    private func damaged(_ name: String) throws -> Data {
        let whole = try Data(contentsOf: URL(fileURLWithPath: TrainedModels.images().path))
        var bytes = whole
        switch name {
        case "empty": return Data()
        case "truncated": return whole.prefix(whole.count / 2)
        case "short header": return whole.prefix(20)
        case "flipped weight": bytes[bytes.count - 100] ^= 0x10
        case "flipped header": bytes[40] ^= 0x01
        case "longer": bytes.append(0)
        case "future":
            let range = try #require(
                bytes.firstRange(of: Data("\"format_version\":\"3\"".utf8)))
            bytes[range.upperBound - 2] = UInt8(ascii: "4")
        case "picture":
            return try Data(
                contentsOf: URL(fileURLWithPath: Fixtures.path("images/inbox/odd-ring.png")))
        default:
            return try Data(
                contentsOf: URL(fileURLWithPath: Fixtures.path("expected/weights.safetensors")))
        }
        return bytes
    }

    @Test("A spoilt one is refused in one line by every verb", arguments: damages.indices)
    func damage(index: Int) throws {
        let damage = Self.damages[index]
        let folder = try TemporaryFolder()
        let model = folder / "m.safetensors"
        try damaged(damage.name).write(to: URL(fileURLWithPath: model))
        for arguments in [
            ["score", "-m", model, Scoring.imageInbox], ["inspect", model],
            ["augment", "-m", model, "-o", folder / "more", "-n", "1"],
        ] {
            let run = try Tool.run(arguments)
            #expect(run.status == 65)
            #expect(run.output.isEmpty)
            #expect(run.errors.split(separator: "\n").count == 1)
            #expect(run.errors.hasPrefix("latent: error: \(model): "))
            #expect(
                damage.message.isEmpty || run.errors.contains(damage.message),
                "\(damage.name): \(run.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder / "more"))
    }

    @Test("One that is missing is 66, a folder 65")
    func missing() throws {
        let folder = try TemporaryFolder()
        for (path, status) in [(folder / "none", 66), (folder.path, 65)] as [(String, Int32)] {
            let run = try Tool.run("inspect", path)
            #expect(run.status == status)
            #expect(run.errorLines.count == 1)
        }
    }

    @Test("Inspection shows a model as text and as JSON")
    func inspection() throws {
        let model = try TrainedModels.images()
        let text = try Tool.run("inspect", model.path)
        #expect(text.status == 0)
        #expect(text.errors.isEmpty)
        for name in ["domain", "window", "network", "likelihood", "labels", "threshold"] {
            #expect(text.lines.contains { $0.hasPrefix(name + " ") }, "\(name)")
        }
        #expect(text.output.contains("disc, square, triangle"))
        let json = try Tool.run("inspect", model.path, "--format", "json")
        #expect(json.status == 0)
        #expect(json.lines.count == 1)
        let record = try object(json.output)
        #expect((record["labels"] as? [String]) == ["disc", "square", "triangle"])
        let configuration = record["configuration"] as? [String: Any]
        #expect(configuration?["latentCount"] as? Int == 4)
    }
}
