import Foundation
import TestSupport
import Testing

/// `--method auto`: what is chosen is said, kept, and taken up again.
@Suite("Augmentation: auto")
struct AugmentAutoTests {
    private static let record = ".latent-augment.json"

    /// Some of the shapes, in class folders; few of a class, so that nothing can be tried.
    private func few(_ count: Int, in folder: TemporaryFolder) throws -> String {
        let manager = FileManager.default
        for label in ["disc", "square"] {
            try manager.createDirectory(
                atPath: folder / "data/\(label)", withIntermediateDirectories: true)
            for path in try files(in: "\(TrainedModels.shapes)/\(label)").prefix(count) {
                let name = try #require(path.split(separator: "/").last)
                try manager.copyItem(atPath: path, toPath: folder / "data/\(label)/\(name)")
            }
        }
        return folder / "data"
    }

    private func augment(_ folder: String, _ flags: String...) throws -> ToolRun {
        try Tool.run(["augment", "-o", folder, "--threads", "1", "--method", "auto"] + flags)
    }

    private func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    }

    @Test("with few files the usual is taken, in one line that says why, and recorded")
    func fallback() throws {
        let folder = try TemporaryFolder()
        let data = try few(4, in: folder)
        let plain = try augment(folder / "plain", data, "-n", "3")
        #expect(plain.status == 0, "\(plain.errors)")
        let warnings = plain.errors.split(separator: "\n").filter { $0.contains("warning") }
        #expect(warnings.count == 1)
        #expect(plain.errors.contains("class disc has 4 different files"))
        #expect(plain.errors.contains("6 of each are needed; classic is taken"))
        let record = try object(text(folder / "plain/\(Self.record)"))
        let choice = try #require(record["choice"] as? [String: Any])
        #expect(choice["ground"] as? String == "untried")
        #expect((record["settings"] as? [String: String])?["auto"] == "classic")
        let model = try TrainedModels.images().path
        let drawn = try augment(folder / "drawn", "-m", model, data, "-n", "3", "-q")
        #expect(drawn.status == 0 && drawn.errors.isEmpty, "\(drawn.errors)")
        let line = try #require(text(folder / "drawn/manifest.ndjson").split(separator: "\n").first)
        #expect(try object(String(line))["method"] as? String == "posterior")
    }

    @Test("of recordings without classes too, the usual is taken")
    func unlabelled() throws {
        let folder = try TemporaryFolder()
        let data = try folder.makeFolder("sounds")
        for label in ["chirp", "tone"] {
            for path in try files(in: Fixtures.path("audio/sounds/\(label)")).prefix(4) {
                let name = try #require(path.split(separator: "/").last)
                try FileManager.default.copyItem(atPath: path, toPath: "\(data)/\(label)-\(name)")
            }
        }
        let run = try augment(folder / "out", data, "-n", "2")
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.contains("8 of 8 files have no class"), "\(run.errors)")
    }

    @Test("a run that goes on takes what was chosen, whatever would be chosen now")
    func resumed() throws {
        let folder = try TemporaryFolder()
        let data = try few(4, in: folder)
        let out = folder / "out"
        #expect(try augment(out, data, "-n", "20").status == 0)
        // As if a trial had chosen otherwise.
        let path = "\(out)/\(Self.record)"
        var lines = try object(text(path))
        var choice = try #require(lines["choice"] as? [String: Any])
        var settings = try #require(lines["settings"] as? [String: String])
        let way: [String: Any] = ["method": "transform", "transforms": "flip-x=1", "ratio": 1]
        let (gain, none) = (
            ["value": 0.05, "low": 0.01, "high": 0.09], ["value": 0.0, "low": 0.0, "high": 0.0]
        )
        choice["chosen"] = way
        choice["floor"] = ["method": "transform", "transforms": "classic"]
        choice["ground"] = "better"
        choice["remarks"] = ["smote: not tried: out of order"]
        choice["rows"] = [
            ["way": [:], "balancedAccuracy": 0.8, "overReal": none, "overFloor": none],
            [
                "way": ["method": "transform", "transforms": "classic"], "balancedAccuracy": 0.8,
                "overReal": none, "overFloor": none,
            ],
            ["way": way, "balancedAccuracy": 0.85, "overReal": gain, "overFloor": gain],
        ]
        settings["auto"] = "flip-x=1, 1 for each"
        // One for each of eight files, though 20 are asked for.
        settings["number"] = "8 in all"
        settings["transforms"] = "flip-x=1.0..1.0; padding edge; noise white"
        (lines["choice"], lines["settings"]) = (choice, settings)
        try JSONSerialization.data(withJSONObject: lines).write(to: URL(fileURLWithPath: path))
        try Data().write(to: URL(fileURLWithPath: "\(out)/manifest.ndjson"))
        let run = try augment(out, data, "-n", "20")
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.contains("was begun with flip-x=1, 1 for each, which auto chose"))
        let said = run.errors.split(separator: "\n").map(String.init)
        #expect(
            said.contains {
                $0.split(separator: " ")
                    == "* 85.0 +5.0 (+1.0…+9.0) +5.0 (+1.0…+9.0) flip-x=1, 1 for each".split(
                        separator: " ")
            }, "\(run.errors)")
        #expect(said.contains { $0.hasPrefix(" ") && $0.hasSuffix(" real") })
        #expect(said.contains { $0.contains("the floor") && $0.hasSuffix(" classic") })
        #expect(said.contains("smote: not tried: out of order"))
        let written = try contents(below: out)
        #expect(try text("\(out)/manifest.ndjson").split(separator: "\n").count == 8)
        for line in try text("\(out)/manifest.ndjson").split(separator: "\n") {
            let made = try #require(object(String(line))["transforms"] as? [[String: Any]])
            #expect(made.map { $0["name"] as? String } == ["flip-x"])
        }
        #expect(try augment(out, data, "-n", "20").errors.contains("is finished"))
        #expect(try contents(below: out) == written)
        // Settings of the request count as ever.
        let other = try augment(out, data, "-n", "20", "--seed", "1")
        #expect(other.status == 74 && other.errors.contains("seed was 0, is 1"))
    }

    @Test("a trial that is interrupted has written nothing")
    func interrupted() throws {
        let folder = try TemporaryFolder()
        let data = try few(6, in: folder)
        let run = try Tool.shell(
            """
            "$latent" augment "$1" -o "$2" -n 4 --method auto --threads 1 2> "$2.err" &
            until grep -q 'trying 5 ways' "$2.err" || ! kill -0 $! 2> /dev/null; do sleep 0.1; done
            kill -INT $!
            wait $! 2> /dev/null
            """, data, folder / "out")
        #expect(run.status == 130)
        #expect(try text(folder / "out.err").contains("interrupted while methods were tried"))
        #expect(!FileManager.default.fileExists(atPath: folder / "out"))
    }

    @Test("files of a group are left out together; where that cannot be, one line says so")
    func groups() throws {
        let folder = try TemporaryFolder()
        let data = try few(12, in: folder)
        func manifest(_ name: String, _ group: (Int) -> String) throws -> String {
            let rows = try ["disc", "square"].flatMap { label in
                try files(in: "\(data)/\(label)").enumerated().map {
                    "\($0.element),\(label),\(group($0.offset))\n"
                }
            }
            let path = folder / "\(name).csv"
            try Data(("path,label,camera\n" + rows.joined()).utf8).write(
                to: URL(fileURLWithPath: path))
            return path
        }
        let one = try augment(
            folder / "one", manifest("one") { _ in "left" }, "-n", "4", "--group", "camera")
        #expect(one.status == 0, "\(one.errors)")
        #expect(one.errors.contains("the files are of one group; classic is taken"))
        let torn = try augment(
            folder / "torn", manifest("torn") { $0 == 3 ? "" : "left" }, "-n", "4", "--group",
            "camera")
        #expect(
            torn.status == 65 && torn.errors.contains("has no value in the column"),
            "\(torn.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder / "torn"))
        let folders = try augment(folder / "bare", data, "-n", "4", "--group", "camera")
        #expect(folders.status == 65 && folders.errors.contains("name a manifest"))
        let other = try Tool.run(
            "augment", data, "-o", folder / "other", "-n", "4", "--transform", "classic",
            "--group", "camera")
        #expect(other.status == 64 && other.errors.contains("--group is of --method auto"))
    }

    @Test("what goes with no choice is refused")
    func usage() throws {
        let folder = try TemporaryFolder()
        for (flags, words) in [
            ([], "name some as DATA"),
            ([TrainedModels.shapes, "--transform", "classic"], "chooses transforms too"),
            ([TrainedModels.shapes, "--spread", "0.5"], "are of a method"),
            ([TrainedModels.shapes, "--lambda", "0.5"], "--lambda goes with --method extrapolate"),
        ] {
            let run = try Tool.run(
                ["augment", "-o", folder / "out", "-n", "1", "--method", "auto"] + flags)
            #expect(run.status == 64 && run.errors.contains(words), "\(run.errors)")
        }
        // Before minutes are spent.
        try Data().write(to: URL(fileURLWithPath: folder / "other"))
        let full = try augment(folder.path, TrainedModels.shapes, "-n", "1")
        #expect(full.status == 74 && !full.errors.contains("trying"), "\(full.errors)")
        let wrong = try augment(folder / "out", TrainedModels.shapes, "--counts", "cat=3")
        #expect(wrong.status == 64 && wrong.errors.contains("cat"), "\(wrong.errors)")
    }
}
