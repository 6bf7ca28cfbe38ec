import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

/// `--method deform`, from files to files.
@Suite("Deformed files") struct DeformedFilesTests {
    private let folder = try! TemporaryFolder()

    init() { _ = Runtime.threadCount }

    /// A model whose deformations have these deviations of single numbers.
    private static func file(
        _ preprocessing: Preprocessing = .whole(height: 16, width: 16),
        deviations: [Int: Float] = [:]
    ) throws -> (file: ModelFile, model: VAE) {
        let windowing = preprocessing.windowing
        let channels = preprocessing.channelCount
        let model = try VAE(
            .tiny(
                channelCount: channels, height: windowing.height, width: windowing.width,
                likelihood: .bernoulli), device: .cpu, seed: 8)
        var file = try ModelFile.tiny(model, preprocessing)
        file.record.deformation = DeformationConfiguration(
            windowing: windowing, channelCount: channels, stepCount: 1, itemCount: 2)
        file.weights["deform.factor"] = HostTensor(
            shape: [96, 96],
            values: (0..<96 * 96).map { $0 / 96 == $0 % 96 ? deviations[$0 / 96] ?? 0 : 0 })
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
            Self.file(preprocessing, deviations: [95: 1000]), parents, count: 8)
        // Some get thicker and some thinner, half of the largest value being the mean of all.
        let (item, made) = try #require(
            try thick.map { ($0, try Image(pngData: $0.bytes, path: nil)) }.first { _, image in
                image.samples.reduce(0) { $0 + Int($1) }
                    > image.samples.count * (1 << (bitDepth - 1))
            })
        let parent = try Image(contentsOf: item.parents[0].path)
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
        let file = try Self.file(deviations: [94: 1])
        func brightness(_ bytes: [UInt8]) throws -> Double {
            let samples = try Image(pngData: bytes, path: nil).samples
            return Double(samples.reduce(0) { $0 + Int($1) })
        }
        func factors(_ spread: Double) throws -> [Double] {
            try Self.generate(file, parents, count: 200, spread: spread).map { item in
                try brightness(item.bytes)
                    / brightness(Array(Data(at: item.parents[0].path)))
            }
        }
        let (none, half, full) = (try factors(0), try factors(0.5), try factors(1))
        #expect(none.allSatisfy { $0 == 1 })
        // 1 + 0.3·0.75·n with n from N(0, 1); above 1 what is white cannot get brighter.
        let darker = zip(half, full).filter { $0.1 < 1 && $0.1 > 0.15 }
        #expect((75...125).contains(darker.count))
        for (a, b) in darker { #expect(abs((1 - b) - 2 * (1 - a)) < 0.02) }
        let square = darker.reduce(0) { $0 + ($1.1 - 1) * ($1.1 - 1) } / Double(darker.count)
        #expect((0.19...0.26).contains(square.squareRoot()))
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
        // From value to value as far as 1 + 0.2·n.
        let deviation: Float = 0.2 / 0.3 / 0.75
        let file = try Self.file(preprocessing, deviations: [0: deviation])
        let deformations = try #require(try DeformationDistribution(file.file))
        for item in try Self.generate(file, Array(parents), count: 24) {
            let parent = try Audio(contentsOf: item.parents[0].path)
            let found = try Audio(data: item.bytes, path: nil)
            var generator = Generator(
                seed: 0, Stream.augmentation.rawValue, UInt64(item.drawIndex))
            let number = deformations.draw(spread: 1, using: &generator).numbers[0]
            let ratio = 1 / Double(1 + 0.3 * number)
            // No longer than a window of 128 frames of 64 samples.
            let expected = min(ratio * Double(parent.frameCount), 128 * 64)
            #expect(abs(Double(found.frameCount) - expected) < 0.1 * expected + 256)
        }
    }

    @Test("each item is deformed as often as another, and needs no class-mate")
    func schedule() throws {
        let labels = ["a", "b", "a", nil, "c", "b", nil, "a"]
        let items = labels.enumerated().map { Item.at("\($0.offset).png", label: $0.element) }
        let schedule = try ParentSchedule(items, method: .deform, seed: 3)
        let parents = (0..<400).map { schedule.draw($0).parents }
        #expect(parents.allSatisfy { $0.count == 1 })
        let counts = Dictionary(grouping: parents) { $0[0].path }.mapValues(\.count)
        #expect(counts.count == 8 && counts.values.allSatisfy { $0 == 50 })
        #expect(
            try ParentSchedule([.at("a.png", label: "a")], method: .deform, seed: 0).order == [0])
    }

    @Test("deformations spread as they were seen, half of what goes together left out")
    func moments() throws {
        let configuration = DeformationTests.configuration(1, 8, 8)
        // Numbers 0 and 1 are opposite, 2 is 1 or -1 by itself, the others are none.
        let rows: [[Float]] = [[2, -2, 1], [-2, 2, 1], [2, -2, -1], [-2, 2, -1]]
        let numbers = try Tensor(
            rows.flatMap { $0 + [Float](repeating: 0, count: 93) }, shape: [4, 96])
        let distribution = try #require(
            try DeformationDistribution(configuration, numbers: numbers))
        func covariance(_ a: Int, _ b: Int) -> Float {
            (0..<96).reduce(0) {
                $0 + distribution.factor[a * 96 + $1] * distribution.factor[b * 96 + $1]
            }
        }
        for (a, b, expected) in [
            (0, 0, 4), (1, 1, 4), (0, 1, -2), (2, 2, 1), (0, 2, 0), (3, 3, 0), (2, 95, 0),
        ] as [(Int, Int, Float)] {
            #expect(abs(covariance(a, b) - expected) < 1e-5)
        }
        // Draws are three quarters as strong: variances 4, 4 and 1 times 9/16.
        var generator = Generator(seed: 1)
        let draws = (0..<20_000).map { _ in
            distribution.draw(spread: 1, using: &generator).numbers
        }
        for (a, b, expected) in [(0, 0, 2.25), (1, 1, 2.25), (0, 1, -1.125), (2, 2, 0.5625)]
            as [(Int, Int, Float)]
        {
            let found = draws.reduce(0) { $0 + $1[a] * $1[b] } / Float(draws.count)
            // Five standard errors of a variance at most.
            #expect(abs(found - expected) < 5 * 2.25 * (2.0 / 20_000).squareRoot())
        }
        for number in [Float.nan, 1e4, 1e30] {
            let broken = try Tensor([Float](repeating: number, count: 96), shape: [1, 96])
            #expect(try DeformationDistribution(configuration, numbers: broken) == nil)
        }
    }

    @Test("a model file gives back what it was given, and says where it does not fit")
    func roundTrip() throws {
        let (file, _) = try Self.file(deviations: [3: 0.5])
        let read = try ModelFile(decoding: file.encoded())
        #expect(read.record.deformation == file.record.deformation)
        let deformations = try #require(try DeformationDistribution(read))
        #expect(deformations.tensors() == file.weights.filter { $0.key.hasPrefix("deform.") })
        let model = try read.model(on: .cpu)
        // Deformations are beside the network.
        #expect(
            read.networkWeightCount
                == model.parameters.entries.reduce(0) { $0 + $1.tensor.count })
        var lacking = file
        lacking.weights["deform.factor"] = nil
        var smaller = file
        smaller.weights["deform.factor"] = HostTensor(shape: [1, 1], values: [1])
        var infinite = file
        infinite.weights["deform.factor"] = HostTensor(
            shape: [96, 96], values: [Float](repeating: .infinity, count: 96 * 96))
        // So far that places are no whole numbers.
        let (huge, _) = try Self.file(deviations: [2: 1e30])
        // Numbers that no draw would read.
        var square = file
        square.weights["deform.factor"] = HostTensor(
            shape: [96, 96], values: (0..<96 * 96).map { $0 == 95 ? 1 : 0 })
        var coloured = file
        coloured.record.deformation?.channelCount = 3
        for broken in [lacking, smaller, infinite, huge, square, coloured] {
            let error = try #require(throws: LatentError.self) {
                try DeformationDistribution(broken)
            }
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
