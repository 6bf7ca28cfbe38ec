import Foundation
import Glibc
import TestSupport
import Testing
import Torch

@testable import Latent

/// Windows that do not fit in memory, on the disk.
@Suite("WindowStore") struct WindowStoreTests {
    private let folder: TemporaryFolder
    private let items: [SurveyedItem]
    private var caches: String { folder / "caches" }
    private var place: String { caches + "/latent/windows" }

    /// Seventeen images of 16 × 16 to 28 × 24: maps of 1 to 3 kB.
    init() throws {
        folder = try TemporaryFolder()
        for index in 0..<17 {
            try folder.writeImage(
                "data/\(index).png", height: 16 + index % 4 * 4, width: 16 + index % 3 * 4)
        }
        let inputs = try Inputs([folder / "data"], domain: .image)
        items = Survey(of: inputs, domain: .image, threadCount: 2) { _, _ in }.items
        try #require(items.count == 17)
    }

    private func store(
        _ preprocessing: Preprocessing = .grid(), limit: Int = 1 << 30
    ) -> WindowStore {
        let store = WindowStore(
            items, preprocessing: preprocessing, in: caches, byteLimit: limit)
        store.refresh()
        return store
    }

    private func decoded(
        _ item: SurveyedItem, _ preprocessing: Preprocessing = .grid()
    ) throws -> FeatureMap {
        try preprocessing.windows(item.item.path).map
    }

    /// Keeps all items that there is room for.
    private func fill(_ store: WindowStore) throws {
        for item in items { store.keep(try decoded(item), of: item) }
    }

    private func hits(_ store: WindowStore) throws -> Int {
        var count = 0
        for item in items {
            guard let map = store.map(of: item) else { continue }
            // What is found is never anything else.
            #expect(try map == decoded(item))
            count += 1
        }
        return count
    }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: place).sorted()
    }

    private func onlyFile() throws -> String {
        let names = try names()
        try #require(names.count == 1)
        return "\(place)/\(names[0])"
    }

    @Test("what one process keeps, it and a later one find, each value the same")
    func keptAndFound() throws {
        let first = store()
        #expect(try hits(first) == 0)
        try fill(first)
        #expect(try hits(first) == 17)
        let second = store()
        #expect(try hits(second) == 17)
        // Nothing is written twice.
        let before = try Data(at: onlyFile())
        try fill(second)
        #expect(try Data(at: onlyFile()) == before)
        #expect(first.takeProblem() == nil && second.takeProblem() == nil)
    }

    @Test("other data of the same content hit: in another order, under other names, among more")
    func otherData() throws {
        try fill(store())
        let moved = items.reversed().map { item in
            SurveyedItem(
                item: .at("elsewhere/" + item.item.path), contentWord: item.contentWord,
                height: item.height, width: item.width, sampleRate: 0, bitDepth: 8,
                isColoured: false)
        }
        let fresh = SurveyedItem(
            item: .at("new.png"), contentWord: 1, height: 16, width: 16, sampleRate: 0,
            bitDepth: 8, isColoured: false)
        let grown = WindowStore(
            moved + [fresh], preprocessing: .grid(), in: caches, byteLimit: 1 << 30)
        grown.refresh()
        for (item, own) in zip(items.reversed(), moved) {
            #expect(try grown.map(of: own) == decoded(item))
        }
        #expect(grown.map(of: fresh) == nil)
    }

    @Test("other preprocessing finds nothing, and has a file of its own")
    func otherPreprocessing() throws {
        try fill(store())
        // The same maps: it is the key that tells them apart, not the shape.
        let other = store(.grid(stride: 5))
        #expect(items.allSatisfy { other.map(of: $0) == nil })
        try fill(other)
        #expect(try names().count == 2)
        #expect(try hits(store(.grid(stride: 5))) == 17 && hits(store()) == 17)
    }

    @Test("two at once find what the other has written once they look again")
    func twoAtOnce() throws {
        let (first, second) = (store(), store())
        for item in items.prefix(9) { first.keep(try decoded(item), of: item) }
        for item in items.dropFirst(5) { second.keep(try decoded(item), of: item) }
        #expect(try hits(first) == 9 && hits(second) == 12)
        first.refresh()
        second.refresh()
        #expect(try hits(first) == 17 && hits(second) == 17 && names().count == 2)
        // What the first adds later is found too.
        let third = store(.grid(stride: 5))
        let late = store(.grid(stride: 5))
        third.keep(try decoded(items[0]), of: items[0])
        late.refresh()
        third.keep(try decoded(items[1]), of: items[1])
        late.refresh()
        #expect(late.map(of: items[0]) != nil && late.map(of: items[1]) != nil)
    }

    @Test("threads that keep and read at the same time get what decoding gives")
    func threads() async throws {
        let store = store()
        let items = items
        let maps = try items.map { try decoded($0) }
        await withTaskGroup(of: Void.self) { group in
            for start in 0..<8 {
                group.addTask {
                    for step in 0..<170 {
                        let index = (start * 5 + step) % 17
                        if let found = store.map(of: items[index]) {
                            #expect(found == maps[index])
                        } else {
                            store.keep(maps[index], of: items[index])
                        }
                    }
                }
            }
        }
        #expect(try hits(store) == 17 && hits(self.store()) == 17)
    }

    @Test(
        "any byte that is changed is a miss or does not matter, and is written anew",
        arguments: [3, 20, 50, 64, 70, 72, 76, 340, 400, 1500, 20_000])
    func damage(place offset: Int) throws {
        try fill(store())
        let path = try onlyFile()
        var bytes = [UInt8](try Data(at: path))
        try #require(offset < bytes.count)
        bytes[offset] ^= 0x40
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let damaged = store()
        let found = try hits(damaged)
        // The head is of all items, entry and record of one.
        #expect(offset < 48 ? found == 0 : found >= 16)
        try fill(damaged)
        #expect(try hits(damaged) == 17)
        // The next one meets the whole records first.
        #expect(try hits(store()) == 17)
    }

    @Test("a file that is cut anywhere, also while it is read, gives what is left of it")
    func truncated() throws {
        let first = store()
        try fill(first)
        let path = try onlyFile()
        let whole = try Data(at: path).count
        var last = 17
        for length in stride(from: whole - 1, to: 0, by: -977) {
            #expect(truncate(path, length) == 0)
            let found = try hits(store())
            #expect(found <= last)
            last = found
        }
        #expect(last == 0)
        #expect(try hits(first) == 0)
    }

    @Test("sizes and places in a file are not believed")
    func lies() throws {
        try fill(store())
        let path = try onlyFile()
        let bytes = [UInt8](try Data(at: path))
        for (offset, value) in [
            (48, UInt64.max), (48, 1 << 40), (48, 0), (72, .max), (72, 1 << 62), (72, 1),
        ] {
            var lying = bytes
            lying.replaceSubrange(
                offset..<offset + 8, with: withUnsafeBytes(of: value.littleEndian) { Array($0) })
            try Data(lying).write(to: URL(fileURLWithPath: path))
            #expect(try hits(store()) == (offset == 48 && value == 0 ? 0 : offset == 48 ? 17 : 16))
        }
    }

    @Test("what cannot be written is read, and that is said once")
    func unwritable() throws {
        let first = store()
        for item in items.prefix(4) { first.keep(try decoded(item), of: item) }
        let full = store(limit: 1)
        #expect(try hits(full) == 4)
        try fill(full)
        #expect(try hits(full) == 4 && names().count == 1)
        let problem = try #require(full.takeProblem())
        #expect(problem.contains(place) && problem.contains("limit"))
        #expect(full.takeProblem() == nil)
        // Nor where no file can be made.
        let lost = store(.grid(stride: 5))
        try FileManager.default.removeItem(atPath: caches)
        try fill(lost)
        #expect(try hits(lost) == 0)
        #expect(try #require(lost.takeProblem()).contains("No such file"))
    }

    @Test(
        "a folder that is none, a link, or open to others is not used, and that is said",
        arguments: ["file", "link", "open", "base"])
    func odd(how: String) throws {
        let manager = FileManager.default
        try manager.createDirectory(
            atPath: folder / "elsewhere", withIntermediateDirectories: true)
        switch how {
        case "file": try folder.write([1], to: "caches/latent")
        case "base": try folder.write([1], to: "caches")
        case "link":
            try manager.createDirectory(atPath: caches, withIntermediateDirectories: true)
            try manager.createSymbolicLink(
                atPath: caches + "/latent", withDestinationPath: folder / "elsewhere")
        default:
            try manager.createDirectory(atPath: place, withIntermediateDirectories: true)
            #expect(chmod(place, 0o777) == 0)
        }
        let store = store()
        try fill(store)
        #expect(try hits(store) == 0)
        #expect(try #require(store.takeProblem()).contains(caches))
        #expect(try manager.contentsOfDirectory(atPath: folder / "elsewhere").isEmpty)
        if how == "open" { #expect(try names().isEmpty) }
    }

    @Test("folders and files are the user's alone, and links among the files are not followed")
    func privacy() throws {
        try fill(store())
        func permissions(_ path: String) throws -> Int {
            let found = try FileManager.default.attributesOfItem(atPath: path)
            return try #require(found[.posixPermissions] as? Int)
        }
        for path in [caches, caches + "/latent", place] {
            #expect(try permissions(path) == 0o700)
        }
        let path = try onlyFile()
        #expect(try permissions(path) == 0o600)
        #expect(rename(path, folder / "moved") == 0)
        try FileManager.default.createSymbolicLink(
            atPath: path, withDestinationPath: folder / "moved")
        #expect(try hits(store()) == 0)
        // Put back, it is found again.
        #expect(unlink(path) == 0 && rename(folder / "moved", path) == 0)
        #expect(try hits(store()) == 17)
    }

    @Test("a folder that is deleted during a run is let go of, and training does without")
    func deleted() throws {
        let store = store()
        try fill(store)
        try FileManager.default.removeItem(atPath: caches)
        #expect(try hits(store) == 17)
        store.refresh()
        #expect(try hits(store) == 0)
        try fill(store)
        #expect(try hits(store) == 0)
        #expect(!FileManager.default.fileExists(atPath: caches))
        #expect(try hits(self.store()) == 0)
    }

    @Test("the folder stays within its limit: what was not used for the longest time goes first")
    func limit() throws {
        let strides = [4, 5, 6]
        for stride in strides {
            try fill(store(.grid(stride: stride)))
            usleep(20_000)
        }
        let sizes = try names().map { try Data(at: "\(place)/\($0)").count }
        try #require(sizes.count == 3 && Set(sizes).count == 1)
        // The first is used again; it is the second that goes.
        #expect(try hits(store(.grid(stride: 4))) == 17)
        let limit = sizes[0] * 3 + 100
        try fill(store(.grid(stride: 7), limit: limit))
        #expect(try names().count == 3)
        #expect(
            try strides.map { try hits(store(.grid(stride: $0))) } == [17, 0, 17])
        #expect(try hits(store(.grid(stride: 7))) == 17)
        // Not what somebody reads or writes: then what is new is left out.
        let readers = [4, 6, 7].map { store(.grid(stride: $0)) }
        let late = store(.grid(stride: 8), limit: limit)
        try fill(late)
        #expect(try hits(late) == 0 && names().count == 3)
        #expect(late.takeProblem() != nil)
        for reader in readers { #expect(try hits(reader) == 17) }
    }

    @Test("no more is written than there is room for, to the byte")
    func bound() throws {
        let whole = try items.reduce(64 + 17 * 16) { try $0 + 64 + 4 * decoded($1).values.count }
        for limit in [0, 300, 2_000, 9_000, whole - 1, whole] {
            let store = store(.grid(stride: limit + 100), limit: limit)
            try fill(store)
            let sizes = try names().map { try Data(at: "\(place)/\($0)").count }
            #expect(sizes.reduce(0, +) <= limit)
            #expect(try (hits(store) == 17) == (limit == whole))
            try FileManager.default.removeItem(atPath: caches)
        }
    }
}

extension WindowStoreTests {
    private func source(
        _ preprocessing: Preprocessing, memory: Int, threads: Int = 2
    ) throws -> WindowSource {
        var policy = CachePolicy()
        policy.memoryByteLimit = memory
        policy.folder = caches
        return try WindowSource(
            items, preprocessing: preprocessing, threadCount: threads, cache: policy,
            poolByteLimit: 4_000)
    }

    private func batches(_ source: WindowSource, seed: UInt64) throws -> [[Float]] {
        let pass = source.batches(shuffledBy: Generator(seed: seed), batchSize: 5)
        var batches: [[Float]] = []
        while let batch = try pass.next() { batches.append(batch.values) }
        return batches
    }

    @Test("the key is the same each time it is asked for")
    func key() throws {
        for item in items { store().keep(try decoded(item), of: item) }
        let keys = try names().map { $0.prefix(32) }
        #expect(keys.count == 17 && Set(keys).count == 1)
    }

    @Test("data that fit in memory leave nothing on the disk")
    func noTrace() throws {
        let size = try items.reduce(0) { try $0 + 4 * decoded($1).values.count }
        _ = try batches(source(.grid(), memory: size), seed: 1)
        #expect(!FileManager.default.fileExists(atPath: caches))
        _ = try batches(source(.grid(), memory: size - 1), seed: 1)
        #expect(FileManager.default.fileExists(atPath: caches))
    }

    @Test(
        "a source gives the same batches whatever is kept, and reads no file twice",
        arguments: [
            Preprocessing.grid(), .whole(),
            Preprocessing(
                view: .pixels(PixelView(channelCount: 3)),
                transform: ViewTransform(named: "gradients"),
                windowing: Windowing(mode: .grid, height: 2, width: 2, stride: 1)),
        ])
    func sources(preprocessing: Preprocessing) throws {
        let expected = try (0..<3).map { seed in
            try batches(
                WindowSource(
                    items, preprocessing: preprocessing, threadCount: 1, poolByteLimit: 4_000),
                seed: seed)
        }
        let first = try source(preprocessing, memory: 1_000)
        #expect(try batches(first, seed: 0) == expected[0])
        for item in items { try FileManager.default.removeItem(atPath: item.item.path) }
        #expect(try batches(first, seed: 1) == expected[1])
        // The next run has what was in memory too.
        let second = try source(preprocessing, memory: 1_000, threads: 3)
        #expect(try batches(second, seed: 2) == expected[2])
        #expect(first.takeCacheProblem() == nil && second.takeCacheProblem() == nil)
    }

    @Test(
        "the shape of a map follows from the size of its file",
        arguments: [
            Preprocessing.grid(), .whole(height: 7, width: 9),
            Preprocessing(
                view: .pixels(PixelView(channelCount: 3)),
                transform: ViewTransform(named: "smooth"),
                windowing: Windowing(mode: .grid, height: 5, width: 5, stride: 2)),
            Preprocessing(
                view: .pixels(PixelView(channelCount: 1)),
                transform: ViewTransform(named: "gradients"),
                windowing: Windowing(mode: .whole, height: 5, width: 6, stride: 2)),
            Preprocessing(
                view: .pixels(PixelView(channelCount: 3)),
                transform: ViewTransform(named: "contrast"),
                windowing: Windowing(mode: .grid, height: 3, width: 3, stride: 2)),
        ])
    func imageShapes(preprocessing: Preprocessing) throws {
        try folder.writeImage("odd/a.png", height: 21, width: 33)
        let survey = Survey(
            of: [Item.at(folder / "odd/a.png")], domain: .image, threadCount: 1
        ) { _, _ in }
        for item in items + survey.items {
            #expect(try decoded(item, preprocessing).shape == preprocessing.mapShape(of: item))
        }
    }

    @Test("the shape of a spectrogram too", arguments: [8_000, 11_025])
    func soundShapes(rate: Int) throws {
        let sounds = try fixtureItems("audio/sounds", .audio)
        let survey = Survey(of: sounds, domain: .audio, threadCount: 1) { _, _ in }
        try #require(!survey.items.isEmpty)
        for transform in [nil, "smooth", "gradients"] {
            let preprocessing = Preprocessing(
                view: .logMel(LogMelView(sampleRate: rate, melCount: 16)),
                transform: transform.flatMap { ViewTransform(named: $0) },
                windowing: Windowing(mode: .frames, height: 8, width: 8, stride: 4))
            for item in survey.items.prefix(6) {
                #expect(try decoded(item, preprocessing).shape == preprocessing.mapShape(of: item))
            }
        }
    }
}

extension WindowStoreTests {
    /// Trains on forty discs, whose windows of 256 bytes a view do not fit in 2,000; with `cached`
    /// on the disk.
    private func train(
        _ purpose: TrainingRequest.Purpose, as name: String, cached: Bool, epochs: Int = 3,
        readers: Int = 2, stops: Int = .max, resumes: Bool = false
    ) throws -> Data {
        var request = TrainingRequest()
        request.purpose = purpose
        request.architecture = .mlp
        request.widths = [16]
        request.latentCount = 3
        request.windowSize = (height: 8, width: 8)
        request.epochCount = epochs
        request.batchSize = 8
        request.drawCount = 2
        request.patience = 0
        if purpose == .detection {
            request.viewNames = ["pixels", "gradients"]
            request.memberCount = 2
        } else {
            request.deformationStepCount = 2
            request.balance = .resample
        }
        var environment = TrainingRun.Environment(output: folder / name)
        environment.cache.memoryByteLimit = 2_000
        environment.cache.folder = cached ? caches : nil
        environment.readerCount = readers
        environment.resumes = resumes
        var steps = 0
        environment.shouldStop = { steps >= stops }
        var warnings: [String] = []
        _ = try TrainingRun(request, environment: environment) { event in
            if case .training(.step) = event { steps += 1 }
            if case .training(.warning(let text)) = event { warnings.append(text) }
        }(fixtureItems("images/shapes/disc", .image), domain: .image)
        #expect(!warnings.contains { $0.contains(caches) })
        return try Data(at: folder / name)
    }

    /// The files with their sizes.
    private func content() throws -> [String: Int] {
        var content: [String: Int] = [:]
        for name in try names() { content[name] = try Data(at: "\(place)/\(name)").count }
        return content
    }

    @Test(
        "a model has the same bytes without, with, and from what an earlier run has kept",
        arguments: [TrainingRequest.Purpose.augmentation, .detection])
    func training(purpose: TrainingRequest.Purpose) throws {
        let expected = try train(purpose, as: "without", cached: false)
        #expect(!FileManager.default.fileExists(atPath: caches))
        #expect(throws: LatentError.self) {
            try train(purpose, as: "resumed", cached: true, stops: 6)
        }
        #expect(try train(purpose, as: "resumed", cached: true, resumes: true) == expected)
        let kept = try content()
        // One for what is fitted to and one for what is held out, of each view and each of the two runs.
        #expect((1...8).contains(kept.count))
        // A run that decoded anything would have a file of its own.
        #expect(try train(purpose, as: "again", cached: true, readers: 5) == expected)
        #expect(try content() == kept)
        for name in kept.keys { #expect(truncate("\(place)/\(name)", 1_500) == 0) }
        #expect(try train(purpose, as: "damaged", cached: true) == expected)
        #expect(try content().count > kept.count)
    }

    @Test("what is read once is not kept")
    func oneEpoch() throws {
        _ = try train(.augmentation, as: "m", cached: true, epochs: 1)
        #expect(!FileManager.default.fileExists(atPath: caches))
    }

    @Test("the folder is that of the user's caches")
    func userFolder() {
        func folder(_ environment: [String: String]) -> String? {
            CachePolicy.folder(ofUser: environment)
        }
        #expect(folder(["XDG_CACHE_HOME": "/big", "HOME": "/mine"]) == "/big")
        // A relative path is to be ignored, as is an empty one.
        for value in ["", "big"] {
            #expect(folder(["XDG_CACHE_HOME": value, "HOME": "/mine"]) == "/mine/.cache")
        }
        #expect(folder([:]) == nil && folder(["HOME": ""]) == nil)
    }
}
