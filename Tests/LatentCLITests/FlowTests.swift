import Foundation
import TestSupport
import Testing

/// `latent augment --method flow` and `vamp`, and what `train` keeps for them.
@Suite("Flow")
struct Flow {
    private static let flags =
        TrainedModels.tiny + ["--deform-steps", "0", "--flow-steps", "40"]

    private func augment(
        _ model: String, to output: String, _ arguments: [String]
    ) throws -> ToolRun {
        try Tool.run(
            ["augment", "-m", model, "-o", output, "-n", "9", "--reject", "none"] + arguments)
    }

    @Test(
        "A flow is learned, said to be, and drawn from; the same command writes the same bytes",
        arguments: [[], ["--condition", "class"], ["--layers", "2", "--architecture", "resnet"]])
    func draws(further: [String]) throws {
        let folder = try TemporaryFolder()
        for name in ["m", "again"] {
            let trained = try Tool.run(
                ["train", TrainedModels.shapes, "-o", folder / name] + Self.flags + further)
            #expect(trained.status == 0, "\(trained.errors)")
            #expect(trained.errors.contains("learning a flow of the latents"))
            #expect(trained.errors.contains("of 40 steps; held out "))
        }
        let inspected = try Tool.run("inspect", folder / "m").output
        #expect(inspected.contains("latent flow         5 layers of 128 units"))
        for (model, name) in [("m", "one"), ("again", "two")] {
            let run = try augment(
                folder / model, to: folder / name, ["--method", "flow", "--quiet"])
            #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
        }
        let written = try contents(below: folder / "one")
        #expect(try written == contents(below: folder / "two"))
        #expect(
            Set(written.keys.map { $0.split(separator: "/")[0] }.filter { !$0.contains(".") })
                == ["disc", "square", "triangle"])
        let asked = try augment(
            folder / "m", to: folder / "squares",
            ["--method", "flow", "--condition", "class=square", "--quiet"])
        #expect(asked.status == 0)
        let lines = try String(contentsOfFile: folder / "squares/manifest.ndjson", encoding: .utf8)
            .split(separator: "\n").map { try object(String($0)) }
        #expect(lines.count == 9)
        for line in lines {
            #expect(line["label"] as? String == "square" && line["method"] as? String == "flow")
        }
        let scored = try Tool.run("score", "-m", folder / "m", folder / "one")
        #expect(scored.status == 0 && scored.lines.count == 9)
    }

    @Test("A flow that is worse than the mixtures is warned of, with the figures")
    func warning() throws {
        let folder = try TemporaryFolder()
        let trained = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "m"] + Self.flags
                + ["--flow-steps", "1", "--epochs", "40"])
        #expect(trained.status == 0)
        let record = try object(try Tool.run("inspect", folder / "m", "--format", "json").output)
        let flow = try #require(record["flow"] as? [String: Any])
        let own = try #require(flow["heldOutNats"] as? Double)
        let other = try #require(flow["mixtureHeldOutNats"] as? Double)
        #expect(own < other)
        let warning = "held-out files are less likely under the flow than under the mixtures"
        #expect(trained.errors.contains("latent: warning: \(warning); use --method density"))
    }

    @Test("Posteriors of pseudo-inputs are what such a model's prior is made of")
    func vamp() throws {
        let folder = try TemporaryFolder()
        let trained = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "m", "--objective", "vamp"]
                + TrainedModels.tiny + ["--deform-steps", "0"])
        #expect(trained.status == 0, "\(trained.errors)")
        for method in ["vamp", "prior"] {
            let run = try augment(folder / "m", to: folder / method, ["--method", method])
            #expect(run.status == 0, "\(run.errors)")
        }
        func pictures(_ name: String) throws -> [Data] {
            try contents(below: folder / name).filter { $0.key.hasSuffix(".png") }
                .sorted { $0.key < $1.key }.map(\.value)
        }
        #expect(try pictures("vamp").count == 9 && pictures("vamp") == pictures("prior"))
    }

    @Test("What cannot be is one clear line, and nothing is written")
    func errors() throws {
        let folder = try TemporaryFolder()
        for (method, texts) in [
            ("flow", ["no flow", "--flow-steps 2000", "--method density"]),
            ("vamp", ["no pseudo-inputs", "--objective vae;", "--objective vamp"]),
        ] {
            let run = try augment(
                TrainedModels.images().path, to: folder / "more", ["--method", method])
            #expect(run.status == 64 && run.errorLines.count == 1)
            for text in texts { #expect(run.errors.contains(text), "\(run.errors)") }
            #expect(!FileManager.default.fileExists(atPath: folder / "more"))
        }
        for (flags, text) in [
            (["--for", "detection", "--flow-steps", "5"], "leave --flow-steps out"),
            (["--flow-steps=-1"], "--flow-steps is -1"),
            (
                ["--for", "augmentation", "--flow-steps", "5", "--latent", "300"],
                "use a smaller --latent"
            ),
        ] {
            let run = try Tool.run(["train", TrainedModels.shapes, "-o", folder / "m"] + flags)
            #expect(run.status == 64, "\(run.errors)")
            #expect(run.errors.contains(text), "\(run.errors)")
        }
    }

    @Test("It can be interrupted, and a run that goes on gives the same bytes")
    func interrupted() throws {
        try TrainedModels.expectResumable(
            Self.flags + ["--flow-steps", "200"], after: "learning a flow",
            saying: "interrupted while a flow was learned")
    }
}
