import Foundation
import TestSupport
import Testing

/// `latent augment --method deform`, and what `train` keeps for it.
@Suite("Deform")
struct Deform {
    private func augment(
        _ model: String, to output: String, _ arguments: String...
    ) throws -> ToolRun {
        try Tool.run(
            [
                "augment", "-m", model, "-o", output, "-n", "12", "--method", "deform", "--reject",
                "none",
            ]
                + arguments)
    }

    private func manifest(_ folder: String) throws -> [[String: Any]] {
        try String(contentsOfFile: folder + "/manifest.ndjson", encoding: .utf8)
            .split(separator: "\n").map { try object(String($0)) }
    }

    @Test("Files are deformed, and keep their class and kind", arguments: [true, false])
    func files(isImage: Bool) throws {
        let folder = try TemporaryFolder()
        let model = try isImage ? TrainedModels.images() : TrainedModels.sound()
        #expect(model.run.errors.contains("learning how files of a class differ: 2 steps"))
        let data = isImage ? TrainedModels.shapes : TrainedModels.sounds
        for name in ["more", "again"] {
            let run = try augment(model.path, to: folder / name, data, "--quiet")
            #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
        }
        #expect(try contents(below: folder / "more") == contents(below: folder / "again"))
        let lines = try manifest(folder / "more")
        #expect(lines.count == 12)
        for line in lines {
            let parents = try #require(line["parents"] as? [[String: String]])
            let classes = parents.compactMap {
                $0["path"]?.split(separator: "/").dropLast().last.map(String.init)
            }
            #expect(classes.count == 1 && line["label"] as? String == classes.first)
        }
        let scored = try Tool.run("score", "-m", model.path, folder / "more")
        #expect(scored.status == 0 && scored.lines.count == 12)
    }

    @Test("One file alone can be deformed, as files of the model's classes differ")
    func alone() throws {
        let folder = try TemporaryFolder()
        let file = Scoring.imageInbox + "/ok-00-disc.png"
        let run = try augment(TrainedModels.images().path, to: folder / "more", file)
        #expect(run.status == 0, "\(run.errors)")
        let lines = try manifest(folder / "more")
        #expect(lines.count == 12)
        let images = try contents(below: folder / "more").filter { $0.key.hasSuffix(".png") }
        #expect(Set(images.values).count == 12)
    }

    @Test("A model without deformations says how to get one that has them")
    func without() throws {
        let folder = try TemporaryFolder()
        for flags in [["--deform-steps", "0"], ["--windows", "grid", "--size", "16"]] {
            let trained = try Tool.run(
                ["train", TrainedModels.shapes, "-o", folder / "m", "--force"]
                    + TrainedModels.tiny + flags)
            #expect(trained.status == 0, "\(trained.errors)")
            #expect(!trained.errors.contains("learning how files"))
            #expect(
                trained.errors.contains("no deformations are learned") == flags.contains("grid"))
            let run = try augment(folder / "m", to: folder / "more", TrainedModels.shapes)
            #expect(run.status == 64 && run.errorLines.count == 1)
            #expect(run.errors.contains("no deformations"))
            #expect(run.errors.contains("--for augmentation"))
            #expect(!FileManager.default.fileExists(atPath: folder / "more"))
            #expect(!(try Tool.run("inspect", folder / "m").output.contains("deformations")))
        }
        let inspected = try Tool.run("inspect", TrainedModels.images().path)
        #expect(inspected.output.contains("2 steps of pairs of 120 files"))
    }

    @Test("What cannot be is refused before any work")
    func refused() throws {
        let folder = try TemporaryFolder()
        let model = try TrainedModels.images()
        for (arguments, text) in [
            ([], "starts from real items"),
            ([TrainedModels.shapes, "--condition", "class=disc"], "keeps its labels"),
        ] {
            let run = try Tool.run(
                [
                    "augment", "-m", model.path, "-o", folder / "more", "-n", "1", "--method",
                    "deform",
                ] + arguments)
            #expect(run.status == 64 && run.errorLines.count == 1)
            #expect(run.errors.contains(text), "\(run.errors)")
            #expect(!FileManager.default.fileExists(atPath: folder / "more"))
        }
        for (flags, text) in [
            (["--for", "detection", "--deform-steps", "5"], "leave --deform-steps out"),
            (["--deform-steps=-1"], "--deform-steps is -1"),
        ] {
            let run = try Tool.run(
                ["train", TrainedModels.shapes, "-o", folder / "m"] + flags)
            #expect(run.status == 64, "\(run.errors)")
            #expect(run.errors.contains(text), "\(run.errors)")
        }
    }

    @Test("It can be interrupted, and a run that goes on gives the same bytes")
    func interrupted() throws {
        try TrainedModels.expectResumable(
            TrainedModels.tiny + ["--deform-steps", "120"], after: "learning how",
            saying: "interrupted while deformations were learned")
    }
}
