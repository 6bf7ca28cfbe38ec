import Foundation
import TestSupport
import Testing

/// What is let through, and what is drawn again.
@Suite("Augmentation: what is let through")
struct AugmentRejectTests {
    private func base(_ flags: String...) throws -> [String] {
        [
            "augment", "--threads", "1", "-m", try TrainedModels.images().path,
            TrainedModels.shapes, "-n", "150", "--reject", "broken,off-manifold,mislabelled,copies",
        ] + flags
    }

    private func lines(_ text: Data?) throws -> [[String: Any]] {
        try String(decoding: try #require(text), as: UTF8.self).split(separator: "\n")
            .map { try object(String($0)) }
    }

    @Test("refused draws are replaced, counted, and the same whether in parts, resumed or at once")
    func replaced() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(base("-o", folder / "whole"))
        #expect(run.status == 0, "\(run.errors)")
        let whole = try contents(below: folder / "whole")
        let lines = try lines(whole["manifest.ndjson"])
        #expect(lines.count == 150)
        var rejected = 0
        for line in lines {
            let judgement = try #require(line["judgement"] as? [String: Any])
            #expect(try #require(judgement["label_p_value"] as? Double) > 0.02)
            #expect(try #require(judgement["nearest_p_value"] as? Double) > 0.01)
            #expect(judgement["score"] is Double && judgement["p_value"] is Double)
            let counts = line["rejected"] as? [String: Int] ?? [:]
            rejected += counts.values.reduce(0, +)
            #expect(counts.isEmpty == (line["draw"] as? Int ?? 0 < 150))
        }
        // A model of three epochs does not tell its classes well.
        #expect(rejected > 0 && run.errors.contains("refused and drawn again: "))

        let bytes = try #require(whole["manifest.ndjson"])
        for share in [1, 2] {
            try bytes.prefix(bytes.count * share / 3).write(
                to: URL(fileURLWithPath: folder / "whole/manifest.ndjson"))
            let again = try Tool.run(base("-o", folder / "whole"))
            #expect(again.status == 0)
            #expect(try contents(below: folder / "whole") == whole)
            #expect(
                again.errors.split(separator: "\n").last == run.errors.split(separator: "\n").last)
        }
        for number in 1...2 {
            let part = try Tool.run(base("-o", folder / "parts", "--shard", "\(number)/2"))
            #expect(part.status == 0)
        }
        let parts = try contents(below: folder / "parts")
        for (name, bytes) in whole where name.hasSuffix(".png") { #expect(parts[name] == bytes) }
        #expect(parts.count == 154)

        // Judged again as files, all pass but for what the groups of judge hold otherwise.
        let judged = try Tool.run(
            "judge", "-m", TrainedModels.images().path, "--real", TrainedModels.shapes,
            folder / "whole", "--reject", "off-manifold,mislabelled,copies,broken", "--exit-code")
        #expect(judged.status == 0, "\(judged.errors)")
        #expect(judged.lines.count == 150)
    }

    @Test("judge names real files that cannot be read, and goes on without them if some can")
    func brokenReal() throws {
        let folder = try TemporaryFolder()
        try folder.copy(TrainedModels.shapes, as: "real")
        let text = folder / "real/disc/broken.png"
        try Data("text".utf8).write(to: URL(fileURLWithPath: text))
        func judge(_ real: String) throws -> ToolRun {
            try Tool.run(
                "judge", "-m", TrainedModels.images().path, "--real", real,
                TrainedModels.shapes + "/disc/000.png", "--reject", "copies")
        }
        let some = try judge(folder / "real")
        #expect(some.status == 65 && some.lines.count == 1)
        #expect(some.errors.contains("warning: \(text): "), "\(some.errors)")
        #expect(some.errors.contains("1 of ") && some.errors.contains("not compared with"))
        let none = try judge(text)
        #expect(none.status == 65 && none.errorLines.count == 1)
        #expect(none.errors.contains("the real file cannot be read"), "\(none.errors)")
    }

    @Test("without filters nothing is judged, and other filters are other settings")
    func none() throws {
        let folder = try TemporaryFolder()
        #expect(try Tool.run(base("-o", folder / "new", "--reject", "none")).status == 0)
        let lines = try lines(contents(below: folder / "new")["manifest.ndjson"])
        #expect(lines.allSatisfy { $0["judgement"] == nil && $0["rejected"] == nil })
        let other = try Tool.run(base("-o", folder / "new", "--reject", "copies"))
        #expect(other.status == 74 && other.errors.contains("reject was none, is copies=0.01"))
        let wrong = try Tool.run(base("-o", folder / "other", "--reject", "copy"))
        #expect(wrong.status == 64 && wrong.errors.contains("--reject"))
    }

    @Test("a method that cannot reach the number says so")
    func exhausted() throws {
        let folder = try TemporaryFolder()
        // One parent without spread gives one image.
        let run = try Tool.run(
            "augment", "-m", TrainedModels.images().path,
            TrainedModels.shapes + "/disc/" + "000.png",
            "-o", folder / "new", "-n", "3", "--spread", "0", "--reject", "duplicates")
        #expect(run.status == 65, "\(run.errors)")
        #expect(run.errorLines.count == 1)
        #expect(
            run.errors.contains("none of 100 draws") && run.errors.contains("100 for duplicates"))
    }

    @Test("a path on standard input is judged before the next one comes")
    func atOnce() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.shell(
            """
            mkfifo "$2"
            "$latent" judge -m "$1" - --reject broken --quiet < "$2" > "$2.out" &
            exec 3> "$2"
            echo "$3" >&3
            until [ -s "$2.out" ] || ! kill -0 $! 2> /dev/null; do sleep 0.05; done
            cat "$2.out"
            kill -TERM $!
            wait $!
            echo "status $?"
            exec 3>&-
            """, TrainedModels.images().path, folder / "pipe",
            TrainedModels.shapes + "/disc/000.png")
        #expect(run.lines.count == 2 && run.output.contains("/disc/000.png"), "\(run.output)")
        // A signal ends it at once, though nothing comes.
        #expect(run.lines.last == "status 130", "\(run.output)\(run.errors)")
    }

    @Test("judge needs real files for what is compared with them, and names what cannot be read")
    func judge() throws {
        let model = try TrainedModels.images().path
        let without = try Tool.run("judge", "-m", model, Scoring.imageInbox)
        #expect(without.status == 64 && without.errors.contains("--real"))
        let alone = try Tool.run(
            "judge", "-m", model, Scoring.imageInbox, "--reject", "broken,off-manifold")
        #expect(alone.status == 0 && alone.lines.count == 20)
        let broken = try Tool.run(
            "judge", "-m", model, "--real", TrainedModels.shapes,
            Fixtures.path("broken/truncated.png"),
            TrainedModels.shapes + "/square", "--format", "csv")
        #expect(broken.status == 65)
        #expect(broken.lines.count == 42 && broken.lines[1].contains("truncated"))
        // Each is a copy of itself.
        #expect(
            broken.lines.dropFirst(2).allSatisfy {
                $0.contains(",copies,") || $0.contains("copies")
            })
        // Of six real files nobody knows how near two of a kind lie.
        let few = try Tool.run(
            ["judge", "-m", model, Scoring.imageInbox, "--reject", "copies"]
                + files(in: TrainedModels.shapes + "/disc").prefix(6).flatMap { ["--real", $0] })
        #expect(few.status == 0 && few.errors.contains("6 different real files"), "\(few.errors)")
        let detection = try Tool.run(
            "judge", "-m", model, "--real", Scoring.imageInbox, Scoring.imageInbox, "--reject",
            "none")
        #expect(detection.status == 64)
    }
}
