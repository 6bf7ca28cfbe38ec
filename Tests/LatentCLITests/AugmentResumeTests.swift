import Foundation
import TestSupport
import Testing

/// The same command again finishes a set: byte for byte what one run would have written.
@Suite("Augmentation: resuming")
struct AugmentResumeTests {
    private static let record = ".latent-augment.json"

    private func arguments(_ flags: [String] = []) throws -> [String] {
        [
            "augment", "--threads", "1", "-m", try TrainedModels.images().path,
            TrainedModels.shapes, "--multiply", "1", "--include-originals", "--reject", "none",
        ] + flags
    }

    private func whole(in folder: TemporaryFolder) throws -> [String: Data] {
        let run = try Tool.run(arguments() + ["-o", folder / "whole"])
        #expect(run.status == 0, "\(run.errors)")
        let found = try contents(below: folder / "whole")
        #expect(found.count == 242)
        return found
    }

    @Test(
        "a manifest that ends anywhere is continued, and torn lines, lost and half files are mended"
    )
    func cuts() throws {
        let folder = try TemporaryFolder()
        let expected = try whole(in: folder)
        let manifest = folder / "whole/manifest.ndjson"
        let bytes = try #require(expected["manifest.ndjson"])
        // In the originals, in the first and second group of new ones, in a line, and at its end.
        for length in [
            0, 1, bytes.count / 3, bytes.count * 3 / 5, bytes.count * 5 / 6, bytes.count - 1,
        ] {
            try bytes.prefix(length).write(to: URL(fileURLWithPath: manifest))
            let run = try Tool.run(arguments() + ["-o", folder / "whole"])
            #expect(run.status == 0, "\(run.errors)")
            #expect(try contents(below: folder / "whole") == expected)
        }
        // A file that is gone, and one of no bytes as a machine that lost power leaves it.
        let name = try #require(expected.keys.first { $0.contains("posterior-000070") })
        try FileManager.default.removeItem(atPath: folder / "whole/\(name)")
        #expect(try Tool.run(arguments() + ["-o", folder / "whole"]).status == 0)
        #expect(try contents(below: folder / "whole") == expected)
        try Data().write(to: URL(fileURLWithPath: folder / "whole/\(name)"))
        #expect(try Tool.run(arguments() + ["-o", folder / "whole"]).status == 0)
        #expect(try contents(below: folder / "whole") == expected)
    }

    @Test("a finished set says so and is left alone")
    func finished() throws {
        let folder = try TemporaryFolder()
        let expected = try whole(in: folder)
        let date = try FileManager.default.attributesOfItem(
            atPath: folder / "whole/manifest.ndjson")
        let run = try Tool.run(arguments() + ["-o", folder / "whole"])
        #expect(run.status == 0 && run.errors.contains("is finished: it holds all 240 files"))
        let after = try FileManager.default.attributesOfItem(
            atPath: folder / "whole/manifest.ndjson")
        #expect(date[.modificationDate] as? Date == after[.modificationDate] as? Date)
        #expect(try contents(below: folder / "whole") == expected)
        let dry = try Tool.run(arguments() + ["-o", folder / "whole", "--dry-run"])
        #expect(try object(try #require(dry.lines.last))["done"] as? Int == 240)
    }

    @Test("a run of other settings is refused with what differs, unless it is to begin again")
    func otherSettings() throws {
        let folder = try TemporaryFolder()
        let expected = try whole(in: folder)
        for (flags, text) in [
            (["--seed", "1"], "seed was 0, is 1"), (["--spread", "0.5"], "spread was 1.0, is 0.5"),
            (["--link"], "originals was copied, is linked"),
            (["--method", "interpolate"], "method was posterior"),
        ] {
            let run = try Tool.run(arguments(flags) + ["-o", folder / "whole"])
            #expect(run.status == 74 && run.errors.contains(text), "\(run.errors)")
            #expect(run.errorLines.count == 1)
        }
        #expect(try contents(below: folder / "whole") == expected)
        let forced = try Tool.run(
            arguments(["--seed", "1", "--force"]) + ["-o", folder / "whole"])
        #expect(forced.status == 0)
        let other = try contents(below: folder / "whole")
        #expect(other.count == expected.count && other != expected)
    }

    @Test("a run that is killed is finished by the same command", arguments: ["KILL", "INT"])
    func killed(signal: String) throws {
        let folder = try TemporaryFolder()
        let flags = [
            "augment", "--threads", "1", "-m", try TrainedModels.images().path,
            TrainedModels.shapes, "-n", "2000", "--reject", "none",
        ]
        let whole = try Tool.run(flags + ["-o", folder / "whole"])
        #expect(whole.status == 0)
        let expected = try contents(below: folder / "whole")
        // Killed as soon as there are some lines, again and again.
        let run = try Tool.shell(
            """
            for i in 1 2 3; do
              had=$(cat "$3"/manifest.ndjson 2> /dev/null | wc -l)
              $latent augment --threads 1 -m "$1" "$2" -n 2000 --reject none -o "$3" 2>> "$3.log" &
              pid=$!
              while kill -0 $pid 2> /dev/null &&
                [ "$(cat "$3"/manifest.ndjson 2> /dev/null | wc -l)" -lt $((had + 100)) ]; do
                sleep 0.02
              done
              kill -$4 $pid; wait $pid; echo $?
            done
            """, TrainedModels.images().path, TrainedModels.shapes, folder / "part", signal)
        #expect(run.lines == [String](repeating: signal == "KILL" ? "137" : "130", count: 3))
        let log = try String(contentsOfFile: folder / "part.log", encoding: .utf8)
        #expect(log.contains("the same command goes on") == (signal == "INT"))
        #expect(try contents(below: folder / "part").count < 2000)
        let last = try Tool.run(flags + ["-o", folder / "part"])
        #expect(last.status == 0 && last.errors.contains("going on"))
        #expect(try contents(below: folder / "part") == expected)
    }

    @Test("parts are finished one by one, and parts of other runs do not mix")
    func parts() throws {
        let folder = try TemporaryFolder()
        let base = [
            "augment", "-q", "--threads", "1", "-m", try TrainedModels.images().path,
            TrainedModels.shapes, "-o", folder / "parts", "--reject", "none",
        ]
        for number in 1...2 {
            #expect(try Tool.run(base + ["-n", "150", "--shard", "\(number)/2"]).status == 0)
        }
        let expected = try contents(below: folder / "parts")
        #expect(expected.count == 154)
        let manifest = folder / "parts/manifest-1-of-2.ndjson"
        let bytes = try #require(expected["manifest-1-of-2.ndjson"])
        try bytes.prefix(bytes.count * 7 / 8).write(to: URL(fileURLWithPath: manifest))
        #expect(try Tool.run(base + ["-n", "150", "--shard", "1/2"]).status == 0)
        #expect(try contents(below: folder / "parts") == expected)
        for (flags, text) in [
            (["-n", "70", "--shard", "1/2"], "number was 150 in all, is 70 in all"),
            (["-n", "150", "--shard", "1/3"], "not in 3 parts"),
            (["-n", "150", "--shard", "1/3", "--force"], "not in 3 parts"),
            (["-n", "150"], "part of a run"),
        ] {
            let run = try Tool.run(base + flags)
            #expect(run.status == 74 && run.errors.contains(text), "\(run.errors)")
        }
        // Begun again with another number, no file is left without a line.
        for number in 1...2 {
            let run = try Tool.run(base + ["-n", "70", "--force", "--shard", "\(number)/2"])
            #expect(run.status == 0, "\(run.errors)")
        }
        let fewer = try contents(below: folder / "parts")
        let named = fewer.filter { $0.key.hasPrefix("manifest") }.values.flatMap {
            String(decoding: $0, as: UTF8.self).split(separator: "\n")
        }
        #expect(named.count == 70 && fewer.count == 74)
    }
}
