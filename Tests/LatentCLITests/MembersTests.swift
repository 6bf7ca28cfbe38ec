import Foundation
import TestSupport
import Testing

/// Models of several networks of different seeds, from the command line.
@Suite("Members of an ensemble")
struct MembersTests {
    private static let discs = Fixtures.path("images/shapes/disc")
    private static let others = Fixtures.path("images/shapes/triangle")
    private static let quick = [
        "--for", "detection", "--epochs", "20", "--threads", "1", "--calibration", "0.5",
    ]

    private func record(_ path: String) throws -> [String: Any] {
        try object(try Tool.run(["inspect", path, "--format", "json"]).output)
    }

    /// The components of each file's line.
    private func components(_ model: String, _ flags: [String] = []) throws -> [[String: Double]] {
        let run = try Tool.run(["score", "-m", model, Self.others, "--quiet"] + flags)
        #expect(run.status == 0, "\(run.errors)")
        return try run.lines.map {
            try #require(try object($0)["components"] as? [String: Double])
        }
    }

    @Test("two networks are one model: scores, thresholds, maps and inspect are of both")
    func two() throws {
        let folder = try TemporaryFolder()
        let alone = try Tool.run(["train", Self.discs, "-o", folder / "one"] + Self.quick)
        #expect(alone.status == 0, "\(alone.errors)")
        let trained = try Tool.run(
            ["train", Self.discs, "-o", folder / "two", "--members", "2", "--report", folder / "r"]
                + Self.quick)
        #expect(trained.status == 0, "\(trained.errors)")
        #expect(trained.errors.contains("network 2 of 2"))
        #expect(try Tool.run(["inspect", folder / "two"]).output.contains("2 networks"))
        let (one, two) = (try record(folder / "one"), try record(folder / "two"))
        #expect(one["memberCount"] == nil && two["memberCount"] as? Int == 2)
        // The first network is the one that there is without further ones.
        #expect(
            (one["training"] as? NSDictionary) == (two["training"] as? NSDictionary))
        let metrics = try String(contentsOfFile: folder / "r/metrics.ndjson", encoding: .utf8)
        let epochs = (one["training"] as? [String: Any])?["epochs"] as? [Any]
        #expect(metrics.split(separator: "\n").count == epochs?.count)

        let (before, after) = (try components(folder / "one"), try components(folder / "two"))
        for (a, b) in zip(before, after) {
            #expect(a["neighbours"] == b["neighbours"])
            #expect(a["mse"] != b["mse"] && a["residual"] != b["residual"])
            #expect(Set(a.keys) == Set(b.keys))
            #expect(b.values.allSatisfy { $0.isFinite })
        }
        // What was calibrated is what is scored.
        let calibrated = try Tool.run(
            [
                "calibrate", "-m", folder / "two", Self.discs, "-o", folder / "c", "--format",
                "ndjson",
            ]
        )
        #expect(calibrated.status == 0, "\(calibrated.errors)")
        let scores = try #require(
            (try record(folder / "c")["calibration"] as? [String: Any])?["scoresByKind"]
                as? [String: [Double]])
        let found = try Tool.run(["score", "-m", folder / "c", Self.discs, "--quiet"]).lines.map {
            try #require(try object($0)["score"] as? Double)
        }
        for (a, b) in zip(found.sorted(), try #require(scores["ensemble"])) {
            #expect(abs(a - b) < 1e-4 * max(1, abs(b)))
        }
        // Costly scores and maps are of both too.
        let regret = try components(
            folder / "two", ["--score", "elbo+complexity"])
        for (a, b) in zip(regret, after) {
            let bits = try #require(a["elbo_complexity_nats"])
            #expect(bits < (try #require(b["negative_elbo_nats"])))
        }
        for model in ["one", "two"] {
            let run = try Tool.run([
                "score", "-m", folder / model, Self.others, "--maps", folder / "maps-\(model)",
                "--quiet",
            ])
            #expect(run.status == 0, "\(run.errors)")
        }
        let maps = try ["one", "two"].map { try contents(below: folder / "maps-\($0)") }
        #expect(maps[0].count == maps[1].count && maps[0] != maps[1])
    }

    @Test("one member is what there is without the option, to the byte")
    func one() throws {
        let folder = try TemporaryFolder()
        for (name, flags) in [("a", []), ("b", ["--members", "1"])] {
            let run = try Tool.run(["train", Self.discs, "-o", folder / name] + flags + Self.quick)
            #expect(run.status == 0, "\(run.errors)")
        }
        let bytes = try ["a", "b"].map {
            try Data(contentsOf: URL(fileURLWithPath: folder / $0))
        }
        #expect(bytes[0] == bytes[1])
    }

    @Test("killed in the second network of the second view, a run goes on to the same bytes")
    func resumed() throws {
        let folder = try TemporaryFolder()
        let flags =
            ["--views", "gradients,smooth", "--members", "2", "--checkpoint-interval", "0"]
            + Self.quick
        let whole = try Tool.run(["train", Self.discs, "-o", folder / "whole"] + flags)
        #expect(whole.status == 0, "\(whole.errors)")
        #expect(whole.errors.contains("view 2 of 2: smooth"))
        let run = try Tool.shell(
            """
            "$latent" train "$1" -o "$2" \(flags.joined(separator: " ")) 2> /dev/null &
            until [ -e "$2.checkpoint.4" ] || ! kill -0 $! 2> /dev/null; do :; done
            kill -9 $!
            wait $!
            """, Self.discs, folder / "m")
        #expect(run.status == 137)
        #expect(FileManager.default.fileExists(atPath: folder / "m.checkpoint.3"))
        // Not as another run.
        let other = try Tool.run(
            ["train", Self.discs, "-o", folder / "m", "--resume"] + flags + ["--members", "3"])
        #expect(other.status == 64 || other.status == 65, "\(other.errors)")
        #expect(other.errorLines.count == 1 && other.errors.contains("checkpoint"))
        let resumed = try Tool.run(
            ["train", Self.discs, "-o", folder / "m", "--resume"] + flags)
        #expect(resumed.status == 0, "\(resumed.errors)")
        let bytes = try ["whole", "m"].map {
            try Data(contentsOf: URL(fileURLWithPath: folder / $0))
        }
        #expect(bytes[0] == bytes[1])
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(Set(left) == ["whole", "m"])
        let views = try record(folder / "m")["furtherViews"] as? [Any]
        #expect(views?.count == 1)
    }

    @Test(
        "it is refused where it says nothing",
        arguments: [
            (["--members", "3", "--for", "augmentation"], "--for detection"),
            (["--members", "0"], "--members is 0"), (["--members", "101"], "1 to 100"),
        ])
    func refused(flags: [String], text: String) throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(["train", Self.discs, "-o", folder / "m"] + flags)
        #expect(run.status == 64)
        #expect(run.errors.contains(text), "\(run.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder / "m"))
    }
}
