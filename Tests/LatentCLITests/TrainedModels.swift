import Foundation
import TestSupport
import Testing

/// Small models that many tests share; each is trained once, when it is first asked for.
enum TrainedModels {
    /// Flags of a model that trains in no time.
    static let tiny = [
        "--architecture", "mlp", "--channels", "32", "--latent", "4", "--epochs", "3",
        "--deform-steps", "2", "--threads", "1",
    ]

    static let shapes = Fixtures.path("images/shapes")
    static let sounds = Fixtures.path("audio/sounds")

    /// What came of training on a folder of fixtures.
    struct Trained: Sendable {
        let folder: TemporaryFolder
        let run: ToolRun
        var path: String { folder / "model.safetensors" }

        init(on data: String, _ flags: [String]) throws {
            folder = try TemporaryFolder()
            run = try Tool.run(["train", data, "-o", folder / "model.safetensors"] + flags)
        }
    }

    /// A model of `Fixtures/images/shapes`, with enough calibration for a rate of 0.05.
    static func images() throws -> Trained { try imagesResult.get() }
    /// A model of `Fixtures/audio/sounds`.
    static func sound() throws -> Trained { try soundResult.get() }

    private static let imagesResult = Result {
        try Trained(on: shapes, tiny + ["--calibration", "0.2"])
    }
    private static let soundResult = Result {
        try Trained(on: sounds, tiny + ["--mels", "16", "--calibration", "0.3"])
    }
}

extension TrainedModels {
    /// Interrupts training once it says something, and expects that `--resume` comes to the bytes of a
    /// run that was left alone.
    static func expectResumable(
        _ flags: [String], after note: String, saying message: String
    ) throws {
        let folder = try TemporaryFolder()
        let flags = flags + ["--checkpoint-interval", "0"]
        let whole = try Tool.run(["train", shapes, "-o", folder / "whole"] + flags)
        #expect(whole.status == 0, "\(whole.errors)")
        let run = try Tool.shell(
            """
            "$latent" train "$1" -o "$2" \(flags.joined(separator: " ")) 2> "$2.err" &
            until grep -q "$3" "$2.err" || ! kill -0 $! 2> /dev/null; do :; done
            kill -INT $!
            wait $! 2> /dev/null
            """, shapes, folder / "parts", note)
        #expect(run.status == 130)
        let errors = try String(contentsOfFile: folder / "parts.err", encoding: .utf8)
        #expect(errors.contains(message) && errors.contains("--resume"), "\(errors)")
        #expect(!FileManager.default.fileExists(atPath: folder / "parts"))
        let resumed = try Tool.run(["train", shapes, "-o", folder / "parts", "--resume"] + flags)
        #expect(resumed.status == 0, "\(resumed.errors)")
        let written = try contents(below: folder.path)
        #expect(written["parts"] == written["whole"])
    }
}

/// A line of NDJSON as Foundation reads it.
func object(_ line: String) throws -> [String: Any] {
    let value = try JSONSerialization.jsonObject(with: Data(line.utf8))
    return value as? [String: Any] ?? [:]
}

/// Names of the files in a folder, sorted, with their paths.
func files(in folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder)
        .filter { $0.hasSuffix(".png") || $0.hasSuffix(".wav") }
        .sorted().map { "\(folder)/\($0)" }
}

/// All regular files below a folder with their bytes.
func contents(below folder: String) throws -> [String: Data] {
    var contents: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
        var isFolder: ObjCBool = false
        let path = "\(folder)/\(name)"
        _ = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        if !isFolder.boolValue { contents[name] = try Data(contentsOf: URL(fileURLWithPath: path)) }
    }
    return contents
}
