import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("WindowSource") struct WindowSourceTests {
    /// One batch, comparable.
    private struct Batch: Equatable {
        let values: [Float]
        let keys: [[UInt64]]

        init(_ batch: WindowBatch) {
            values = batch.values
            keys = batch.keys.map { [$0.contentWord, UInt64($0.window)] }
        }
    }

    private let folder: TemporaryFolder
    private let items: [SurveyedItem]

    init() throws {
        folder = try TemporaryFolder()
        for index in 0..<17 {
            // One to nine windows of 8 × 8 at a stride of 4.
            try folder.writeImage(
                "\(index).png", height: 5 + index % 4 * 4, width: 8 + index % 3 * 4)
        }
        let inputs = try Inputs([folder.path], domain: .image)
        items = Survey(of: inputs, domain: .image, threadCount: 2) { _, _ in }.items
        try #require(items.count == 17)
    }

    private func source(
        threads: Int = 2, cache: Int = 1 << 20, pool: Int = 1 << 20
    ) throws -> WindowSource {
        var policy = CachePolicy()
        policy.memoryByteLimit = cache
        return try WindowSource(
            items, preprocessing: .grid(), threadCount: threads, cache: policy,
            poolByteLimit: pool)
    }

    private func batches(
        _ source: WindowSource, _ generator: Generator?, size: Int = 5, skipping: Int = 0
    ) throws -> [Batch] {
        let pass = source.batches(shuffledBy: generator, batchSize: size, skipping: skipping)
        var batches: [Batch] = []
        while let batch = try pass.next() {
            #expect(batch.count == batch.keys.count && batch.values.count == batch.count * 64)
            batches.append(Batch(batch))
        }
        #expect(batches.count == max(0, pass.batchCount - skipping))
        return batches
    }

    @Test(
        "a pass has every window once, with its own values",
        arguments: [1, 5, 1000], [256, 2000, 1 << 20])
    func everyWindow(batchSize: Int, pool: Int) throws {
        var expected: [[UInt64]: [Float]] = [:]
        for item in items {
            let windows = try Preprocessing.grid().windows(item.item.path)
            for window in 0..<windows.count {
                expected[[item.contentWord, UInt64(window)]] = windows.values(
                    window..<window + 1)
            }
        }
        let source = try source(pool: pool)
        #expect(source.windowCount == expected.count)
        for generator in [nil, Generator(seed: 1)] {
            let found = try batches(source, generator, size: batchSize)
            #expect(found.reduce(0) { $0 + $1.keys.count } == expected.count)
            var seen: [[UInt64]: [Float]] = [:]
            for batch in found {
                for (index, key) in batch.keys.enumerated() {
                    seen[key] = Array(batch.values[index * 64..<(index + 1) * 64])
                }
            }
            #expect(seen == expected)
        }
    }

    @Test("a batch holds as many windows as asked for, but for the last of a pool")
    func batchSizes() throws {
        let sizes = try batches(source(), Generator(seed: 1), size: 8).map(\.keys.count)
        #expect(sizes.dropLast().allSatisfy { $0 == 8 })
        #expect(try sizes.last == (source().windowCount - 1) % 8 + 1)
        // Pools take whole items until they hold a batch: every one begins with a full one.
        let small = try batches(source(pool: 1), Generator(seed: 1), size: 8).map(\.keys.count)
        #expect(small.allSatisfy { (1...8).contains($0) } && small.count > sizes.count)
    }

    @Test("without a generator the order is that of the items")
    func plainOrder() throws {
        let source = try source(pool: 256)
        let keys = try batches(source, nil).flatMap(\.keys)
        let expected = items.flatMap { item in
            (0..<source.windowCount(item)).map { [item.contentWord, UInt64($0)] }
        }
        #expect(keys == expected)
    }

    @Test(
        "a sample has windows of equal distance in the order of the items",
        arguments: [1, 4, 9, 30])
    func sample(limit: Int) throws {
        let source = try source()
        let total = source.windowCount
        var places: [Int] = []
        var place = 0
        for index in items.indices {
            for _ in 0..<source.windowCount(items[index]) {
                // The first of each of so many equal parts.
                if places.count * total <= place * limit, places.count < limit {
                    places.append(place)
                }
                place += 1
            }
        }
        let whole = try source.sample(limit: .max).flatMap { $0 }
        #expect(whole.count == total && total > 30)
        let found = try source.sample(limit: limit).flatMap { $0 }
        #expect(found.count == limit)
        #expect(found.map(\.item) == places.map { whole[$0].item })
        #expect(found.map(\.values) == places.map { whole[$0].values })
    }

    @Test("items that are not of a sample are not read")
    func sampleReadsLittle() throws {
        let source = try source()
        let sampled = Set(try source.sample(limit: 3).joined().map(\.item))
        let fresh = try self.source()
        for (index, item) in items.enumerated() where !sampled.contains(index) {
            try FileManager.default.removeItem(atPath: item.item.path)
        }
        #expect(try Set(fresh.sample(limit: 3).joined().map(\.item)) == sampled)
        #expect(throws: LatentError.self) { try fresh.sample(limit: .max) }
    }

    @Test("skipping k batches gives the rest of the same pass", arguments: [256, 2000, 1 << 20])
    func skipping(pool: Int) throws {
        let source = try source(pool: pool)
        let all = try batches(source, Generator(seed: 4))
        for count in 0...all.count {
            let rest = try batches(source, Generator(seed: 4), skipping: count)
            #expect(rest == Array(all.dropFirst(count)), "\(count) skipped")
        }
    }

    @Test("the order depends on the generator and on nothing else")
    func order() throws {
        let expected = try batches(source(), Generator(seed: 8))
        #expect(try batches(source(threads: 5), Generator(seed: 8)) == expected)
        #expect(try batches(source(threads: 1, cache: 0), Generator(seed: 8)) == expected)
        let cached = try source(cache: 900)
        #expect(try batches(cached, Generator(seed: 8)) == expected)
        #expect(try batches(cached, Generator(seed: 8)) == expected)
        #expect(try batches(source(), Generator(seed: 9)) != expected)
    }

    @Test("shuffling mixes the windows of different items")
    func shuffled() throws {
        let keys = try batches(source(), Generator(seed: 2)).flatMap(\.keys)
        let runs = zip(keys, keys.dropFirst()).filter { $0[0] == $1[0] }.count
        // A full shuffle leaves few windows beside one of their own item; the plain order, most.
        #expect(runs < keys.count / 3)
    }

    @Test(
        "a file that changed since the survey is an error that names it",
        arguments: ["changed", "broken", "gone"])
    func changedFile(how: String) throws {
        let path = folder / "3.png"
        switch how {
        case "changed":
            // Another image of the same size.
            try Data(contentsOf: URL(fileURLWithPath: folder / "15.png"))
                .write(to: URL(fileURLWithPath: path))
        case "broken": try folder.write([1, 2, 3], to: "3.png")
        default: try FileManager.default.removeItem(atPath: path)
        }
        let error = try #require(throws: LatentError.self) {
            try batches(source(), Generator(seed: 1))
        }
        #expect(error.code == .data && error.path == path)
    }
}
