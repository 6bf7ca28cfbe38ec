import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Labels for files without")
struct FileLabellerTests {
    /// Images of bars that lie, or stand, on noise.
    private func bars(
        _ count: Int, in folder: TemporaryFolder, as name: String, seed: UInt64
    ) throws -> [Item] {
        var generator = Generator(seed: seed, 0)
        return try ["lying", "standing"].flatMap { label in
            _ = try folder.makeFolder("\(name)/\(label)")
            return try (0..<count).map { index in
                let place = 6 + Int(generator.next() % 20)
                var pixels = (0..<32 * 32).map { _ in 0.2 * generator.uniform() }
                for step in 0..<32 * 4 {
                    let (along, across) = (step / 4, place + step % 4)
                    pixels[label == "lying" ? across * 32 + along : along * 32 + across] += 0.7
                }
                let path = folder / "\(name)/\(label)/\(index).png"
                let image = Image(
                    width: 32, height: 32, channelCount: 1, bitDepth: 16,
                    samples: pixels.map { UInt16($0 * 65535) })
                try FileBytes.write(try image.pngData(), to: path, overwrite: false)
                return Item(path: path, relativePath: "\(index).png", label: label, split: nil)
            }
        }
    }

    @Test(
        "files that look like labelled ones get their class, and how often that is right is known")
    func labels() throws {
        let folder = try TemporaryFolder()
        let real = try bars(6, in: folder, as: "real", seed: 1)
        let others = try bars(8, in: folder, as: "others", seed: 2)
        var configuration = FileLabeller.Configuration()
        configuration.memberCount = 1
        configuration.foldCount = 2
        configuration.stepCount = 25
        var shares: [Double] = []
        let labeller = try FileLabeller(
            real: real, domain: .image, configuration: configuration
        ) { shares.append($0) }
        #expect(labeller.labels == ["lying", "standing"] && labeller.realCount == 12)
        #expect(shares.last == 1 && zip(shares, shares.dropFirst()).allSatisfy { $0 <= $1 })
        var right = 0
        try labeller.label(others) { item, result in
            right += try result.get().label == item.label ? 1 : 0
        }
        #expect(right >= 15)
        let all = labeller.agreement(atLeast: 0)
        #expect(all.sure == 12 && all.count == 12 && all.right >= 10)
        #expect(labeller.agreement(atLeast: 1.1) == (0, 0, 12))
        let sure = labeller.agreement(atLeast: 0.7)
        #expect(sure.right <= sure.sure && sure.sure <= 12)
    }

    @Test(
        "files without classes are learned from as well: as many as allowed, and those that can be read"
    )
    func learnsFromOthers() throws {
        let folder = try TemporaryFolder()
        let real = try bars(3, in: folder, as: "real", seed: 1)
        var others = try bars(8, in: folder, as: "others", seed: 2)
        let broken = folder / "broken.png"
        try Data("no picture".utf8).write(to: URL(fileURLWithPath: broken))
        others.insert(Item(path: broken, relativePath: "broken.png", label: nil, split: nil), at: 3)
        var configuration = FileLabeller.Configuration()
        configuration.memberCount = 1
        configuration.foldCount = 0
        configuration.stepCount = 25
        func probabilities(_ limit: Int, of items: [Item]) throws -> (learned: Int, [Double]) {
            configuration.unlabelledLimit = limit
            let labeller = try FileLabeller(
                real: real, unlabelled: items, domain: .image, configuration: configuration)
            #expect(labeller.agreement(atLeast: 0) == (0, 0, 0))
            var found: [Double] = []
            try labeller.label(real) { found.append(try $1.get().probability) }
            return (labeller.unlabelledCount, found)
        }
        let all = try probabilities(100, of: others)
        let none = try probabilities(100, of: [])
        #expect(all.learned == 16 && none.learned == 0 && all.1 != none.1)
        #expect(try probabilities(100, of: others).1 == all.1)
        // What is among the labelled files, or twice among them, is nothing new.
        #expect(try probabilities(100, of: others + real).learned == 16)
        let twice = try FileLabeller(
            real: real + real.prefix(2), domain: .image, configuration: configuration)
        #expect(twice.realCount == 6)
        var copies: [Bool] = []
        try twice.label(others.filter { $0.path != broken } + real + others.prefix(1)) {
            copies.append(try $1.get().isCopy)
        }
        #expect(copies == [Bool](repeating: false, count: 16) + [Bool](repeating: true, count: 7))
        // Of seventeen, of which one cannot be read.
        #expect((4...5).contains(try probabilities(5, of: others).learned))
    }
}
