import Foundation
import TestSupport
import Testing

@Suite("Evaluation of augmentation")
struct EvaluateAugmentation {
    private static let classes = ["disc", "square", "triangle"]

    /// Copies some shapes of each class below a folder.
    private func shapes(
        _ numbers: Range<Int>, in folder: TemporaryFolder, as name: String
    ) throws -> String {
        for label in Self.classes {
            _ = try folder.makeFolder("\(name)/\(label)")
            for number in numbers {
                let file = "\(label)/" + String(format: "%03d.png", number)
                try folder.copy(Fixtures.path("images/shapes/\(file)"), as: "\(name)/\(file)")
            }
        }
        return folder / name
    }

    private func evaluate(_ arguments: [String]) throws -> ToolRun {
        let flags = ["--threads", "1"] + (arguments.contains("--steps") ? [] : ["--steps", "20"])
        return try Tool.run(["evaluate", "augmentation"] + flags + arguments)
    }

    private func figures(_ run: ToolRun) throws -> [[String: Any]] {
        try run.lines.map { try object($0) }
    }

    private func value(
        _ metric: String, _ figures: [[String: Any]], of subject: String = "synthetic"
    ) -> Double {
        figures.first { $0["metric"] as? String == metric && $0["subject"] as? String == subject }?[
            "value"] as? Double ?? .nan
    }

    @Test("Real files as synthetic ones are no copies, tell nothing apart, and do no harm")
    func fresh() throws {
        let folder = try TemporaryFolder()
        let real = try shapes(0..<14, in: folder, as: "real")
        let more = try shapes(14..<28, in: folder, as: "more")
        let held = try shapes(28..<40, in: folder, as: "held")
        let arguments = [
            "--real", real, "--synthetic", more, "--holdout", held, "--seeds", "1", "--report",
            folder / "report",
        ]
        let run = try evaluate(arguments)
        #expect(run.status == 0, "\(run.errors)")
        // Of one step each it is told how many trainings there are, and how long they take.
        #expect(run.errors.contains("8 trainings of a small classifier, of 20 steps"))
        #expect(run.errors.contains("that takes about "))
        #expect(run.errors.contains("42 real, 36 held-out and 42 synthetic images, grey at 32×32"))
        let found = try figures(run)
        #expect(found.allSatisfy { $0["schema"] as? Int == 1 })
        #expect((0.2...0.8).contains(value("leakage_share", found)))
        #expect(value("copy_share", found) < 0.2 && value("identical_count", found) == 0)
        #expect((0.2...0.85).contains(value("c2st_accuracy", found)))
        #expect(value("coverage", found) > 0.5 && value("kid", found, of: "real").isFinite)
        let counts = found.filter { $0["metric"] as? String == "synthetic_count" }
        #expect(counts.compactMap { $0["value"] as? Int } == [42, 14, 14, 14])
        #expect(
            value("accuracy", found, of: "real+synthetic") >= value("accuracy", found, of: "real")
                - 0.25)
        for recipe in [
            "real+classic", "real+classic+elastic", "real+synthetic+classic", "synthetic",
        ] {
            #expect((0.3...1).contains(value("accuracy", found, of: recipe)))
            #expect(value("accuracy_minus_classic", found, of: recipe).isFinite)
        }
        for sheet in ["classes.png", "nearest.png"] {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: folder / "report/\(sheet)"))
            #expect(bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]))
        }
        // The folder of the report is not empty now.
        let again = try evaluate(arguments)
        #expect(again.status == 74 && again.errorLines.count == 1 && again.output.isEmpty)
    }

    @Test("Planted copies are found, and the share that lies nearer to training is near 1")
    func copies() throws {
        let folder = try TemporaryFolder()
        let real = try shapes(0..<14, in: folder, as: "real")
        let copies = try shapes(0..<10, in: folder, as: "copies")
        let held = try shapes(14..<28, in: folder, as: "held")
        let flags = [
            "--seeds", "0", "--steps", "2", "-q", "--holdout", held, "--real", real, "--synthetic",
        ]
        let run = try evaluate(flags + [copies])
        #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
        let found = try figures(run)
        #expect(value("leakage_share", found) == 1 && value("copy_share", found) == 1)
        #expect(value("identical_count", found) == 30)
        #expect(!found.contains { $0["metric"] as? String == "accuracy" })
        #expect(try evaluate(flags + [copies]).output == run.output)

        // Ten copies among thirty others.
        let planted = try shapes(28..<38, in: folder, as: "planted")
        for number in 0..<10 {
            let name = String(format: "%03d.png", number)
            try folder.copy("\(real)/disc/\(name)", as: "planted/disc/\(name)")
        }
        let table = try evaluate(flags + [planted, "--format", "csv"])
        #expect(table.lines[0] == "metric,subject,class,features,value,low,high,interval,items")
        #expect(table.output.contains("identical_count,synthetic,,maps,10,"))
        let share = table.lines.first { $0.hasPrefix("copy_share") }?.split(separator: ",") ?? []
        #expect((Double(share[3]) ?? 0) >= 0.25 && (Double(share[3]) ?? 1) < 0.4)
    }

    @Test("Files without classes get all figures but usefulness, and bad ones are named")
    func unlabelled() throws {
        let folder = try TemporaryFolder()
        let flat = try folder.makeFolder("flat")
        let other = try folder.makeFolder("other")
        for (index, label) in Self.classes.enumerated() {
            for number in 0..<8 {
                let name = String(format: "%03d.png", number)
                try folder.copy(
                    Fixtures.path("images/shapes/\(label)/\(name)"),
                    as: "\(index < 2 ? "flat" : "other")/\(label)-\(name)")
            }
        }
        try Data("no image".utf8).write(to: URL(fileURLWithPath: folder / "other/bad.png"))
        let run = try evaluate(["--real", flat, "--synthetic", other, "--format", "table"])
        #expect(run.status == 65)
        #expect(
            run.errors.contains("other/bad.png")
                && run.errors.contains("1 of 25 files cannot be read"))
        #expect(run.errors.contains("3 of the real files are held out"))
        #expect(run.errors.contains("no usefulness: 13 of 13 real files have no class"))
        #expect(run.output.contains("kid") && run.output.contains("components"))
        #expect(!run.output.contains("classifier") && !run.output.contains("trained on"))
    }

    @Test("Recordings are compared as spectrograms, whole groups of a manifest held out")
    func recordings() throws {
        let folder = try TemporaryFolder()
        let sounds = Fixtures.path("audio/sounds")
        var lines = "path,label,speaker\n"
        for label in try FileManager.default.contentsOfDirectory(atPath: sounds).sorted()
        where !label.contains(".") {
            let files = try FileManager.default.contentsOfDirectory(atPath: "\(sounds)/\(label)")
            for (index, file) in files.sorted().prefix(8).enumerated() {
                lines +=
                    "\(sounds)/\(label)/\(file),\(label),\("abcd".map(String.init)[index % 4])\n"
            }
        }
        try Data(lines.utf8).write(to: URL(fileURLWithPath: folder / "clips.csv"))
        let run = try evaluate([
            "--real", folder / "clips.csv", "--synthetic", sounds, "--group", "speaker", "--seeds",
            "1", "--bootstrap", "10", "--format", "table",
        ])
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.contains("18 real, 6 held-out and 72 synthetic recordings, log-mel"))
        #expect(run.output.contains("real+classic+elastic"))
        #expect(run.output.contains("leakage_share"))
    }

    @Test("What cannot be compared is refused in one line")
    func refusals() throws {
        let folder = try TemporaryFolder()
        let real = try shapes(0..<3, in: folder, as: "real")
        let odd = try folder.makeFolder("odd/cross")
        try folder.copy(Fixtures.path("images/shapes/disc/000.png"), as: "odd/cross/0.png")
        let strange = try evaluate(["--real", real, "--synthetic", folder / "odd"])
        #expect(strange.status == 65 && strange.errorLines.count == 1 && strange.output.isEmpty)
        #expect(strange.errors.contains("\(odd)/0.png: its class cross is not among the 3"))
        let help = try Tool.run("evaluate", "augmentation", "--help")
        #expect(help.status == 0 && help.output.contains("EXAMPLES\n") && help.errors.isEmpty)
        let none = try evaluate(["--real", real, "--synthetic", folder / "none"])
        #expect(none.status == 66 && none.errorLines.count == 1)
        _ = try folder.makeFolder("empty")
        try Data("text".utf8).write(to: URL(fileURLWithPath: folder / "0.wav"))
        for (flags, status, message) in [
            (["--real", real, "--holdout", folder / "empty"], 65, "empty: no images to evaluate"),
            (
                ["--real", folder / "0.wav"], 65,
                "/real: no recordings to evaluate were found, but 9"
            ),
            (
                ["--real", folder / "0.wav", "--synthetic", folder / "0.wav"], 65,
                "no real recordings that can be read"
            ),
            (["--real", real, "--report", folder / "0.wav"], 74, "and no folder"),
            (["--real", real, "--report", real + "/report"], 74, "is inside"),
        ] as [([String], Int32, String)] {
            let run = try evaluate(["--synthetic", real] + flags)
            #expect(run.status == status && run.errorLines.count == 1, "\(run.errors)")
            #expect(run.errors.contains(message) && run.output.isEmpty, "\(run.errors)")
        }
        for (flags, message) in [
            (["--seeds", "-1"], "--seeds"), (["--items", "9"], "--items is 9; it must be 10 to"),
            (["--group", "a", "--holdout", real], "leave --holdout out"),
        ] {
            let run = try evaluate(["--real", real, "--synthetic", real] + flags)
            #expect(run.status == 64 && run.errors.contains(message), "\(run.errors)")
        }
    }
}
