import Foundation
import TestSupport
import Testing

/// A run in parts: what the parts write, together, is what one run does, byte for byte.
@Suite("Shards")
struct ShardTests {
    /// Sides that no vector length divides: kernels differ at their edges there.
    private static let odd = Result {
        try TrainedModels.Trained(
            on: TrainedModels.shapes,
            [
                "--for", "augmentation", "--architecture", "mlp", "--channels", "37,19",
                "--latent", "5", "--epochs", "1", "--threads", "1",
            ])
    }

    /// The lines of all parts, sorted.
    private func parts(_ count: Int, _ arguments: [String]) throws -> [String] {
        var lines: [String] = []
        for number in 1...count {
            let run = try Tool.run(arguments + ["--shard", "\(number)/\(count)"])
            #expect(run.status == 0, "\(run.errors)")
            lines += run.lines
        }
        return lines.sorted()
    }

    @Test("scores of eight parts are those of one run", arguments: [true, false])
    func score(isImage: Bool) throws {
        let model = isImage ? try Self.odd.get() : try TrainedModels.sound()
        let arguments = [
            "score", "-q", "-m", model.path,
            isImage ? TrainedModels.shapes : TrainedModels.sounds, "--format", "ndjson",
            "--threads", "1", "--batch", isImage ? "4" : "3",
        ]
        let whole = try Tool.run(arguments)
        #expect(whole.lines.count == (isImage ? 120 : 72))
        #expect(try parts(8, arguments) == whole.lines.sorted())
    }

    @Test("lists on standard input are divided too, and more parts than files are empty")
    func list() throws {
        let model = try Self.odd.get()
        let files = try files(in: Scoring.imageInbox).joined(separator: "\n")
        let arguments = ["score", "-q", "-m", model.path, "-", "--batch", "8", "--shard"]
        let runs = try (1...4).map { try Tool.run(arguments + ["\($0)/4"], input: files) }
        #expect(runs.map(\.lines.count) == [8, 8, 4, 0])
        #expect(runs.allSatisfy { $0.status == 0 })
        // Without files at all every part says so.
        #expect(try Tool.run(arguments + ["1/4"], input: "").status == 65)
    }

    @Test("new files of four parts, in one folder or in several, are those of one run")
    func augment() throws {
        let folder = try TemporaryFolder()
        let model = try Self.odd.get()
        let arguments = [
            "augment", "-q", "-m", model.path, TrainedModels.shapes,
            Fixtures.path("broken/truncated.png"), "-n", "150", "--threads", "1", "--reject",
            "none",
        ]
        // A parent that cannot be read is 65; the others do its work.
        #expect(try Tool.run(arguments + ["-o", folder / "whole"]).status == 65)
        for number in 1...4 {
            for target in ["same", "part-\(number)"] {
                _ = try Tool.run(
                    arguments + ["-o", folder / target, "--shard", "\(number)/4"])
            }
        }
        func tree(_ names: [String]) throws -> (files: [String: Data], lines: [String]) {
            var files: [String: Data] = [:]
            var lines: [String] = []
            for name in names {
                for (path, bytes) in try contents(below: folder / name) {
                    if path.hasPrefix("manifest") {
                        lines += String(decoding: bytes, as: UTF8.self).split(separator: "\n")
                            .map(String.init)
                    } else if !path.hasPrefix(".latent-augment") {
                        #expect(files.updateValue(bytes, forKey: path) == nil)
                    }
                }
            }
            return (files, lines.sorted())
        }
        let whole = try tree(["whole"])
        #expect(whole.files.count == 150 && whole.lines.count == 150)
        for names in [["same"], (1...4).map { "part-\($0)" }] {
            let found = try tree(names)
            #expect(found.files == whole.files)
            #expect(found.lines == whole.lines)
        }
        // A part that is there already is left alone.
        let again = try Tool.run(arguments + ["-o", folder / "same", "--shard", "2/4"])
        #expect(again.status == 0)
        #expect(try tree(["same"]).lines == whole.lines)
    }

    @Test(
        "what is no part, or has no meaning for one, is refused",
        arguments: ["0/4", "5/4", "1", "1/2/3", "a/4", "1/0", "-1/4"])
    func refused(part: String) throws {
        let run = try Tool.run("score", "-m", "m", "x", "--shard=\(part)")
        #expect(run.status == 64 && run.errors.contains("--shard"))
    }

    @Test("verdicts and summaries of all files are refused")
    func wholes() throws {
        for option in [["--fdr", "0.1"], ["--summary"]] {
            let run = try Tool.run(["score", "-m", "m", "x", "--shard", "1/4"] + option)
            #expect(run.status == 64 && run.errors.contains("all files at once"))
        }
    }
}
