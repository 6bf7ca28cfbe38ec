import Foundation
import TestSupport
import Testing

/// How many files of which class, and what goes with them.
@Suite("Augmentation: how many of what")
struct AugmentAmountTests {
    /// 7 discs, 3 squares and 2 triangles.
    private static func uneven(in folder: TemporaryFolder) throws -> String {
        for (name, count) in [("disc", 7), ("square", 3), ("triangle", 2)] {
            _ = try folder.makeFolder("data/\(name)")
            for path in try files(in: "\(TrainedModels.shapes)/\(name)").prefix(count) {
                try folder.copy(path, as: "data/\(name)/" + (path as NSString).lastPathComponent)
            }
        }
        return folder / "data"
    }

    private func augment(_ arguments: String...) throws -> ToolRun {
        try Tool.run(
            ["augment", "--threads", "1", "--reject", "none", "-m", TrainedModels.images().path]
                + arguments)
    }

    /// Lines of a manifest.
    private func lines(_ folder: String) throws -> [[String: Any]] {
        let text = try String(contentsOfFile: folder + "/manifest.ndjson", encoding: .utf8)
        return try text.split(separator: "\n").map { try object(String($0)) }
    }

    private func counts(_ lines: [[String: Any]]) -> [String: Int] {
        lines.reduce(into: [:]) { $0[$1["label"] as? String ?? "", default: 0] += 1 }
    }

    @Test(
        "every class gets what is asked for, from parents of its own",
        arguments: [
            (["--per-class", "4"], [4, 4, 4]), (["--balance"], [0, 4, 5]),
            (["--balance-to", "5"], [0, 2, 3]), (["--multiply", "2"], [14, 6, 4]),
            (["--counts", "square=5,triangle=1"], [0, 5, 1]),
            (["--counts", "disc=2", "--counts", "square=1"], [2, 1, 0]),
            (["--method", "interpolate", "--per-class", "3"], [3, 3, 3]),
            (["--method", "density", "--balance"], [0, 4, 5]),
            (["--method", "density", "--per-class", "2"], [2, 2, 2]),
        ] as [([String], [Int])])
    func amounts(flags: [String], expected: [Int]) throws {
        let folder = try TemporaryFolder()
        let data = try Self.uneven(in: folder)
        let base = [
            "augment", "--threads", "1", "--reject", "none", "-m", try TrainedModels.images().path,
            data,
        ]
        let dry = try Tool.run(base + flags + ["-o", folder / "new", "--dry-run"])
        #expect(dry.status == 0, "\(dry.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder / "new"))
        let run = try Tool.run(base + flags + ["-o", folder / "new"])
        #expect(run.status == 0, "\(run.errors)")
        let names = ["disc", "square", "triangle"]
        let wanted = Dictionary(uniqueKeysWithValues: zip(names, expected)).filter { $0.value > 0 }
        let lines = try lines(folder / "new")
        #expect(counts(lines) == wanted)
        for line in lines {
            let label = try #require(line["label"] as? String)
            for parent in try #require(line["parents"] as? [[String: String]]) {
                #expect(parent["path"]?.contains("/\(label)/") == true)
            }
        }
        // What was announced is what came.
        let rows = try dry.lines.map { try object($0) }
        #expect(rows.map { $0["class"] as? String } == names + [nil])
        #expect(rows.map { $0["new"] as? Int } == expected + [expected.reduce(0, +)])
        #expect(rows.map { $0["real"] as? Int } == [7, 3, 2, 12])
    }

    @Test("with --multiply every real item is a parent as often")
    func multiply() throws {
        let folder = try TemporaryFolder()
        let data = try Self.uneven(in: folder)
        let run = try augment(data, "-o", folder / "new", "--multiply", "3")
        #expect(run.status == 0)
        var uses: [String: Int] = [:]
        for line in try lines(folder / "new") {
            let parents = try #require(line["parents"] as? [[String: String]])
            uses[parents[0]["path"] ?? "", default: 0] += 1
        }
        #expect(uses.count == 12 && uses.values.allSatisfy { $0 == 3 })
    }

    @Test(
        "what cannot be made, or is not said right, is one line and nothing is written",
        arguments: [
            ([], "how many files"), (["-n", "5", "--balance"], "only one of"),
            (["--per-class", "0"], "1 to 100000000"),
            (["--counts", "disc"], "expected class=count"),
            (["--counts", "disc=0"], "expected class=count"),
            (["--counts", "disc=1,disc=2"], "twice"),
            (["--counts", "circle=1"], "class circle has no real items"),
            (["--per-class", "1", "--method", "prior"], "does not tell classes apart"),
            (["-n", "1", "--link"], "--link is of"), (["-n", "1", "--format", "csv"], "--dry-run"),
        ] as [([String], String)])
    func refused(flags: [String], text: String) throws {
        let folder = try TemporaryFolder()
        let data = try Self.uneven(in: folder)
        let run = try Tool.run(
            ["augment", "-m", try TrainedModels.images().path, data, "-o", folder / "new"] + flags)
        #expect(run.status == 64 && run.errors.contains(text), "\(run.errors)")
        #expect(run.errorLines.count == 1)
        #expect(!FileManager.default.fileExists(atPath: folder / "new"))
    }

    @Test("a pair needs two files, and classes that are counted need DATA")
    func missing() throws {
        let folder = try TemporaryFolder()
        let data = try Self.uneven(in: folder)
        for path in try files(in: data + "/triangle").dropFirst() {
            try FileManager.default.removeItem(atPath: path)
        }
        let pair = try augment(
            data, "-o", folder / "new", "--per-class", "1", "--method", "interpolate")
        #expect(pair.status == 64)
        #expect(pair.errors.contains("class triangle has 1 real item"), "\(pair.errors)")
        let none = try augment("-o", folder / "new", "--balance")
        #expect(none.status == 64 && none.errors.contains("files of DATA"))
        let unknown = try augment("-o", folder / "new", "--counts", "circle=1")
        #expect(unknown.status == 64 && unknown.errors.contains("the model knows none of it"))
        // A model alone knows its classes.
        let alone = try augment("-o", folder / "alone", "--per-class", "2")
        #expect(alone.status == 0)
        #expect(counts(try lines(folder / "alone")) == ["disc": 2, "square": 2, "triangle": 2])
    }

    @Test("a conditional model draws the class that a slot is of", arguments: ["prior", "density"])
    func conditional(method: String) throws {
        let folder = try TemporaryFolder()
        let model = try TrainedModels.Trained(
            on: TrainedModels.shapes,
            TrainedModels.tiny + ["--for", "augmentation", "--condition", "class"])
        let run = try Tool.run([
            "augment", "-q", "-m", model.path, "-o", folder / "new", "--method", method,
            "--counts", "triangle=3,disc=2",
        ])
        #expect(run.status == 0, "\(run.errors)")
        let lines = try lines(folder / "new")
        #expect(
            lines.map { $0["label"] as? String ?? "" } == ["disc", "disc"]
                + [String](repeating: "triangle", count: 3))
        #expect(
            lines.allSatisfy {
                ($0["attributes"] as? [String: String])?["class"] == $0["label"] as? String
            })
    }

    @Test("real files are taken along byte for byte, or as links", arguments: [false, true])
    func originals(isLinked: Bool) throws {
        let folder = try TemporaryFolder()
        let data = try Self.uneven(in: folder)
        let before = try contents(below: data)
        try Data("broken".utf8).write(to: URL(fileURLWithPath: data + "/disc/zz.png"))
        let run = try Tool.run(
            [
                "augment", "-m", try TrainedModels.images().path, data, "-o", folder / "all",
                "--balance", "--include-originals", "--reject", "none",
            ] + (isLinked ? ["--link"] : []))
        // A file that cannot be read is named and left out.
        #expect(run.status == 65 && run.errors.contains("zz.png"))
        let lines = try lines(folder / "all")
        let originals = lines.filter { $0["method"] as? String == "original" }
        #expect(originals.count == 12)
        #expect(lines.prefix(12).allSatisfy { $0["method"] as? String == "original" })
        for line in originals {
            let parent = try #require((line["parents"] as? [[String: String]])?.first?["path"])
            let file = folder / "all/" + (try #require(line["file"] as? String))
            #expect(FileManager.default.contentsEqual(atPath: parent, andPath: file))
            #expect(line["model_sha256"] == nil)
            let numbers = try [parent, file].map {
                try FileManager.default.attributesOfItem(atPath: $0)[.systemFileNumber] as? Int
            }
            #expect((numbers[0] == numbers[1]) == isLinked)
        }
        // Eight discs were named, of which one cannot be read.
        #expect(counts(lines) == ["disc": 7, "square": 8, "triangle": 8])
        // Begun again, the links go and not what they lead to.
        let again = try Tool.run([
            "augment", "-q", "-m", try TrainedModels.images().path, data, "-o", folder / "all",
            "-n", "1", "--force",
        ])
        #expect(again.status == 0, "\(again.errors)")
        #expect(try contents(below: folder / "all").count == 3)
        #expect(try contents(below: data).filter { before[$0.key] != nil } == before)
    }

    @Test("nothing to fill is said, and nothing written")
    func nothing() throws {
        let folder = try TemporaryFolder()
        let run = try augment(TrainedModels.shapes, "-o", folder / "new", "--balance")
        #expect(run.status == 0 && run.errors.contains("nothing to write"))
        #expect(!FileManager.default.fileExists(atPath: folder / "new"))
    }

    @Test("a folder inside DATA is refused")
    func inside() throws {
        let folder = try TemporaryFolder()
        let data = try Self.uneven(in: folder)
        let run = try augment(data, "-o", data + "/more/deep", "-n", "1")
        #expect(run.status == 74 && run.errors.contains("which is read"))
        #expect(!FileManager.default.fileExists(atPath: data + "/more"))
    }
}
