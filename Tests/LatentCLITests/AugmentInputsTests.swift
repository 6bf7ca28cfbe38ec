import Foundation
import Media
import TestSupport
import Testing

/// What becomes of `augment` when its inputs change, cannot be read, or have strange names.
@Suite("Augmentation: inputs")
struct AugmentInputs {
    /// Some of the shapes, two a class, in a folder of their own.
    private func shapes(in folder: TemporaryFolder) throws -> String {
        for label in ["disc", "square", "triangle"] {
            _ = try folder.makeFolder("data/\(label)")
            for name in ["000.png", "001.png"] {
                try folder.copy(
                    "\(TrainedModels.shapes)/\(label)/\(name)", as: "data/\(label)/\(name)")
            }
        }
        return folder / "data"
    }

    private func varied(_ data: String, to output: String, _ flags: String...) throws -> ToolRun {
        try Tool.run(
            ["augment", data, "-o", output, "-n", "4", "--transform", "rotate"] + flags)
    }

    private func lines(_ folder: String) throws -> [[String: Any]] {
        try String(contentsOfFile: folder + "/manifest.ndjson", encoding: .utf8)
            .split(separator: "\n").map { try object(String($0)) }
    }

    /// Changes a byte of a file, and nothing else that a look at it would show but what is asked for.
    private func change(_ path: String, keepsTime: Bool) throws {
        let old = try FileManager.default.attributesOfItem(atPath: path)
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes[bytes.count / 2] ^= 1
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.write(contentsOf: bytes)
        try handle.close()
        let time = try #require(old[.modificationDate] as? Date)
        try FileManager.default.setAttributes(
            [.modificationDate: keepsTime ? time : time + 2], ofItemAtPath: path)
    }

    @Test("a parent of other content is refused by name, finished or not, even with its old time")
    func changedParent() throws {
        let folder = try TemporaryFolder()
        let data = try shapes(in: folder)
        #expect(try varied(data, to: folder / "new").status == 0)
        let manifest = folder / "new/manifest.ndjson"
        let parent = try #require(
            (lines(folder / "new")[0]["parents"] as? [[String: String]])?.first?["path"])
        try change(parent, keepsTime: true)
        let whole = try Data(contentsOf: URL(fileURLWithPath: manifest))
        for bytes in [whole, whole.prefix(whole.count * 2 / 3)] {
            try bytes.write(to: URL(fileURLWithPath: manifest))
            let run = try varied(data, to: folder / "new")
            #expect(run.status == 74 && run.errorLines.count == 1, "\(run.errors)")
            #expect(run.errors.contains("other data: \(parent) is not what"), "\(run.errors)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: manifest)) == bytes)
        }
        // As it was, it is the data of the run again.
        try change(parent, keepsTime: true)
        let run = try varied(data, to: folder / "new")
        #expect(run.status == 0 && run.errors.contains("going on"), "\(run.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: manifest)) == whole)
    }

    @Test(
        "another file that was written since is refused by name; with its old time it is as before")
    func changedOther() throws {
        let folder = try TemporaryFolder()
        let data = try shapes(in: folder)
        #expect(try varied(data, to: folder / "new").status == 0)
        let parents = try lines(folder / "new").compactMap {
            ($0["parents"] as? [[String: String]])?.first?["path"]
        }
        let other = try #require(
            FileManager.default.subpathsOfDirectory(atPath: data).sorted()
                .map { "\(data)/\($0)" }.first { $0.hasSuffix(".png") && !parents.contains($0) })
        // Of a parent the content is known: that it was touched does not matter.
        try FileManager.default.setAttributes(
            [.modificationDate: Date.now], ofItemAtPath: parents[0])
        #expect(try varied(data, to: folder / "new").errors.contains("is finished"))
        try FileManager.default.setAttributes(
            [.modificationDate: Date.now + 5], ofItemAtPath: other)
        let run = try varied(data, to: folder / "new")
        #expect(run.status == 74 && run.errorLines.count == 1, "\(run.errors)")
        #expect(run.errors.contains("written since, the last of them \(other);"), "\(run.errors)")
    }

    @Test("recordings of noise count as data")
    func noise() throws {
        let folder = try TemporaryFolder()
        let noise = folder / "noise.wav"
        try folder.copy(TrainedModels.sounds + "/chirp/000.wav", as: "noise.wav")
        func run() throws -> ToolRun {
            try Tool.run(
                "augment", TrainedModels.sounds + "/tone", "-o", folder / "new", "-n", "2",
                "--transform", "snr", "--noise", noise)
        }
        #expect(try run().status == 0)
        #expect(try run().errors.contains("is finished"))
        try change(noise, keepsTime: false)
        let changed = try run()
        #expect(changed.status == 74 && changed.errors.contains("the last of them \(noise);"))
    }

    @Test("what a finished set's manifest has behind its lines is taken off")
    func torn() throws {
        let folder = try TemporaryFolder()
        let data = try shapes(in: folder)
        #expect(try varied(data, to: folder / "new").status == 0)
        let path = URL(fileURLWithPath: folder / "new/manifest.ndjson")
        let whole = try Data(contentsOf: path)
        try (whole + Data("{\"file\":\"x".utf8)).write(to: path)
        #expect(try varied(data, to: folder / "new").status == 0)
        #expect(try Data(contentsOf: path) == whole)
        #expect(try varied(data, to: folder / "new").errors.contains("is finished"))
    }

    @Test("where files were made of all of the data, new times alone do no harm")
    func touched() throws {
        let folder = try TemporaryFolder()
        let data = try shapes(in: folder)
        #expect(try varied(data, to: folder / "new", "--include-originals").status == 0)
        for name in try FileManager.default.subpathsOfDirectory(atPath: data) {
            try FileManager.default.setAttributes(
                [.modificationDate: Date.now], ofItemAtPath: "\(data)/\(name)")
        }
        let run = try varied(data, to: folder / "new", "--include-originals")
        #expect(run.status == 0 && run.errors.contains("is finished"), "\(run.errors)")
    }

    @Test("a finished set with real files that cannot be read says so again, with exit code 65")
    func unreadable() throws {
        let folder = try TemporaryFolder()
        let data = try shapes(in: folder)
        let broken = data + "/disc/001.png"
        try Data("text".utf8).write(to: URL(fileURLWithPath: broken))
        let flags = ["--include-originals", "--balance-to", "3"]
        func run() throws -> ToolRun {
            try Tool.run(
                ["augment", data, "-o", folder / "new", "--transform", "rotate"] + flags)
        }
        for isFinished in [false, true, true] {
            let run = try run()
            #expect(run.status == 65, "\(run.errors)")
            #expect(run.errors.contains("is finished") == isFinished)
            #expect(run.errors.contains("warning: \(broken): "), "\(run.errors)")
            #expect(run.errors.contains("1 of 6 real files cannot be read"))
        }
        // So does a run that was interrupted after it had met the file.
        let manifest = folder / "new/manifest.ndjson"
        let whole = try contents(below: folder / "new")
        let bytes = try #require(whole["manifest.ndjson"])
        try bytes.prefix(bytes.count - 1).write(to: URL(fileURLWithPath: manifest))
        #expect(try run().status == 65)
        #expect(try contents(below: folder / "new") == whole)
    }

    @Test(
        "labels of any length and with any characters become folders, and stay what they are in lines"
    )
    func labels() throws {
        let folder = try TemporaryFolder()
        let long = String(repeating: "ä", count: 300)
        let labels = [long, long + "x", "a\nb\u{1B}[2J", "../up", ".", "a/b", "a_b"]
        var text = ""
        for (number, label) in labels.enumerated() {
            let path = "\(TrainedModels.shapes)/disc/00\(number).png"
            let row = try JSONSerialization.data(withJSONObject: ["path": path, "label": label])
            text += String(decoding: row, as: UTF8.self) + "\n"
        }
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder / "set.ndjson"))
        for _ in 0..<2 {
            let run = try varied(folder / "set.ndjson", to: folder / "new", "-n", "7")
            #expect(run.status == 0, "\(run.errors)")
        }
        let lines = try lines(folder / "new")
        #expect(Set(lines.compactMap { $0["label"] as? String }) == Set(labels))
        var folders: Set<String> = []
        for line in lines {
            let parts = try #require(line["file"] as? String).split(separator: "/")
            #expect(parts.count == 2 && parts[0].utf8.count <= 255)
            #expect(!parts[0].unicodeScalars.contains { $0.properties.generalCategory == .control })
            folders.insert(String(parts[0]))
        }
        // Each class has a folder of its own; only one could keep its name.
        #expect(folders.count == 7 && folders.contains("a_b"))
        for start in ["a_b_[2J-", "_.._up-", "_.-", "a_b-"] {
            #expect(folders.contains { $0.hasPrefix(start) && $0.count == start.count + 16 })
        }
    }

    @Test("files are numbered without gaps, whatever was refused")
    func numbers() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(
            "augment", "-m", TrainedModels.images().path, TrainedModels.shapes, "-o",
            folder / "new", "-n", "40", "--reject", "mislabelled=0.3")
        #expect(run.status == 0, "\(run.errors)")
        let lines = try lines(folder / "new")
        #expect(lines.contains { ($0["draw"] as? Int ?? 0) >= 40 }, "none was refused")
        let names = lines.compactMap { ($0["file"] as? String)?.split(separator: "/").last }
        #expect(names.map(String.init) == (0..<40).map { String(format: "posterior-%06d.png", $0) })
    }

    @Test("density draws beside DATA, which it is judged by, and not where nothing is compared")
    func density() throws {
        let folder = try TemporaryFolder()
        func run(_ flags: String...) throws -> ToolRun {
            try Tool.run(
                [
                    "augment", "-m", TrainedModels.images().path, TrainedModels.shapes, "-o",
                    folder / "new", "-n", "3", "--method", "density",
                ] + flags)
        }
        let dry = try run("--dry-run")
        #expect(dry.status == 0 && dry.lines.count == 4, "\(dry.errors)")
        let made = try run("--reject", "copies")
        #expect(made.status == 0, "\(made.errors)")
        for line in try lines(folder / "new") {
            #expect((line["parents"] as? [Any])?.isEmpty == true)
            #expect((line["judgement"] as? [String: Any])?["nearest"] is Double)
        }
        let none = try run("--reject", "broken")
        #expect(none.status == 64 && none.errors.contains("leave DATA out"), "\(none.errors)")
    }

    @Test("an encoding of recordings is refused for images")
    func encoding() throws {
        let folder = try TemporaryFolder()
        let run = try varied(TrainedModels.shapes, to: folder / "new", "--encoding", "float32")
        #expect(run.status == 64 && run.errorLines.count == 1)
        #expect(run.errors.contains("--encoding is of recordings"), "\(run.errors)")
    }
}
