import Foundation
import TestSupport
import Testing

@Suite("Augmentation")
struct Augmentation {
    private func augment(
        _ model: TrainedModels.Trained, to folder: String, _ flags: String...
    ) throws -> ToolRun {
        try augment(model, to: folder, flags)
    }

    private func augment(
        _ model: TrainedModels.Trained, to folder: String, _ flags: [String]
    ) throws -> ToolRun {
        try Tool.run(["augment", "-m", model.path, "-o", folder, "-n", "5"] + flags)
    }

    /// The manifest of an output folder, checked against the files.
    private func manifest(_ folder: String, and more: String...) throws -> [[String: Any]] {
        let written = try contents(below: folder)
        let text = String(decoding: try #require(written["manifest.ndjson"]), as: UTF8.self)
        let lines = try text.split(separator: "\n").map { try object(String($0)) }
        let names = lines.compactMap { $0["file"] as? String }
        #expect(Set(names).count == lines.count)
        let others = ["manifest.ndjson", ".latent-augment.json"] + more
        #expect(Set(names).union(others) == Set(written.keys))
        return lines
    }

    @Test("Real items give as many files and lines, in class folders", arguments: [true, false])
    func posterior(isImage: Bool) throws {
        let folder = try TemporaryFolder()
        let data = isImage ? TrainedModels.shapes : TrainedModels.sounds
        let before = try contents(below: data)
        let model = try isImage ? TrainedModels.images() : TrainedModels.sound()
        let run = try augment(model, to: folder / "more", data)
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output.isEmpty)
        let lines = try manifest(folder / "more")
        #expect(lines.count == 5)
        for line in lines {
            #expect(line["method"] as? String == "posterior")
            let file = try #require(line["file"] as? String)
            #expect(file.hasPrefix(try #require(line["label"] as? String) + "/"))
            #expect(file.hasSuffix(isImage ? ".png" : ".wav"))
            let parents = try #require(line["parents"] as? [[String: String]])
            #expect(parents.count == 1)
            #expect(parents.first?["sha256"]?.count == 64)
            #expect((line["model_sha256"] as? String)?.count == 64)
            #expect(line["seed"] as? Int == 0)
        }
        #expect(try contents(below: data) == before)
        let scored = try Tool.run("score", "-m", model.path, folder / "more")
        #expect(scored.status == 0)
        #expect(scored.lines.count == 5)
    }

    @Test("Interpolation joins two items of a class")
    func interpolation() throws {
        let folder = try TemporaryFolder()
        let run = try augment(
            TrainedModels.images(), to: folder / "more", TrainedModels.shapes, "--method",
            "interpolate", "--quiet")
        #expect(run.status == 0)
        #expect(run.errors.isEmpty)
        let lines = try manifest(folder / "more")
        #expect(lines.count == 5)
        for line in lines {
            let parents = try #require(line["parents"] as? [[String: String]])
            let classes = Set(
                parents.compactMap { $0["path"]?.split(separator: "/").dropLast().last })
            #expect(parents.count == 2)
            #expect(Set(parents.compactMap { $0["path"] }).count == 2)
            #expect(classes.count == 1)
            let mix = try #require(line["mix"] as? Double)
            #expect(mix > 0 && mix < 1)
        }
    }

    @Test(
        "Neighbours in the latent space, and arcs, are named in the manifest",
        arguments: [
            ["--method", "smote", "--neighbours", "3"],
            ["--method", "extrapolate", "--lambda", "0.25"],
            ["--method", "interpolate", "--curve", "spherical"],
        ], [true, false])
    func pairs(flags: [String], isImage: Bool) throws {
        let folder = try TemporaryFolder()
        let model = try isImage ? TrainedModels.images() : TrainedModels.sound()
        let data = isImage ? TrainedModels.shapes : TrainedModels.sounds
        // So small a model draws what no filter lets through.
        let run = try augment(model, to: folder / "more", [data, "--reject", "none"] + flags)
        #expect(run.status == 0, "\(run.errors)")
        for line in try manifest(folder / "more") {
            #expect(line["method"] as? String == flags[1])
            let parents = try #require(line["parents"] as? [[String: String]])
            #expect(Set(parents.compactMap { $0["path"] }).count == 2)
            let mix = try #require(line["mix"] as? Double)
            #expect(flags[1] == "extrapolate" ? mix == -0.25 : (0...1).contains(mix))
        }
    }

    @Test(
        "Options of other methods are refused",
        arguments: [
            ["--curve", "spherical"], ["--method", "smote", "--lambda", "0.5"],
            ["--method", "interpolate", "--neighbours", "3"],
            ["--method", "smote", "--neighbours", "0"],
            ["--method", "extrapolate", "--lambda", "-1"],
        ])
    func misplaced(flags: [String]) throws {
        let folder = try TemporaryFolder()
        let run = try augment(
            TrainedModels.images(), to: folder / "more", [TrainedModels.shapes] + flags)
        #expect(run.status == 64 && run.errorLines.count == 1)
        #expect(!FileManager.default.fileExists(atPath: folder / "more"))
    }

    @Test("The prior and the density need no real items", arguments: [true, false], [true, false])
    func withoutParents(isImage: Bool, isPrior: Bool) throws {
        let folder = try TemporaryFolder()
        let model = try isImage ? TrainedModels.images() : TrainedModels.sound()
        // Without data and method, files are drawn from the density.
        let run = try augment(
            model, to: folder / "more", isPrior ? ["--method", "prior"] : [])
        #expect(run.status == 0)
        let lines = try manifest(folder / "more")
        #expect(lines.count == 5)
        #expect(lines.allSatisfy { $0["method"] as? String == (isPrior ? "prior" : "density") })
        #expect(lines.allSatisfy { ($0["parents"] as? [Any])?.isEmpty == true })
        // Of the density it is known which class a file is of; the classes come in turn.
        let labels = Set(lines.map { $0["label"] as? String })
        #expect(isPrior ? labels == [nil] : labels.count == 3 && !labels.contains(nil))
    }

    @Test("Messages do not get into files that are written, where standard error is closed")
    func closedStreams() throws {
        let folder = try TemporaryFolder()
        try Data().write(to: URL(fileURLWithPath: folder / "empty.png"))
        let run = try Tool.shell(
            "$latent augment -m \"$1\" \"$2\" \"$3\" -o \"$4\" -n 121 2>&-",
            TrainedModels.images().path, TrainedModels.shapes, folder / "empty.png",
            folder / "more")
        #expect(run.status == 65)
        let kept = ".latent-augment-unreadable.ndjson"
        #expect(try manifest(folder / "more", and: kept).count == 121)
        let unheard = try Tool.shell("$latent check \"$1\" 1>&-", TrainedModels.shapes)
        #expect(unheard.status == 74)
        #expect(unheard.errorLines.count { $0.hasPrefix("latent: error: ") } == 1)
    }

    @Test("A run that cannot begin leaves no folder behind")
    func nothingLeft() throws {
        let folder = try TemporaryFolder()
        let run = try augment(
            TrainedModels.images(), to: folder / "more", ["--method", "interpolate"])
        #expect(run.status == 64)
        #expect(!FileManager.default.fileExists(atPath: folder / "more"))
    }

    @Test("A part of a run is not written among its inputs")
    func partAmongInputs() throws {
        let folder = try TemporaryFolder()
        try folder.copy(Scoring.imageInbox, as: "inbox")
        let before = try contents(below: folder.path)
        let run = try augment(
            TrainedModels.images(), to: folder / "inbox", [folder / "inbox", "--shard", "1/2"])
        #expect(run.status == 74)
        #expect(run.errors.contains("inputs are never written"))
        #expect(try contents(below: folder.path) == before)
    }

    @Test("A class is drawn that is asked for, of a model that was not conditioned on it")
    func densityOfClass() throws {
        let folder = try TemporaryFolder()
        let run = try augment(
            TrainedModels.images(), to: folder / "more", ["--condition", "class=square"])
        #expect(run.status == 0)
        #expect(try manifest(folder / "more").allSatisfy { $0["label"] as? String == "square" })
        let wrong = try augment(
            TrainedModels.images(), to: folder / "none", ["--condition", "class=circle"])
        #expect(wrong.status == 64)
        #expect(wrong.errors.contains("circle is not known"))
    }

    @Test("The same command writes the same bytes, another seed others")
    func repeatable() throws {
        let folder = try TemporaryFolder()
        for (name, seed) in [("a", "0"), ("b", "0"), ("c", "1")] {
            let run = try augment(
                TrainedModels.images(), to: folder / name, TrainedModels.shapes, "--seed", seed)
            #expect(run.status == 0)
        }
        let (a, b, c) = (
            try contents(below: folder / "a"), try contents(below: folder / "b"),
            try contents(below: folder / "c")
        )
        #expect(a == b)
        #expect(a != c)
    }

    @Test("A folder that holds something is left alone until that is asked for")
    func occupied() throws {
        let folder = try TemporaryFolder()
        try folder.copy(Scoring.imageInbox, as: "inbox")
        let before = try contents(below: folder.path)
        let run = try augment(TrainedModels.images(), to: folder / "inbox", folder / "inbox")
        #expect(run.status == 74)
        #expect(run.errorLines.count == 1)
        #expect(try contents(below: folder.path) == before)
        let forced = try augment(
            TrainedModels.images(), to: folder / "inbox", folder / "inbox", "--force")
        #expect(forced.status == 74)
        #expect(forced.errors.contains("inputs are never written"))
        #expect(try contents(below: folder.path) == before)
        _ = try augment(TrainedModels.images(), to: folder / "more")
        #expect(try augment(TrainedModels.images(), to: folder / "more", "--force").status == 0)
    }

    @Test("A parent that cannot be read is named, and the others do its work")
    func badParent() throws {
        let folder = try TemporaryFolder()
        let run = try augment(
            TrainedModels.images(), to: folder / "more", Scoring.imageInbox + "/ok-00-disc.png",
            Fixtures.path("broken/truncated.png"))
        #expect(run.status == 65)
        #expect(run.errors.contains("truncated.png"))
        let kept = ".latent-augment-unreadable.ndjson"
        #expect(try manifest(folder / "more", and: kept).count == 5)
        let none = try augment(
            TrainedModels.images(), to: folder / "none", Fixtures.path("broken/truncated.png"))
        #expect(none.status == 65)
        #expect(none.errorLines.count == 1)
    }

    @Test("An output that cannot be made is 74, missing parents 66")
    func impossible() throws {
        let folder = try TemporaryFolder()
        let model = try TrainedModels.images()
        let run = try augment(model, to: model.path)
        #expect(run.status == 74)
        #expect(run.errorLines.count == 1)
        let missing = try augment(model, to: folder / "more", folder / "none")
        #expect(missing.status == 66)
        #expect(missing.errorLines.count == 1)
        #expect(!FileManager.default.fileExists(atPath: folder / "more"))
    }
}
