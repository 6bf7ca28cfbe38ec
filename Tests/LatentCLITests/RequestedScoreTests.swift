import Foundation
import TestSupport
import Testing

/// Scores that are computed, and calibrated, only when they are asked for.
@Suite("Requested scores")
struct RequestedScoreTests {
    private static let hierarchical = Result {
        try TrainedModels.Trained(
            on: TrainedModels.shapes,
            [
                "--layers", "2", "--channels", "4,4", "--latent", "3", "--epochs", "2",
                "--threads", "1", "--calibration", "0.2", "--size", "16", "--draws", "2",
                "--score", "likelihood-ratio",
            ])
    }

    private func lines(_ run: ToolRun) throws -> [[String: Any]] {
        try run.lines.map { try object($0) }
    }

    @Test("without calibration there is a score but no verdict, and a word on what to do")
    func uncalibrated() throws {
        let model = try TrainedModels.images().path
        let kind = "elbo+complexity"
        let run = try Tool.run("score", "-m", model, Scoring.imageInbox, "--score", kind)
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.contains("latent calibrate --score elbo+complexity"))
        for line in try lines(run) {
            #expect(line["kind"] as? String == kind)
            #expect(line["anomaly"] is NSNull && line["threshold"] is NSNull)
            let parts = try #require(line["components"] as? [String: Double])
            let score = try #require(line["score"] as? Double)
            #expect(abs((parts["elbo_complexity_nats"] ?? .nan) - score) <= 1e-9 * abs(score))
            // A PNG file of 32×32 values: more than its frame, less than its bytes.
            let cost = (parts["negative_elbo_nats"] ?? .nan) - score
            #expect(cost > 60 * 8 * 0.693 && cost < 1150 * 8 * 0.694)
        }
        for flags in [
            ["--false-alarms", "0.1"], ["--fdr", "0.1"], ["--quantile", "0.9"], ["--tail"],
            ["--exit-code"],
        ] {
            let refused = try Tool.run(
                ["score", "-m", model, Scoring.imageInbox, "--score", kind] + flags)
            #expect(refused.status == 64, "\(flags)")
            #expect(refused.output.isEmpty && refused.errorLines.count == 1)
            #expect(refused.errors.contains("latent calibrate --score elbo+complexity"))
        }
        let plain = try Tool.run("score", "-m", model, Scoring.imageInbox, "--format", "csv")
        #expect(!plain.lines[0].contains("complexity"))
        let csv = try Tool.run(
            "score", "-m", model, Scoring.imageInbox, "--format", "csv", "--score", kind)
        #expect(csv.lines[0].contains(",elbo_complexity_nats,error_code"))
        #expect(
            csv.lines.allSatisfy {
                $0.split(separator: ",", omittingEmptySubsequences: false).count
                    == csv.lines[0].split(separator: ",").count
            })
    }

    @Test("calibrate gives them thresholds, which stay with the next calibration")
    func calibrate() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(
            "calibrate", "-m", TrainedModels.images().path, TrainedModels.shapes, "-o",
            folder / "m", "--score", "regret", "--score", "iw-bound+complexity",
            "--regret-steps", "3")
        #expect(run.status == 0, "\(run.errors)")
        #expect(
            try lines(run).map { $0["kind"] as? String }
                == [String](repeating: "regret", count: 3)
                + [String](repeating: "iw-bound+complexity", count: 3))
        func scores(_ path: String) throws -> [String: [Double]] {
            let record = try object(try Tool.run("inspect", path, "--format", "json").output)
            #expect(record["regretStepCount"] as? Int == 3)
            #expect(record["scoreKind"] as? String == "reconstruction-probability")
            let calibration = record["calibration"] as? [String: Any]
            return calibration?["scoresByKind"] as? [String: [Double]] ?? [:]
        }
        let kept = try scores(folder / "m")
        for kind in ["regret", "iw-bound+complexity", "elbo"] { #expect(kept[kind]?.count == 120) }
        #expect(kept["elbo+complexity"] == nil)
        #expect(try Tool.run("inspect", folder / "m").output.contains("regret "))

        // The scores that score gives are those that it was calibrated with.
        let scored = try Tool.run(
            "score", "-m", folder / "m", TrainedModels.shapes, "--score", "regret", "--batch", "50")
        let found = try lines(scored).compactMap { $0["score"] as? Double }.sorted()
        let known = try #require(kept["regret"])
        #expect(found.count == 120)
        #expect(zip(found, known).allSatisfy { abs($0 - $1) < 1e-2 + 1e-3 * abs($1) })
        #expect(try lines(scored).allSatisfy { $0["p_value"] is Double && $0["anomaly"] is Bool })

        let again = try Tool.run(
            "calibrate", "-m", folder / "m", Scoring.imageInbox, "--in-place", "--add")
        #expect(again.status == 0, "\(again.errors)")
        let pooled = try scores(folder / "m")
        #expect(pooled["regret"]?.count == 140 && pooled["elbo"]?.count == 140)
        let mixed = try Tool.run(
            "calibrate", "-m", folder / "m", Scoring.imageInbox, "--add", "--regret-steps", "4")
        #expect(mixed.status == 64)
        #expect(mixed.errors.contains("--regret-steps or --add"))
        let table = try Tool.run(
            "calibrate", "-m", folder / "m", Scoring.imageInbox, "--format", "table", "--score",
            "regret")
        #expect(table.lines.dropFirst().allSatisfy { $0.contains("regret") })
    }

    @Test("a model can be trained to rank by one of them")
    func trained() throws {
        let model = try Self.hierarchical.get()
        #expect(model.run.status == 0, "\(model.run.errors)")
        #expect(model.run.errors.contains("(likelihood-ratio)"))
        let run = try Tool.run("score", "-m", model.path, Scoring.imageInbox)
        #expect(run.status == 0, "\(run.errors)")
        for line in try lines(run) {
            #expect(line["kind"] as? String == "likelihood-ratio")
            #expect(line["threshold"] is Double && line["anomaly"] is Bool)
        }
        let labelled = try Tool.run("score", "-m", model.path, Scoring.imageInbox + "/labels.csv")
        let evaluated = try Tool.run(
            ["evaluate", "detection", "-", "--score", "likelihood_ratio_nats"],
            input: labelled.output)
        #expect(evaluated.status == 0, "\(evaluated.errors)")
    }

    @Test("a score that the model does not have is refused, with what to do")
    func refused() throws {
        let model = try TrainedModels.images().path
        let folder = try TemporaryFolder()
        for (kind, hint) in [
            ("likelihood-ratio", "--layers"), ("elbo+bias", "continuous-bernoulli"),
            ("neighbours", "--for detection"), ("ensemble", "--for detection"),
        ] {
            let runs = [
                try Tool.run("score", "-m", model, Scoring.imageInbox, "--score", kind),
                try Tool.run("calibrate", "-m", model, Scoring.imageInbox, "--score", kind),
                try Tool.run(
                    [
                        "train", TrainedModels.shapes, "-o", folder / "m", "--for",
                        "augmentation", "--score", kind,
                    ] + TrainedModels.tiny),
            ]
            for run in runs {
                #expect(run.status == 64, "\(kind): \(run.errors)")
                #expect(run.output.isEmpty && run.errorLines.count == 1)
                #expect(run.errors.contains(hint), "\(run.errors)")
            }
        }
        for flags in [["--score", "regret+bias"], ["--regret-steps", "0"]] {
            let run = try Tool.run(
                ["train", TrainedModels.shapes, "-o", folder / "m"] + TrainedModels.tiny + flags)
            #expect(run.status == 64, "\(flags)")
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }
}
