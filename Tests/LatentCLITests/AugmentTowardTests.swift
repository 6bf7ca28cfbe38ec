import Foundation
import TestSupport
import Testing

/// One attribute of real items is changed: `augment --toward`.
@Suite("Augmentation: attributes")
struct AugmentTowardTests {
    private static let discs = TrainedModels.shapes + "/disc"
    private static let squares = TrainedModels.shapes + "/square"

    private func augment(
        _ folder: String, _ flags: [String], model: String? = nil
    ) throws -> ToolRun {
        try Tool.run(
            [
                "augment", "-m", try model ?? TrainedModels.images().path, "-o", folder, "--reject",
                "none",
            ] + flags)
    }

    private func lines(_ folder: String) throws -> [[String: Any]] {
        try String(contentsOfFile: folder + "/manifest.ndjson", encoding: .utf8)
            .split(separator: "\n").map { try object(String($0)) }
    }

    @Test("a folder says what is changed, and the manifest says how far", arguments: [true, false])
    func folder(isImage: Bool) throws {
        let folder = try TemporaryFolder()
        let model = try isImage ? TrainedModels.images().path : TrainedModels.sound().path
        let data = isImage ? TrainedModels.shapes : TrainedModels.sounds
        let toward = isImage ? Self.squares : TrainedModels.sounds + "/chirp"
        let away = isImage ? Self.discs : TrainedModels.sounds + "/tone"
        func run(_ name: String, _ flags: [String]) throws -> [String: Data] {
            let run = try augment(folder / name, [data, "-n", "4"] + flags, model: model)
            #expect(run.status == 0, "\(run.errors)")
            return try contents(below: folder / name)
                .filter { $0.key.hasSuffix(".png") || $0.key.hasSuffix(".wav") }
        }
        let moved = try run(
            "moved", ["--toward", toward, "--away-from", away, "--strength", "1.5"])
        #expect(moved.count == 4)
        for line in try lines(folder / "moved") {
            let direction = try #require(line["direction"] as? [String: Any])
            #expect(direction["toward"] as? String == toward)
            #expect(direction["away_from"] as? String == away)
            #expect(direction["strength"] as? Double == 1.5)
            let file = try #require(line["file"] as? String)
            let parent = try #require((line["parents"] as? [[String: String]])?.first?["path"])
            // The class is that of the parent.
            #expect(parent.contains("/\(file.prefix { $0 != "/" })/"))
        }
        let back = try run("back", ["--toward", toward, "--strength", "-1.5"])
        #expect(back != moved)
        #expect(
            try lines(folder / "back").allSatisfy {
                ($0["direction"] as? [String: Any])?["strength"] as? Double == -1.5
            })
        let still = try run("still", [])
        #expect(try lines(folder / "still").allSatisfy { $0["direction"] == nil })
        #expect(moved != still)
        let data0 = try run("fromData", ["--toward", toward])
        #expect(data0 != moved && data0 != still)
        #expect(
            try lines(folder / "fromData").allSatisfy {
                ($0["direction"] as? [String: Any])?["away_from"] == nil
            })
        #expect(try run("zero", ["--toward", toward, "--strength", "0"]) == still)
    }

    @Test("a label that training knew is enough, and new files are of it")
    func label() throws {
        let folder = try TemporaryFolder()
        let run = try augment(
            folder / "new", [TrainedModels.shapes, "--per-class", "3", "--toward", "square"])
        #expect(run.status == 0, "\(run.errors)")
        let found = try lines(folder / "new")
        #expect(found.count == 3)
        for line in found {
            #expect(line["label"] as? String == "square")
            let direction = try #require(line["direction"] as? [String: Any])
            #expect(direction["toward"] as? String == "class=square")
            #expect(direction["strength"] as? Double == 1)
        }
        let same = try augment(
            folder / "same",
            [
                TrainedModels.shapes, "--per-class", "3", "--method", "posterior", "--condition",
                "class=square",
            ])
        #expect(same.status == 0, "\(same.errors)")
        #expect(try contents(below: folder / "same") == contents(below: folder / "new"))
    }

    @Test("a conditional model changes one attribute and keeps the parents' others")
    func conditional() throws {
        let folder = try TemporaryFolder()
        var table = "path,shape,tone\n"
        for (index, shape) in ["disc", "square"].flatMap({ shape in
            (0..<10).map { ($0, shape) }
        }) {
            let path = try files(in: TrainedModels.shapes + "/" + shape)[index]
            table += "\(path),\(shape),\(index % 2 == 0 ? "dark" : "light")\n"
        }
        try table.write(toFile: folder / "table.csv", atomically: true, encoding: .utf8)
        let trained = try Tool.run(
            ["train", folder / "table.csv", "-o", folder / "m", "--condition", "shape,tone"]
                + TrainedModels.tiny + ["--for", "augmentation", "--calibration", "0"])
        #expect(trained.status == 0, "\(trained.errors)")
        let run = try augment(
            folder / "new", [folder / "table.csv", "--multiply", "1", "--toward", "dark"],
            model: folder / "m")
        #expect(run.status == 0, "\(run.errors)")
        let found = try lines(folder / "new")
        #expect(found.count == 20)
        for line in found {
            let attributes = try #require(line["attributes"] as? [String: String])
            let parent = try #require((line["parents"] as? [[String: String]])?.first?["path"])
            #expect(attributes["tone"] == "dark")
            #expect(parent.contains("/\(attributes["shape"] ?? "?")/"))
        }
    }

    @Test("the same command goes on to the same bytes; another strength or folder is another run")
    func resumed() throws {
        let folder = try TemporaryFolder()
        let flags = [
            TrainedModels.shapes, "-n", "70", "--toward", Self.squares, "--threads", "1",
        ]
        #expect(try augment(folder / "new", flags).status == 0)
        let whole = try contents(below: folder / "new")
        let manifest = try #require(whole["manifest.ndjson"])
        try manifest.prefix(manifest.count * 2 / 3).write(
            to: URL(fileURLWithPath: folder / "new/manifest.ndjson"))
        let again = try augment(folder / "new", flags)
        #expect(again.status == 0, "\(again.errors)")
        #expect(again.errors.contains("of 70 files; going on"))
        #expect(try contents(below: folder / "new") == whole)
        for (flags, text) in [
            (flags + ["--strength", "2"], "strength was none, is 2.0"),
            (flags.map { $0 == Self.squares ? Self.discs : $0 }, "toward was"),
            (flags + ["--away-from", Self.discs], "away from was none, is"),
        ] {
            let other = try augment(folder / "new", flags)
            #expect(other.status == 74 && other.errorLines.count == 1)
            #expect(other.errors.contains(text), "\(other.errors)")
        }
        #expect(try contents(below: folder / "new") == whole)
    }

    @Test("what cannot be meant is one line, and nothing is written")
    func errors() throws {
        let folder = try TemporaryFolder()
        let empty = try folder.makeFolder("empty")
        let one = try folder.makeFolder("one")
        try folder.copy(Scoring.imageInbox + "/odd-star.png", as: "one/a.png")
        let data = TrainedModels.shapes
        for (flags, status, text) in [
            ([data, "--strength", "1.5"], 64, "--strength goes with --toward"),
            ([data, "--away-from", data], 64, "--away-from goes with --toward"),
            ([data, "--toward", Self.squares, "--strength", "nan"], 64, "must be -100 to 100"),
            ([data, "--toward", Self.squares, "--strength", "inf"], 64, "must be -100 to 100"),
            (["--toward", Self.squares], 64, "name some as DATA"),
            (
                [data, "--toward", Self.squares, "--method", "smote"], 64, "with --method posterior"
            ),
            ([data, "--toward", Self.squares, "--method", "auto"], 64, "with --method posterior"),
            ([data, "--toward", "square", "--condition", "class=disc"], 64, "give only one"),
            ([data, "--toward", "square", "--away-from", Self.discs], 64, "from their own labels"),
            ([data, "--toward", folder / "none"], 66, "none: there is no such file or folder"),
            ([data, "--toward", "star"], 66, "one of class=disc|square|triangle"),
            ([data, "--toward", "class=star"], 64, "star is not known"),
            (
                [data, "--toward", Self.squares, "--away-from", folder / "none"], 66,
                "there is no such file"
            ),
            ([data, "--toward", empty], 65, "empty: no file to take a direction from"),
            ([data, "--toward", one], 65, "one: 1 file to take a direction from"),
            (
                [data, "--toward", Self.squares, "--away-from", one], 65,
                "one: 1 file to take a direction from"
            ),
            // Flat files have no class to be moved from.
            ([Scoring.imageInbox, "--toward", "square"], 65, "class"),
        ] as [([String], Int32, String)] {
            let run = try augment(folder / "new", ["-n", "3"] + flags)
            #expect(run.status == status, "\(flags): \(run.errors)")
            #expect(run.errorLines.count == 1 && run.errors.contains(text), "\(run.errors)")
            #expect(!FileManager.default.fileExists(atPath: folder / "new"))
        }
    }
}
