import Foundation
import Latent
import TestSupport
import Testing

/// Every member of the family of models, from the command line.
@Suite("Family")
struct Family {
    private static let quick = [
        "--epochs", "2", "--deform-steps", "1", "--threads", "1", "--quiet",
    ]
    private static let tiny =
        ["--architecture", "mlp", "--channels", "32", "--latent", "4"] + quick

    private static let objectives = ObjectiveKind.allCases.map { kind in
        let numbers: [(ObjectiveConfiguration.Number, [String])] = [
            (.weight, ["--beta", "2"]), (.capacity, ["--capacity", "5"]),
            (.drawCount, ["--importance-draws", "3"]), (.componentCount, ["--components", "7"]),
        ]
        let flags = numbers.filter { kind.numbers.contains($0.0) }.flatMap(\.1)
        return (["--objective", kind.rawValue] + flags, "objective", kind.rawValue)
    }

    private static let likelihoods = LikelihoodKind.allCases.map { kind in
        (["--likelihood", kind.rawValue], "likelihood", kind.rawValue)
    }

    private static let networks = VAEConfiguration.Architecture.allCases.map { network in
        (
            ["--architecture", network.rawValue, "--channels", "4,8", "--latent", "4"],
            "architecture", network.rawValue
        )
    }

    /// The record of a model.
    private func record(_ path: String) throws -> [String: Any] {
        try object(try Tool.run(["inspect", path, "--format", "json"]).output)
    }

    private func lines(_ run: ToolRun) throws -> [[String: Any]] {
        try run.output.split(separator: "\n").map { try object(String($0)) }
    }

    @Test(
        "each objective, likelihood and network is trained, recorded, scored and drawn from",
        arguments: objectives + likelihoods + networks + [
            (["--layers", "3", "--channels", "4,8", "--latent", "4"], "layers", "3"),
            (["--precision", "bfloat16"], "precision", "bfloat16"),
            (["--precision", "float32"], "precision", "float32"),
            (["--balance", "resample"], "balance", "resample"),
            (["--balance", "weight"], "balance", "weight"),
        ])
    func member(flags: [String], key: String, value: String) throws {
        let folder = try TemporaryFolder()
        let base = flags.contains("--channels") ? Self.quick : Self.tiny
        let trained = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "m"] + base + flags)
        #expect(trained.status == 0, "\(trained.errors)")
        let record = try record(folder / "m")
        let model = record["configuration"] as? [String: Any] ?? [:]
        let training = record["training"] as? [String: Any] ?? [:]
        let settings = training["configuration"] as? [String: Any] ?? [:]
        let found: Any? =
            switch key {
            case "objective": (model["objective"] as? [String: Any])?["kind"]
            case "layers": (model["layerCount"] as? Int).map(String.init)
            case "precision", "balance": settings[key]
            default: model[key]
            }
        #expect(found as? String == value)
        let scored = try Tool.run(
            ["score", "-m", folder / "m", Fixtures.path("images/inbox"), "--quiet"])
        #expect(scored.status == 0)
        #expect(try lines(scored).allSatisfy { ($0["score"] as? Double)?.isFinite == true })
        let drawn = try Tool.run(
            [
                "augment", "-m", folder / "m", "-o", folder / "new", "-n", "3", "--reject", "none",
                "--quiet",
            ])
        #expect(drawn.status == 0, "\(drawn.errors)")
        #expect(try contents(below: folder / "new").keys.filter { $0.hasSuffix(".png") }.count == 3)
    }

    @Test("a conditional model takes labels from folders, manifests and the command line")
    func conditional() throws {
        let folder = try TemporaryFolder()
        let trained = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "m", "--condition", "class"] + Self.tiny)
        #expect(trained.status == 0, "\(trained.errors)")
        let model = folder / "m"

        let byFolder = try Tool.run(["score", "-m", model, TrainedModels.shapes, "--quiet"])
        #expect(byFolder.status == 0)
        let disc = try #require(
            try lines(byFolder).first { ($0["path"] as? String)?.hasSuffix("disc/000.png") == true }
        )

        // The same file without its folder has no label of its own.
        let file = "\(TrainedModels.shapes)/disc/000.png"
        let alone = try Tool.run(["score", "-m", model, file, "--quiet"])
        #expect(alone.status == 65)
        let error = try #require(try lines(alone)[0]["error"] as? [String: Any])
        #expect((error["message"] as? String)?.contains("disc, square, triangle") == true)
        let told = try Tool.run(
            ["score", "-m", model, file, "--condition", "class=disc", "--quiet"])
        // Alone in its batch or among others: equal but for rounding.
        let expected = try #require(disc["score"] as? Double)
        let found = try #require(try lines(told)[0]["score"] as? Double)
        #expect(abs(found - expected) < 1e-4 * abs(expected))
        let otherwise = try Tool.run(
            ["score", "-m", model, file, "--condition", "class=square", "--quiet"])
        let other = try #require(try lines(otherwise)[0]["score"] as? Double)
        #expect(abs(other - expected) > 1e-3 * abs(expected))

        for (verb, flags) in [
            ("score", ["--condition", "class=star"]), ("score", ["--condition", "colour=red"]),
            ("score", ["--condition", "disc"]),
        ] {
            let refused = try Tool.run([verb, "-m", model, file] + flags)
            #expect(refused.status == 64, "\(flags): \(refused.errors)")
            #expect(refused.errors.contains("latent: error:") || refused.errors.contains("Error:"))
        }

        let drawn = try Tool.run(
            [
                "augment", "-m", model, "-o", folder / "new", "-n", "6", "--condition",
                "class=square", "--quiet",
            ])
        #expect(drawn.status == 0, "\(drawn.errors)")
        #expect(try files(in: folder / "new/square").count == 6)
        let turns = try Tool.run(
            ["augment", "-m", model, "-o", folder / "all", "-n", "6", "--quiet"])
        #expect(turns.status == 0)
        for name in ["disc", "square", "triangle"] {
            #expect(try files(in: folder / "all/\(name)").count == 2)
        }
    }

    @Test("several attributes come from the columns of a manifest; a file without one is refused")
    func attributes() throws {
        let folder = try TemporaryFolder()
        var rows = ["path,label,digit,speaker"]
        for index in 0..<30 {
            let name = String(format: "%03d", index)
            rows.append("\(TrainedModels.shapes)/disc/\(name).png,disc,\(index % 3),s\(index % 2)")
        }
        let text = rows.joined(separator: "\n") + "\n"
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder / "a.csv"))
        let flags = ["--condition", "digit,speaker"] + Self.tiny
        let trained = try Tool.run(["train", folder / "a.csv", "-o", folder / "m"] + flags)
        #expect(trained.status == 0, "\(trained.errors)")
        let drawn = try Tool.run(
            [
                "augment", "-m", folder / "m", "-o", folder / "new", "-n", "4", "--condition",
                "digit=2,speaker=s1", "--quiet",
            ])
        #expect(drawn.status == 0, "\(drawn.errors)")
        let manifest = try contents(below: folder / "new")["manifest.ndjson"] ?? Data()
        let line = try object(
            String(decoding: manifest, as: UTF8.self).split(separator: "\n").map(String.init)[0])
        #expect(line["attributes"] as? [String: String] == ["digit": "2", "speaker": "s1"])

        let spoilt = text.replacingOccurrences(of: "004.png,disc,1,s0", with: "004.png,disc,1,")
        try Data(spoilt.utf8).write(to: URL(fileURLWithPath: folder / "b.csv"))
        let refused = try Tool.run(["train", folder / "b.csv", "-o", folder / "n"] + flags)
        #expect(refused.status == 65)
        #expect(refused.errorLines.count == 1)
        #expect(refused.errors.contains("004.png") && refused.errors.contains("speaker"))
    }

    @Test("evaluate likelihood gives a line for each file and their mean; an autoencoder has none")
    func likelihood() throws {
        let folder = try TemporaryFolder()
        let trained = try Tool.run(
            [
                "train", TrainedModels.shapes, "-o", folder / "m", "--likelihood", "bernoulli",
            ] + Self.tiny)
        #expect(trained.status == 0, "\(trained.errors)")
        let arguments = [
            "evaluate", "likelihood", "-m", folder / "m", Fixtures.path("images/inbox"), "--draws",
            "20",
        ]
        let run = try Tool.run(arguments)
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.contains("black and white"))
        let rows = try lines(run)
        #expect(rows.count == 21)
        let nats = rows.dropLast().compactMap { $0["log_likelihood_nats"] as? Double }
        #expect(nats.count == 20 && nats.allSatisfy { $0 < 0 })
        let summary = try #require(rows.last)
        let mean = nats.reduce(0, +) / 20
        #expect(summary["items"] as? Int == 20)
        #expect(abs((summary["mean_nats"] as? Double ?? 0) - mean) < 1e-6 * abs(mean))
        let variance = nats.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 19
        let error = (variance / 20).squareRoot()
        #expect(
            abs((summary["standard_error_nats"] as? Double ?? 0) - error) < 1e-6 * error)
        let bits = -mean / 0.693_147_180_559_945 / 1024
        #expect(abs((summary["bits_per_dimension"] as? Double ?? 0) - bits) < 1e-6 * bits)
        #expect(try Tool.run(arguments).output == run.output)

        let plain = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "ae", "--objective", "ae"] + Self.tiny)
        #expect(plain.status == 0)
        let refused = try Tool.run(
            ["evaluate", "likelihood", "-m", folder / "ae", Fixtures.path("images/inbox")])
        #expect(refused.status == 64 && refused.output.isEmpty)
        #expect(refused.errorLines.count == 1)
    }

    @Test("a report holds what one would watch, and goes on with the run that is resumed")
    func report() throws {
        let folder = try TemporaryFolder()
        let flags =
            ["--report", folder / "r", "--epochs", "5", "--deform-steps", "0"]
            + Self.tiny.dropLast(7)
        let run = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "m", "--quiet", "--threads", "1"] + flags
        )
        #expect(run.status == 0, "\(run.errors)")
        let names = try Set(FileManager.default.contentsOfDirectory(atPath: folder / "r"))
        for name in [
            "metrics.ndjson", "reconstructions.png", "samples.png", "latent-map.png",
            "latent-map.csv", "traversals.png", "epoch-0001-reconstructions.png",
            "epoch-0005-samples.png",
        ] { #expect(names.contains(name), "\(name) is missing") }
        #expect(names.contains { $0.hasPrefix("events.out.tfevents.") })
        #expect(!names.contains("epoch-0003-samples.png"))
        let metrics = try contents(below: folder / "r")["metrics.ndjson"] ?? Data()
        let rows = try String(decoding: metrics, as: UTF8.self).split(separator: "\n")
            .map { try object(String($0)) }
        #expect(rows.compactMap { $0["epoch"] as? Int } == [1, 2, 3, 4, 5])
        let again = try Tool.run(
            ["train", TrainedModels.shapes, "-o", folder / "n", "--report", folder / "r"]
                + Self.tiny)
        #expect(again.status == 74)
        #expect(again.errorLines.count == 1)
    }

    @Test(
        "options that do not go together are refused before any work",
        arguments: [
            ["--beta", "2"], ["--capacity", "3"], ["--importance-draws", "4"],
            ["--components", "9"], ["--map-channels", "2"], ["--layers", "6"],
            ["--layers", "3", "--architecture", "mlp"],
            ["--layers", "2", "--objective", "vamp"],
            ["--layers", "2", "--likelihood", "gaussian-per-element"],
            ["--objective", "beta", "--beta", "-1"], ["--condition", "class,class"],
            ["--free-nats", "-1"], ["--average", "1"],
        ])
    func refused(flags: [String]) throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(["train", TrainedModels.shapes, "-o", folder / "m"] + flags)
        #expect(run.status == 64, "\(run.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder / "m"))
    }
}
