import Foundation
import TestSupport
import Testing

@testable import Latent

@Suite("Inputs") struct InputsTests {
    private let folder = try! TemporaryFolder()

    private func touch(_ names: String...) throws {
        for name in names { try folder.write([], to: name) }
    }

    /// Paths below the temporary folder.
    private func walk(_ arguments: String..., domain: Domain? = nil) throws -> [String] {
        try Inputs(arguments.map { folder / $0 }, domain: domain).map {
            String($0.path.dropFirst(folder.path.utf8.count + 1))
        }
    }

    @Test("a folder is walked depth first in the order of bytes")
    func order() throws {
        try touch(
            "d/b.png", "d/a/2.png", "d/a/10.png", "d/B.png", "d/é.png", "d/a.png", "d/c/x.png")
        #expect(
            try walk("d")
                == [
                    "d/B.png", "d/a/10.png", "d/a/2.png", "d/a.png", "d/b.png", "d/c/x.png",
                    "d/é.png",
                ])
    }

    @Test("arguments come in the order given, and a slash at the end changes nothing")
    func argumentOrder() throws {
        try touch("b/1.png", "a/1.png", "z.png")
        #expect(try walk("z.png", "b", "a/") == ["z.png", "b/1.png", "a/1.png"])
    }

    @Test("a folder is read when the walk comes to it")
    func laziness() throws {
        try touch("d/a/1.png", "d/b/1.png", "d/b/3.png")
        var iterator = try Inputs([folder / "d"], domain: nil).makeIterator()
        #expect(iterator.next()?.path == folder / "d/a/1.png")
        try touch("d/b/2.png")
        var rest: [String] = []
        while let item = iterator.next() { rest.append(item.relativePath) }
        #expect(rest == ["b/1.png", "b/2.png", "b/3.png"])
    }

    @Test("a folder that cannot be read is an item, so that it is reported")
    func unreadableFolder() throws {
        try touch("d/a/1.png", "d/b/1.png", "d/c/1.png")
        var iterator = try Inputs([folder / "d"], domain: nil).makeIterator()
        #expect(iterator.next() != nil)
        try FileManager.default.removeItem(atPath: folder / "d/b")
        #expect(iterator.next()?.path == folder / "d/b")
        #expect(iterator.next()?.path == folder / "d/c/1.png")
        #expect(iterator.next() == nil)
    }

    @Test("the folder below the one named is the label, below a split the one after it")
    func labels() throws {
        try touch(
            "d/top.png", "d/cat/1.png", "d/cat/deep/2.png", "d/Test/dog/3.png", "d/val/4.png")
        let items = Array(try Inputs([folder / "d"], domain: .image))
        let found = items.map { "\($0.relativePath) \($0.label ?? "-") \($0.split ?? "-")" }
        #expect(
            found == [
                "Test/dog/3.png dog test", "cat/1.png cat -", "cat/deep/2.png cat -",
                "top.png - -", "val/4.png - val",
            ])
    }

    @Test("of the MVTec layout train and test are read and ground truth is not")
    func mvtec() throws {
        try touch(
            "b/train/good/0.png", "b/test/good/0.png", "b/test/hole/0.png",
            "b/ground_truth/hole/0_mask.png", "plain/ground_truth/0.png")
        let items = Array(try Inputs([folder / "b"], domain: .image))
        #expect(
            items.map(\.relativePath) == ["test/good/0.png", "test/hole/0.png", "train/good/0.png"])
        #expect(items.map(\.label) == ["good", "hole", "good"])
        #expect(items.map(\.split) == ["test", "test", "train"])
        // Without train beside it, it is a class like any other.
        #expect(try walk("plain") == ["plain/ground_truth/0.png"])
    }

    @Test("hidden files are passed over, and files of other kinds are counted")
    func omissions() throws {
        try touch(
            "d/1.png", "d/.hidden.png", "d/.git/2.png", "d/a.JPG", "d/b.jpg", "d/README", "d/s.WAV",
            "d/x/notes.txt")
        let images = try Inputs([folder / "d"], domain: .image)
        #expect(images.map(\.relativePath) == ["1.png"])
        #expect(images.omissions.countByExtension == ["jpg": 2, "": 1, "wav": 1, "txt": 1])
        let note = try #require(images.omissions.note)
        #expect(note.contains("left out 5 files") && note.contains("2 .jpg"))
        let both = try Inputs([folder / "d"], domain: nil)
        #expect(both.map(\.relativePath) == ["1.png", "s.WAV"])
        #expect(both.omissions.countByExtension["wav"] == nil)
    }

    @Test("a file that is named is an item whatever its extension")
    func namedFile() throws {
        try touch("scan.dat", "d/1.png")
        let items = Array(try Inputs([folder / "scan.dat"], domain: .image))
        #expect(items.map(\.relativePath) == ["scan.dat"])
        #expect(items.map(\.label) == [nil])
    }

    @Test("a link to a folder is not followed, so that a loop ends; a link to a file is")
    func links() throws {
        try touch("d/a/1.png")
        let manager = FileManager.default
        try manager.createSymbolicLink(
            atPath: folder / "d/a/loop", withDestinationPath: folder / "d")
        try manager.createSymbolicLink(
            atPath: folder / "d/link.png", withDestinationPath: folder / "d/a/1.png")
        #expect(try walk("d") == ["d/a/1.png", "d/link.png"])
    }

    @Test("a path that does not exist is an error that names it")
    func missing() throws {
        try touch("a.png")
        let error = try #require(throws: LatentError.self) {
            try Inputs([folder / "a.png", folder / "b.png"], domain: nil)
        }
        #expect(error.code == .notFound && error.path == folder / "b.png")
    }

    // MARK: Manifests

    private func items(_ name: String, _ text: String) throws -> [Item] {
        try folder.write(Array(text.utf8), to: name)
        return Array(try Inputs([folder / name], domain: nil))
    }

    @Test("a CSV manifest gives paths below its folder, labels and splits")
    func csv() throws {
        let found = try items("lists/all.csv", "split,path,label\nTrain,a/1.png,cat\n,/x/2.png,\n")
        #expect(found.map(\.path) == [folder / "lists/a/1.png", "/x/2.png"])
        #expect(found.map(\.relativePath) == ["a/1.png", "2.png"])
        #expect(found.map(\.label) == ["cat", nil])
        #expect(found.map(\.split) == ["train", nil])
    }

    @Test("quotes, line ends of Windows, a byte order mark and blank lines are understood")
    func csvFromASpreadsheet() throws {
        let text =
            "\u{FEFF}path,label\r\n\"a, \"\"b\"\".png\",\"x,y\"\r\n\r\nc.png,\"\"\r\nd.png,e\"f"
        let found = try items("m.csv", text)
        #expect(found.map(\.path) == [#"a, "b".png"#, "c.png", "d.png"].map { folder / $0 })
        #expect(found.map(\.label) == ["x,y", nil, #"e"f"#])
    }

    @Test("an NDJSON manifest is read, that of augment with it")
    func ndjson() throws {
        let text = """
            {"path":"a.png","label":"cat","split":"TEST","extra":[1,{"path":"no"}]}
            {"file":"prior/0.png","label":null,"draw":3}
            """
        for name in ["m.ndjson", "m.JSONL"] {
            let found = try items(name, text)
            #expect(found.map(\.path) == [folder / "a.png", folder / "prior/0.png"])
            #expect(found.map(\.label) == ["cat", nil])
            #expect(found.map(\.split) == ["test", nil])
        }
        // What is empty is not there, as in CSV.
        let empty = try items(
            "empty.ndjson", "{\"path\":\"a.png\",\"label\":\"\",\"split\":\"\"}\n{\"path\":\"\"}\n")
        #expect(empty[0].label == nil && empty[0].split == nil)
        #expect(empty[1].path == (folder / "empty.ndjson") + ":2: names no path")
    }

    @Test("a line of a manifest that names no file is an item that cannot be read")
    func badLines() throws {
        let found = try items("m.ndjson", "{\"path\":\"a.png\"}\nnonsense\n{\"label\":\"x\"}\n")
        #expect(found.count == 3)
        #expect(
            found.map { FileManager.default.fileExists(atPath: $0.path) } == [false, false, false])
        #expect(found[1].path == (folder / "m.ndjson") + ":2: is no JSON object")
        #expect(found[2].path == (folder / "m.ndjson") + ":3: names no path")
        let table = try items("m.csv", "label,path\nx,a.png\n\ny,\n")
        #expect(table.last?.path == (folder / "m.csv") + ":4: names no path")
        #expect(try items("header.csv", "path,label\n").isEmpty)
    }

    @Test(
        "what is wrong with a line is said",
        arguments: [
            ("m.ndjson", "[1,2]\n", "1: is no JSON object"),
            ("m.ndjson", "{\"path\":7}\n", "1: its path is no text"),
            (
                "m.ndjson", "{\"path\":\"a.png\",\"label\":{\"a\":1}}\n",
                "1: its label is no text or number"
            ),
            ("m.csv", "path,label\n\"a.png,x\n", "2: a quote is not closed"),
            ("m.csv", "path,path\na.png,b.png\n", "2: there are two columns path"),
            (
                "m.csv", "path,label\na,1.png,x\n",
                "2: has 3 fields, expected 2 as in the first line"
            ),
            ("m.csv", "path,label\na.png\n", "2: has 1 field, expected 2 as in the first line"),
        ])
    func flaws(name: String, text: String, flaw: String) throws {
        #expect(try items(name, text).map(\.path) == [(folder / name) + ":" + flaw])
        #expect(
            try items(
                "whole.ndjson", "{\"path\":\"a.png\",\"label\":3,\"split\":null,\"more\":[1]}\n"
            )
            .map(\.label) == ["3"])
        #expect(
            try items("whole.csv", "label,path\n\"a \"\"b\"\"\",a.png\n").map(\.label) == [
                "a \"b\""
            ])
        #expect(try items("wide.csv", "path,label\na.png,x,,\n").map(\.label) == ["x"])
    }

    @Test("a table whose first line names no path is refused", arguments: ["", "label\nx\n"])
    func noPathColumn(text: String) throws {
        let error = try #require(throws: LatentError.self) { try items("m.csv", text) }
        #expect(error.code == .data && error.path == folder / "m.csv")
    }

    @Test("a manifest longer than the block that is read at once keeps its lines")
    func longManifest() throws {
        let names = (0..<5000).map { "folder \($0 % 13)/file-\($0).png" }
        let found = try items("m.csv", "path\n" + names.map { $0 + "\n" }.joined())
        #expect(found.map(\.relativePath) == names)
    }
}

@Suite("Split") struct SplitTests {
    private static func items(_ words: [UInt64], prefix: String = "") -> [SurveyedItem] {
        words.enumerated().map { index, word in
            SurveyedItem(
                item: .at("\(prefix)\(index)"), contentWord: word, height: 1, width: 1,
                sampleRate: 0, bitDepth: 8, isColoured: false)
        }
    }

    private static func split(_ items: [SurveyedItem], seed: UInt64 = 0) -> Split {
        Split(items, heldOutShare: 0.1, calibrationShare: 0.2, seed: seed)
    }

    private static func words(_ count: Int) -> [UInt64] {
        (0..<UInt64(count)).map { $0 &* 0x9E37_79B9_7F4A_7C15 }
    }

    @Test("the parts have the shares asked for and are disjoint", arguments: [10, 11, 57, 100])
    func sizes(count: Int) {
        let split = Self.split(Self.items(Self.words(count)))
        #expect(split.heldOut.count == Int((Double(count) * 0.1).rounded()))
        #expect(split.calibration.count == Int((Double(count) * 0.2).rounded()))
        let paths = (split.training + split.heldOut + split.calibration).map(\.item.path)
        #expect(paths.count == count && Set(paths).count == count)
    }

    @Test("neither names nor order decide where a file goes")
    func content() {
        let words = Self.words(60)
        let first = Self.split(Self.items(words))
        let second = Self.split(Self.items(words.reversed(), prefix: "other/"))
        for part in [\Split.training, \.heldOut, \.calibration] {
            #expect(
                Set(first[keyPath: part].map(\.contentWord))
                    == Set(second[keyPath: part].map(\.contentWord)))
        }
        // Within a part the order of input is kept.
        let order = first.training.compactMap { Int($0.item.path) }
        #expect(order == order.sorted())
    }

    @Test("equal files stay together but for those on the borders of the parts")
    func duplicates() {
        let words = Self.words(50)
        let split = Self.split(Self.items(words + words + words))
        var parts: [UInt64: Set<Int>] = [:]
        for (index, part) in [split.training, split.heldOut, split.calibration].enumerated() {
            for item in part { parts[item.contentWord, default: []].insert(index) }
        }
        #expect(parts.values.filter { $0.count > 1 }.count <= 2)
    }

    @Test("another seed divides differently")
    func seeds() {
        let items = Self.items(Self.words(100))
        func calibration(_ seed: UInt64) -> [String] {
            Self.split(items, seed: seed).calibration.map(\.item.path)
        }
        #expect(calibration(1) == calibration(1))
        #expect(calibration(1) != calibration(2))
    }

    @Test("shares that ask for more than there is leave nothing to train on, and do not trap")
    func tooLargeShares() {
        for count in [1, 3, 11] {
            let split = Split(
                Self.items(Self.words(count)), heldOutShare: 0.7, calibrationShare: 0.5, seed: 0)
            #expect(split.training.isEmpty)
            #expect(split.heldOut.count + split.calibration.count == count)
        }
    }
}
