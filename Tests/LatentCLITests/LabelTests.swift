import Foundation
import TestSupport
import Testing

@Suite("Labelling")
struct LabelTests {
    private static let classes = ["disc", "square", "triangle"]

    /// Shapes of each class below a folder, or all in one.
    private func shapes(
        _ numbers: Range<Int>, in folder: TemporaryFolder, as name: String, byClass: Bool
    ) throws -> String {
        _ = try folder.makeFolder(name)
        for label in Self.classes {
            if byClass { _ = try folder.makeFolder("\(name)/\(label)") }
            for number in numbers {
                let file = String(format: "%03d.png", number)
                try folder.copy(
                    Fixtures.path("images/shapes/\(label)/\(file)"),
                    as: byClass ? "\(name)/\(label)/\(file)" : "\(name)/\(label)-\(file)")
            }
        }
        return folder / name
    }

    private func write(_ text: String, to path: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }

    @Test("each file has a line with a class and a probability, and the list is DATA")
    func labels() throws {
        let folder = try TemporaryFolder()
        let real = try shapes(0..<8, in: folder, as: "real", byClass: true)
        let others = try shapes(8..<12, in: folder, as: "others", byClass: false)
        let run = try Tool.run(
            "label", "--real", real, "others", "--at-least", "0", "--steps", "4", "--threads", "1",
            in: folder / "")
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.contains("of 24 labelled files, left out in turn, 24 would be labelled"))
        #expect(run.errors.contains("labelled 12 of 12 files: "))
        let rows = try run.lines.map { try object($0) }
        #expect(rows.count == 12)
        for row in rows {
            let path = try #require(row["path"] as? String)
            let label = try #require(row["label"] as? String)
            let probability = try #require(row["probability"] as? Double)
            #expect(row["schema"] as? Int == 1 && path.hasPrefix(others + "/"))
            #expect((0.3...1).contains(probability))
            #expect(Self.classes.contains(label))
        }
        // The same bytes again; as a table of commas too; and it is data for another command.
        let again = try Tool.run(
            "label", "--real", real, others, "--at-least", "0", "--steps", "4", "--threads", "1",
            "--quiet", "--format", "csv")
        #expect(again.errors.isEmpty && again.lines.count == rows.count + 1)
        #expect(again.lines[0] == "path,label,probability")
        #expect(
            again.lines.dropFirst().map { $0.split(separator: ",")[1] }
                == rows.map { ($0["label"] as? String ?? "")[...] })
        try write(run.output, to: folder / "more.ndjson")
        let check = try Tool.run("check", folder / "more.ndjson", "--format", "ndjson", "--quiet")
        #expect(check.status == 0, "\(check.errors)")
        for label in Set(rows.compactMap { $0["label"] as? String }) {
            #expect(check.output.contains("\"\(label)\""))
        }
    }

    @Test(
        "paths on standard input are labelled by what the labelled files teach, however they come")
    func streamed() throws {
        let folder = try TemporaryFolder()
        let real = try shapes(0..<4, in: folder, as: "real", byClass: true)
        let others = try shapes(8..<11, in: folder, as: "others", byClass: false)
        let paths = try FileManager.default.contentsOfDirectory(atPath: others).sorted()
            .map { others + "/" + $0 }
        func verdicts(_ data: String, input: String? = nil) throws -> [String: Double] {
            let run = try Tool.run(
                "label", "--real", real, data, "--at-least", "0", "--steps", "6", "--threads", "1",
                "--quiet", input: input)
            #expect(run.status == 0, "\(run.errors)")
            return try Dictionary(
                uniqueKeysWithValues: run.lines.map {
                    let row = try object($0)
                    return (
                        try #require(row["path"] as? String),
                        try #require(row["probability"] as? Double)
                    )
                })
        }
        let all = try verdicts("-", input: paths.joined(separator: "\n"))
        let one = try verdicts("-", input: paths[4])
        #expect(all.count == 9 && one.count == 1)
        let probability = try #require(all[paths[4]])
        #expect(try abs(#require(one[paths[4]]) - probability) < 1e-5)
        // Files of a folder are learned from as well.
        let learned = try verdicts(others)
        #expect(try learned.count == 9 && abs(#require(learned[paths[4]]) - probability) > 1e-5)
    }

    @Test("a path on standard input is labelled before the next one comes")
    func atOnce() throws {
        let folder = try TemporaryFolder()
        let real = try shapes(0..<3, in: folder, as: "real", byClass: true)
        let run = try Tool.shell(
            """
            mkfifo "$2"
            "$latent" label --real "$1" - --at-least 0 --steps 2 --quiet < "$2" > "$2.out" &
            exec 3> "$2"
            echo "$3" >&3
            until [ -s "$2.out" ] || ! kill -0 $! 2> /dev/null; do sleep 0.05; done
            cat "$2.out"
            echo "$4" >&3
            exec 3>&-
            wait $!
            """, real, folder / "pipe", TrainedModels.shapes + "/disc/010.png",
            TrainedModels.shapes + "/square/011.png")
        #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
        #expect(run.lines.count == 1 && run.output.contains("/disc/010.png"))
    }

    @Test("nothing is labelled that is not as sure as asked, and unreadable files are said")
    func unsure() throws {
        let folder = try TemporaryFolder()
        let real = try shapes(0..<3, in: folder, as: "real", byClass: true)
        let others = try shapes(8..<10, in: folder, as: "others", byClass: false)
        try write("no picture", to: folder / "others/broken.png")
        try write("no picture", to: folder / "real/disc/broken.png")
        let run = try Tool.run(
            "label", "--real", real, others, "--at-least", "1", "--steps", "2", "--threads", "1")
        #expect(run.status == 65 && run.output.isEmpty)
        #expect(run.errors.contains("others/broken.png: "))
        #expect(run.errors.contains("real/disc/broken.png: "))
        #expect(run.errors.contains("1 of 7 files cannot be read"))
    }

    @Test("what cannot be learned from is one line")
    func refused() throws {
        let folder = try TemporaryFolder()
        let shapes = Fixtures.path("images/shapes")
        _ = try folder.makeFolder("empty")
        for (arguments, status, text) in [
            (["--real", shapes + "/disc", shapes], 65, "have no class"),
            (["--real", folder / "empty", shapes], 65, "empty: no files to learn from"),
            (["--real", "nowhere", shapes], 66, "no such file"),
            (["--real", "-", shapes], 64, "--real takes"),
            (["--real", shapes], 64, "no data"), ([shapes], 64, "--real"),
            (["--real", shapes, shapes, "--at-least", "1.5"], 64, "0 to 1"),
            (["--real", shapes, shapes, "--steps", "0"], 64, "1 to 100000"),
            (
                ["--real", shapes, "--real", Fixtures.path("audio/sounds"), shapes], 65,
                "images and"
            ),
        ] {
            let run = try Tool.run(["label"] + arguments)
            #expect(run.status == Int32(status), "\(arguments): \(run.errors)")
            #expect(run.output.isEmpty && run.errors.contains(text), "\(arguments): \(run.errors)")
            #expect(run.errorLines.count == 1, "\(arguments): \(run.errors)")
        }
    }
}
