import Foundation
import TestSupport
import Testing

/// Models that detect, from the command line.
@Suite("Detection")
struct DetectionTests {
    private static let discs = Fixtures.path("images/shapes/disc")
    private static let others = Fixtures.path("images/shapes/triangle")
    private static let quick = ["--epochs", "150", "--threads", "1", "--calibration", "0.2"]

    private func record(_ path: String) throws -> [String: Any] {
        try object(try Tool.run(["inspect", path, "--format", "json"]).output)
    }

    private func lines(_ run: ToolRun) throws -> [[String: Any]] {
        try run.output.split(separator: "\n").map { try object(String($0)) }
    }

    @Test("one class makes a detector: gradients, an ensemble, and a word on why")
    func oneClass() throws {
        let folder = try TemporaryFolder()
        let trained = try Tool.run(["train", Self.discs, "-o", folder / "m"] + Self.quick)
        #expect(trained.status == 0, "\(trained.errors)")
        #expect(trained.errors.contains("for detection: gradients"))
        let record = try record(folder / "m")
        #expect(record["purpose"] as? String == "detection")
        let inspected = try Tool.run(["inspect", folder / "m"])
        #expect(inspected.output.contains("gradients"))

        let scored = try Tool.run(
            ["score", "-m", folder / "m", Self.discs, Self.others, "--quiet"])
        #expect(scored.status == 0, "\(scored.errors)")
        let lines = try lines(scored)
        func scores(_ kind: String) -> [Double] {
            lines.filter { ($0["path"] as? String)?.contains(kind) == true }
                .compactMap { $0["score"] as? Double }
        }
        let (normal, odd) = (scores("/disc/"), scores("/triangle/"))
        #expect(normal.count == 40 && odd.count == 40)
        let pairs = normal.flatMap { a in odd.map { b in a < b ? 1.0 : 0 } }
        #expect(pairs.reduce(0, +) / Double(pairs.count) > 0.95)

        for kind in ["reconstruction-probability", "residual", "latent", "neighbours"] {
            let run = try Tool.run(
                ["score", "-m", folder / "m", Self.discs, "--score", kind, "--quiet"])
            let line = try #require(try self.lines(run).first)
            #expect(line["kind"] as? String == kind)
            let parts = try #require(line["components"] as? [String: Double])
            let expected =
                kind == "reconstruction-probability"
                ? -(parts["reconstruction_nats"] ?? .nan) : parts[kind]
            // Foundation reads the last digit of some negative numbers wrong.
            let score = try #require(line["score"] as? Double)
            #expect(abs(score - (try #require(expected))) <= 1e-12 * abs(score))
        }

        // What it reads cannot be turned back into images.
        let refused = try Tool.run(
            ["augment", "-m", folder / "m", "-o", folder / "new", "-n", "2"])
        #expect(refused.status == 64)
        #expect(refused.errors.contains("--for augmentation"))
        #expect(!FileManager.default.fileExists(atPath: folder / "new"))
    }

    @Test(
        "each view is trained and scores",
        arguments: [
            ["--view", "smooth"], ["--view", "gradients"], ["--view", "pixels"],
            ["--view", "contrast", "--windows", "grid", "--size", "8"],
        ])
    func views(flags: [String]) throws {
        let folder = try TemporaryFolder()
        let trained = try Tool.run(["train", Self.discs, "-o", folder / "m"] + Self.quick + flags)
        #expect(trained.status == 0, "\(trained.errors)")
        #expect(trained.errors.contains("\(flags[1]) windows of"))
        let scored = try Tool.run(["score", "-m", folder / "m", Self.others, "--quiet"])
        #expect(try lines(scored).allSatisfy { ($0["score"] as? Double)?.isFinite == true })
    }

    @Test("several views are trained into one model, and an interrupted run goes on to the byte")
    func severalViews() throws {
        let folder = try TemporaryFolder()
        let flags = ["--views", "gradients,smooth"] + Self.quick
        let trained = try Tool.run(["train", Self.discs, "-o", folder / "m"] + flags)
        #expect(trained.status == 0, "\(trained.errors)")
        #expect(trained.errors.contains("view 2 of 2: smooth"))
        let further = try #require(record(folder / "m")["furtherViews"] as? [[String: Any]])
        #expect(further.count == 1)
        #expect(try Tool.run(["inspect", folder / "m"]).output.contains("further view"))
        let scored = try Tool.run(["score", "-m", folder / "m", Self.others, "--quiet"])
        for line in try lines(scored) {
            let views = try #require(line["views"] as? [String: [String: Double]])
            #expect(Set(views.keys) == ["smooth"])
            #expect(views["smooth"]?["mse"]?.isFinite == true)
            #expect((line["score"] as? Double)?.isFinite == true)
        }
        // The first view alone is the same model.
        let alone = try Tool.run(
            ["train", Self.discs, "-o", folder / "a", "--view", "gradients"] + Self.quick)
        #expect(alone.status == 0)
        func residuals(_ model: String) throws -> [Double] {
            try lines(Tool.run(["score", "-m", model, Self.others, "--quiet"])).compactMap {
                ($0["components"] as? [String: Double])?["residual"]
            }
        }
        #expect(try residuals(folder / "a") == residuals(folder / "m"))
        // Resumed where nothing is left to do but to put the file together.
        let again = try Tool.run(
            ["train", Self.discs, "-o", folder / "m", "--resume", "--force"] + flags)
        #expect(again.status == 0)
    }

    @Test("recordings keep their level where they are steady, or where that is asked for")
    func level() throws {
        let folder = try TemporaryFolder()
        let sounds = Fixtures.path("audio/sounds/tone")
        for (level, name) in [("kept", "a"), ("removed", "b")] {
            let trained = try Tool.run(
                ["train", sounds, "-o", folder / name, "--level", level] + Self.quick)
            #expect(trained.status == 0, "\(trained.errors)")
            #expect(trained.errors.contains("level \(level)"))
            #expect(try Tool.run(["inspect", folder / name]).output.contains("level \(level)"))
        }
    }

    @Test("several classes, or labels to be told, make a model that draws")
    func severalClasses() throws {
        let folder = try TemporaryFolder()
        let trained = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "m"] + TrainedModels.tiny)
        #expect(trained.status == 0)
        #expect(try record(folder / "m")["purpose"] as? String == "augmentation")
        let refused = try Tool.run(
            ["score", "-m", folder / "m", Self.discs, "--score", "neighbours"])
        #expect(refused.status == 64)
        #expect(refused.errors.contains("has no score neighbours"))
    }

    @Test(
        "views that do not fit are refused before any work",
        arguments: [
            (["--view", "log-mel"], "not for images"),
            (["--view", "gradients", "--for", "augmentation"], "turned back"),
            (["--view", "gradients", "--binarise", "--for", "detection"], "--binarise"),
            (["--view", "gradients", "--size", "9"], "cells of 2"),
            (["--score", "mixture", "--for", "detection"], "mixture needs 1000 windows"),
        ])
    func refused(flags: [String], text: String) throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(["train", Self.discs, "-o", folder / "m"] + flags)
        #expect(run.status == 64)
        #expect(run.errors.contains(text), "\(run.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder / "m"))
    }
}
