import Foundation
import TestSupport
import Testing

@Suite("Training")
struct Training {
    @Test("A folder of images becomes a model, and standard output stays empty")
    func images() throws {
        let trained = try TrainedModels.images()
        #expect(trained.run.status == 0, "\(trained.run.errors)")
        #expect(trained.run.output.isEmpty)
        #expect(trained.run.errorLines.isEmpty)
        #expect(try files(in: trained.folder.path).isEmpty)
        let left = try FileManager.default.contentsOfDirectory(atPath: trained.folder.path)
        #expect(left == ["model.safetensors"])
    }

    @Test("A folder of recordings becomes a model")
    func recordings() throws {
        let trained = try TrainedModels.sound()
        #expect(trained.run.status == 0, "\(trained.run.errors)")
        #expect(trained.run.output.isEmpty)
        #expect(FileManager.default.fileExists(atPath: trained.path))
    }

    @Test("A model that is there is replaced only on demand, and quietly where that is asked for")
    func overwriting() throws {
        let folder = try TemporaryFolder()
        try folder.copy(try TrainedModels.images().path, as: "m")
        let before = try contents(below: folder.path)
        let refused = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "m"] + TrainedModels.tiny)
        #expect(refused.status == 74)
        #expect(refused.errorLines.count == 1)
        #expect(try contents(below: folder.path) == before)
        let forced = try Tool.run(
            [
                "train", TrainedModels.shapes, "-o", folder / "m", "--force", "--quiet", "--seed",
                "1",
            ]
                + TrainedModels.tiny)
        #expect(forced.status == 0)
        #expect(forced.output.isEmpty && forced.errors.isEmpty, "\(forced.errors)")
        #expect(try contents(below: folder.path) != before)
    }

    @Test("Data that fit in memory leave nothing in the user's cache folder, wherever that is")
    func noCache() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.shell(
            """
            cd "$2" && export HOME="$2" XDG_CACHE_HOME="$2/caches"
            "$latent" train "$1" -o m \(TrainedModels.tiny.joined(separator: " ")) --cache 0.5
            """, TrainedModels.shapes, folder.path)
        #expect(run.status == 0, "\(run.errors)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["m"])
    }

    @Test(
        "A cache of a size that is none is a mistake in the command", arguments: ["-1", "nan", "x"])
    func cacheSize(size: String) throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run("train", TrainedModels.shapes, "-o", folder / "m", "--cache", size)
        #expect(run.status == 64 && run.errorLines.count == 1, "\(run.errors)")
        #expect(run.errors.contains("--cache"))
    }

    @Test("Two runs of one command write the same bytes")
    func repeatable() throws {
        let folder = try TemporaryFolder()
        for name in ["a", "b"] {
            let run = try Tool.run(
                ["train", TrainedModels.shapes, "-o", folder / name] + TrainedModels.tiny)
            #expect(run.status == 0)
        }
        let written = try contents(below: folder.path)
        #expect(written["a"] == written["b"])
    }

    @Test("An unreadable file is named and left out, or ends the run where that is asked for")
    func badFile() throws {
        let folder = try TemporaryFolder()
        let data = try folder.makeFolder("data")
        for (index, path) in try files(in: TrainedModels.shapes + "/disc").enumerated() {
            try folder.copy(path, as: "data/\(index).png")
        }
        try folder.copy(Fixtures.path("broken/truncated.png"), as: "data/broken.png")
        let skipped = try Tool.run(
            ["train", data, "-o", folder / "m", "--for", "augmentation", "--on-error", "skip"]
                + TrainedModels.tiny)
        #expect(skipped.status == 0)
        #expect(skipped.errors.contains("broken.png"))
        #expect(skipped.errors.contains("left out 1 of 41 files"))
        let failed = try Tool.run(
            ["train", data, "-o", folder / "n", "--for", "augmentation", "--on-error", "fail"]
                + TrainedModels.tiny)
        #expect(failed.status == 65)
        #expect(failed.errorLines.count == 1)
        #expect(failed.errorLines.first?.contains("broken.png") == true)
        #expect(!FileManager.default.fileExists(atPath: folder / "n"))
    }

    @Test(
        "Data that are no data set are refused",
        arguments: [
            ("broken/tiny-1x1.png", "image", "1 readable image was found"),
            ("broken/silence.wav", "audio", "1 readable recording was found"),
            ("broken/truncated.png", "image", "1 that cannot be read"),
        ])
    func tooFew(name: String, domain: String, message: String) throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(
            "train", Fixtures.path(name), "-o", folder / "m", "--domain", domain)
        #expect(run.status == 65)
        #expect(run.output.isEmpty)
        #expect(run.errorLines.count == 1)
        #expect(run.errors.contains(message), "\(run.errors)")
        #expect(run.errors.contains("at least 10"))
    }

    @Test("An empty folder is bad data, a missing one is missing")
    func nothing() throws {
        let folder = try TemporaryFolder()
        let empty = try Tool.run("train", try folder.makeFolder("data"), "-o", folder / "m")
        #expect(empty.status == 65)
        #expect(empty.errorLines.count == 1)
        let missing = try Tool.run("train", folder / "nowhere", "-o", folder / "m")
        #expect(missing.status == 66)
        #expect(missing.errorLines.count == 1)
        #expect(missing.errors.contains("nowhere"))
    }

    @Test("Images and recordings together are refused until one is chosen")
    func mixedDomains() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(
            "train", TrainedModels.shapes, TrainedModels.sounds, "-o", folder / "m")
        #expect(run.status == 65)
        #expect(run.errors.contains("--domain image or --domain audio"))
    }

    @Test("An input is never written, even with --force")
    func outputIsInput() throws {
        let folder = try TemporaryFolder()
        try folder.copy(TrainedModels.shapes, as: "data")
        let before = try contents(below: folder.path)
        let run = try Tool.run(
            ["train", folder / "data", "-o", folder / "data/disc/../disc/000.png", "--force"]
                + TrainedModels.tiny)
        #expect(run.status == 74)
        #expect(run.errorLines.count == 1)
        #expect(try contents(below: folder.path) == before)
    }

    @Test("A place that cannot be written is refused before any work")
    func unwritable() throws {
        let folder = try TemporaryFolder()
        for path in [folder / "none/m", folder.path, "/dev/null"] {
            let run = try Tool.run("train", TrainedModels.shapes, "-o", path, "--force")
            #expect(run.status == 74)
            #expect(run.errorLines.count == 1)
        }
    }

    @Test(
        "What the machine cannot hold is refused and not attempted",
        arguments: [
            ["--size", "4096"], ["--channels", "65536,65536,65536"], ["--latent", "1000000"],
            ["--size", "4096", "--architecture", "mlp", "--channels", "65536"],
        ])
    func absurd(flags: [String]) throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(["train", TrainedModels.shapes, "-o", folder / "m"] + flags)
        #expect(run.status == 64)
        #expect(run.errorLines.count == 1, "\(run.errors)")
    }

    @Test("Training that diverges says so")
    func divergence() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "m", "--learning-rate", "1e30"]
                + TrainedModels.tiny)
        #expect(run.status == 70)
        #expect(run.errorLines.count == 1)
        #expect(run.errors.contains("--learning-rate"))
    }

    @Test("Standard error that is full or closed ends nothing", .enabled(if: hasFullDevice))
    func lostNotes() throws {
        let folder = try TemporaryFolder()
        for (index, target) in ["2>/dev/full", "2>&-"].enumerated() {
            let flags = TrainedModels.tiny.joined(separator: " ")
            let run = try Tool.shell(
                "\"$latent\" train \"$1\" -o \"$2\" \(flags) \(target)", TrainedModels.shapes,
                folder / "m\(index)")
            #expect(run.status == 0)
            #expect(FileManager.default.fileExists(atPath: folder / "m\(index)"))
        }
    }
}

@Suite("Interruption")
struct Interruption {
    /// Starts training, ends it with a signal once a checkpoint is there, goes on, and compares.
    private func interrupted(by signal: String) throws -> (first: Int32, folder: TemporaryFolder) {
        let folder = try TemporaryFolder()
        let flags =
            TrainedModels.tiny + [
                "--epochs", "60", "--patience", "0", "--checkpoint-interval", "0", "--quiet",
            ]
        let whole = try Tool.run(["train", TrainedModels.shapes, "-o", folder / "whole"] + flags)
        #expect(whole.status == 0)
        // The shell watches for the checkpoint; many epochs are still to come then.
        let run = try Tool.shell(
            """
            "$latent" train "$1" -o "$2" \(flags.joined(separator: " ")) 2> "$2.err" &
            until [ -e "$2.checkpoint" ] || ! kill -0 $! 2> /dev/null; do :; done
            kill -\(signal) $!
            wait $! 2> /dev/null
            """, TrainedModels.shapes, folder / "parts")
        #expect(FileManager.default.fileExists(atPath: folder / "parts.checkpoint"))
        #expect(!FileManager.default.fileExists(atPath: folder / "parts"))
        let resumed = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "parts", "--resume"] + flags)
        #expect(resumed.status == 0, "\(resumed.errors)")
        let written = try contents(below: folder.path)
        #expect(written["parts"] == written["whole"])
        #expect(written["parts.checkpoint"] == nil)
        return (run.status, folder)
    }

    @Test("An interrupted run leaves a checkpoint, and goes on to the same bytes")
    func interrupt() throws {
        let (status, folder) = try interrupted(by: "INT")
        #expect(status == 130)
        let errors = try contents(below: folder.path)["parts.err"] ?? Data()
        let text = String(decoding: errors, as: UTF8.self)
        #expect(text.contains("latent: error: interrupted"))
        #expect(text.contains("--resume"))
    }

    @Test("A killed run goes on to the same bytes")
    func killed() throws {
        #expect(try interrupted(by: "KILL").first == 137)
    }

    @Test("A checkpoint of other settings or with damage is refused")
    func wrongCheckpoint() throws {
        let folder = try TemporaryFolder()
        try Data("nonsense".utf8).write(to: URL(fileURLWithPath: folder / "m.checkpoint"))
        let run = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "m", "--resume"] + TrainedModels.tiny)
        #expect(run.status == 65)
        #expect(run.errorLines.count == 1)
        #expect(run.errors.contains("m.checkpoint"))
        // Nor is a checkpoint replaced by a run that does not ask for it.
        let anew = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "m"] + TrainedModels.tiny)
        #expect(anew.status == 74)
        #expect(anew.errors.contains("--resume") && anew.errors.contains("--force"))
        #expect(try contents(below: folder.path)["m.checkpoint"] == Data("nonsense".utf8))
    }
}
