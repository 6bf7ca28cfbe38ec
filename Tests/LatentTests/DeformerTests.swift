import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

/// `--method deform`, from files to files.
@Suite("Deformer") struct DeformerTests {
    private let folder = try! TemporaryFolder()

    init() { _ = Runtime.threadCount }

    /// A model whose deformations are the given numbers for every pair.
    private static func file(
        _ preprocessing: Preprocessing = .whole(height: 16, width: 16), numbers: [Int: Float] = [:]
    ) throws -> (file: ModelFile, model: VAE) {
        let windowing = preprocessing.windowing
        let channels = preprocessing.channelCount
        let model = try VAE(
            .tiny(
                channelCount: channels, height: windowing.height, width: windowing.width,
                likelihood: .bernoulli), device: .cpu, seed: 8)
        var file = try ModelFile.tiny(model, preprocessing)
        let configuration = DeformationConfiguration(
            windowing: windowing, channelCount: channels, stepCount: 1, itemCount: 2)
        let network = try DeformationNetwork(configuration, seed: 1)
        file.record.deformation = configuration
        file.weights.merge(try network.tensors()) { $1 }
        file.weights["deform.decoder.numbers.bias"] = HostTensor(
            shape: [96], values: (0..<96).map { numbers[$0] ?? 0 })
        return (file, model)
    }

    private static func generate(
        _ source: (file: ModelFile, model: VAE), _ parents: [Item], count: Int = 4,
        spread: Double = 1
    ) throws -> [SyntheticItem] {
        var configuration = Augmenter.Configuration(method: .deform, count: count)
        configuration.spread = spread
        var items: [SyntheticItem] = []
        try Augmenter(file: source.file, model: source.model, configuration: configuration)
            .generate(parents: parents, onFailure: { Issue.record("\($0.error)") }) {
                items.append($0)
            }
        return items
    }

    @Test(
        "an image is deformed at its own size and depth, whatever the model reads",
        arguments: [1, 3], [8, 16])
    func ownSize(channelCount: Int, bitDepth: Int) throws {
        var generator = Generator(seed: 5)
        let parents = try (0..<3).map { index in
            let image = Image(
                planar: (0..<channelCount * 40 * 23).map { _ in generator.uniform() },
                channelCount: channelCount, height: 40, width: 23, bitDepth: bitDepth)
            return Item.at(try folder.write(image.pngData(), to: "\(index).png"), label: "a")
        }
        let preprocessing = Preprocessing.whole(height: 16, width: 16, channelCount: channelCount)
        for item in try Self.generate(Self.file(preprocessing), parents) {
            let made = try Image(pngData: item.bytes, path: nil)
            let parent = try Image(contentsOf: item.parents[0].path)
            // Without a deformation it is the parent, to the last step of its depth.
            #expect(made.height == 40 && made.width == 23 && made.bitDepth == bitDepth)
            #expect(made.channelCount == channelCount)
            #expect(
                zip(made.samples, parent.samples).allSatisfy {
                    abs(Int($0) - Int($1)) <= (bitDepth == 16 ? 2 : 0)
                })
            #expect(item.label == "a")
        }
        // A stroke reaches as far as one place of 16: two columns and three rows of the image.
        let thick = try Self.generate(
            Self.file(preprocessing, numbers: [95: 1e6]), parents, count: 1)
        let made = try Image(pngData: thick[0].bytes, path: nil)
        let parent = try Image(contentsOf: thick[0].parents[0].path)
        func largest(_ row: Int, _ column: Int, rows: Int, columns: Int) -> UInt16 {
            (row - rows...row + rows).flatMap { y in
                (column - columns...column + columns).map { x in
                    parent.samples[(y * 23 + x) * channelCount]
                }
            }.max() ?? 0
        }
        let found = Int(made.samples[(20 * 23 + 11) * channelCount])
        #expect(abs(found - Int(largest(20, 11, rows: 3, columns: 1))) <= 2)
    }

    @Test("what is done is multiplied by the spread, and differs from draw to draw")
    func strength() throws {
        let parents = try fixtureItems("images/shapes/disc", .image)
        let file = try Self.file(numbers: [94: -1])
        func brightness(_ bytes: [UInt8]) throws -> Double {
            let samples = try Image(pngData: bytes, path: nil).samples
            return Double(samples.reduce(0) { $0 + Int($1) })
        }
        func factors(_ spread: Double) throws -> [Double] {
            try Self.generate(file, parents, count: 40, spread: spread).map { item in
                try brightness(item.bytes)
                    / brightness(Array(Data(at: item.parents[0].path)))
            }
        }
        let (none, half, full) = (try factors(0), try factors(0.5), try factors(1))
        #expect(none.allSatisfy { $0 == 1 })
        // 1 - 0.3·u with u from 0 to 1.3.
        #expect(full.allSatisfy { (0.60...1.01).contains($0) })
        #expect((full.min() ?? 1) < 0.68 && (full.max() ?? 0) > 0.95)
        for (a, b) in zip(half, full) { #expect(abs((1 - b) - 2 * (1 - a)) < 0.02) }
    }

    @Test("without a deformation a recording is what its own spectrogram and phase give")
    func recording() throws {
        let parents = try fixtureItems("audio/sounds", .audio).prefix(4)
        let view = LogMelView(sampleRate: 8000, melCount: 16)
        // Windows longer and shorter than the recordings.
        for width in [128, 8] {
            let preprocessing = Preprocessing(
                view: .logMel(view),
                windowing: Windowing(mode: .frames, height: 16, width: width, stride: 4))
            for item in try Self.generate(Self.file(preprocessing), Array(parents), count: 2) {
                let parent = try Audio(contentsOf: item.parents[0].path)
                let (samples, _) = try view.signal(of: parent)
                let (map, source) = try view.features(of: parent)
                var generator = Generator(seed: 0)
                let expected = try view.audio(
                    of: map.clamped(), referenceLevel: source.referenceLevel,
                    sampleCount: samples.count, phaseSource: samples, using: &generator)
                let found = try Audio(data: item.bytes, path: nil)
                #expect(found.frameCount == parent.frameCount)
                let error = zip(found.samples, expected.samples).reduce(Float(0)) {
                    max($0, abs($1.0 - $1.1))
                }
                #expect(error < 0.02)
            }
        }
    }

    @Test("a recording that is stretched gets longer, within a window")
    func stretched() throws {
        let parents = try fixtureItems("audio/sounds", .audio).prefix(4)
        let view = LogMelView(sampleRate: 8000, melCount: 16)
        let preprocessing = Preprocessing(
            view: .logMel(view),
            windowing: Windowing(mode: .frames, height: 16, width: 128, stride: 4))
        // Half as far to the next value: up to twice as long, as u goes to 1.3.
        let file = try Self.file(preprocessing, numbers: [0: -0.5 / 0.3 / 1.3])
        var ratios: [Double] = []
        for item in try Self.generate(file, Array(parents), count: 8) {
            let parent = try Audio(contentsOf: item.parents[0].path)
            let found = try Audio(data: item.bytes, path: nil)
            ratios.append(Double(found.frameCount) / Double(parent.frameCount))
        }
        #expect(ratios.allSatisfy { (0.95...2.1).contains($0) })
        #expect((ratios.max() ?? 0) > 1.3)
    }

    @Test("parents are an item, and its class-mate or a pair of any class")
    func schedule() throws {
        let labels = ["a", "b", "a", nil, "c", "b", nil, "a"]
        let items = labels.enumerated().map { Item.at("\($0.offset).png", label: $0.element) }
        let schedule = try ParentSchedule(items, method: .deform, seed: 3)
        var own = 0
        var firsts: [String: Int] = [:]
        var others = Set<String?>()
        for index in 0..<400 {
            let parents = schedule.draw(index).parents
            firsts[parents[0].path, default: 0] += 1
            let pair = Array(parents.suffix(2))
            #expect(pair[0].label == pair[1].label && pair[0].path != pair[1].path)
            if parents.count == 2 { own += 1 } else { others.insert(pair[0].label) }
        }
        // Each is deformed as often as another, c too, which is alone.
        #expect(firsts.count == 8 && firsts.values.allSatisfy { $0 == 50 })
        #expect((130...220).contains(own))
        #expect(others == ["a", "b", nil])
        let alone = try #require(throws: LatentError.self) {
            try ParentSchedule(
                [.at("a.png", label: "a"), .at("b.png", label: "b")], method: .deform, seed: 0)
        }
        #expect(alone.code == .usage && alone.message.contains("--method deform"))
    }

    @Test("a model file gives back what it was given, and says where it does not fit")
    func roundTrip() throws {
        let (file, _) = try Self.file(numbers: [3: 0.5])
        let read = try ModelFile(decoding: file.encoded())
        #expect(read.record.deformation == file.record.deformation)
        let network = try #require(try DeformationNetwork(read))
        #expect(try network.tensors() == file.weights.filter { $0.key.hasPrefix("deform.") })
        let model = try read.model(on: .cpu)
        // Deformations are beside the network.
        #expect(
            read.networkWeightCount
                == model.parameters.entries.reduce(0) { $0 + $1.tensor.count })
        var lacking = file
        lacking.weights["deform.encoder.0.bias"] = nil
        var other = file
        other.record.deformation?.height = 40
        var coloured = file
        coloured.record.deformation?.channelCount = 3
        for broken in [lacking, other, coloured] {
            let error = try #require(throws: LatentError.self) { try DeformationNetwork(broken) }
            #expect(error.code == .model)
        }
    }

    @Test("a model without deformations, and labels that would have to change, are refused")
    func refused() throws {
        let (file, model) = try Self.file()
        var plain = file
        plain.record.deformation = nil
        var assigned = Augmenter.Configuration(method: .deform, count: 1)
        assigned.assignments = ["class": "a"]
        for (file, configuration, text) in [
            (plain, Augmenter.Configuration(method: .deform, count: 1), "no deformations"),
            (file, assigned, "keeps its labels"),
        ] {
            let error = try #require(throws: LatentError.self) {
                try Augmenter(file: file, model: model, configuration: configuration)
            }
            #expect(error.code == .usage && error.message.contains(text))
        }
    }
}

extension FeatureMap {
    /// Values moved into 0…1.
    fileprivate func clamped() -> FeatureMap {
        FeatureMap(
            channelCount: channelCount, height: height, width: width,
            values: values.map { min(max($0, 0), 1) })
    }
}
