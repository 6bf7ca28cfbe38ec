import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("ParentSchedule") struct ParentScheduleTests {
    private static func items(_ labels: String?...) -> [Item] {
        labels.enumerated().map { .at("\($0.offset).png", label: $0.element) }
    }

    @Test("every parent comes once before one comes again")
    func rounds() throws {
        let items = Self.items("a", "a", "b", nil, "c")
        let schedule = try ParentSchedule(items, method: .posterior, seed: 3)
        for round in 0..<4 {
            let paths = (0..<5).map { schedule.draw(round * 5 + $0).parents.map(\.path) }
            #expect(paths.allSatisfy { $0.count == 1 })
            #expect(Set(paths.flatMap { $0 }) == Set(items.map(\.path)))
        }
    }

    @Test("the pairs of an interpolation are two items of one class")
    func pairs() throws {
        let items = Self.items("a", "b", "a", nil, "c", "b", nil, "a")
        let schedule = try ParentSchedule(items, method: .interpolate, seed: 3)
        var labels = Set<String?>()
        for index in 0..<200 {
            let parents = schedule.draw(index).parents
            try #require(parents.count == 2)
            #expect(parents[0].label == parents[1].label)
            #expect(parents[0].path != parents[1].path)
            labels.insert(parents[0].label)
        }
        // c has one item only.
        #expect(labels == ["a", "b", nil])
    }

    @Test("the seed and the number of a draw decide it")
    func seeds() throws {
        let items = Self.items("a", "a", "a", "a", "a", "a")
        func parents(_ seed: UInt64) throws -> [[String]] {
            let schedule = try ParentSchedule(items, method: .interpolate, seed: seed)
            return (0..<20).map { schedule.draw($0).parents.map(\.path) }
        }
        #expect(try parents(1) == parents(1))
        #expect(try parents(1) != parents(2))
        let schedule = try ParentSchedule(items, method: .prior, seed: 1)
        var (first, second) = (schedule.draw(0).generator, schedule.draw(1).generator)
        #expect(first.next() != second.next())
        #expect(schedule.draw(7).parents.isEmpty)
    }

    @Test("parents that are missing, or of which no class has two, are a usage error")
    func missing() throws {
        for (items, method, text) in [
            ([], LatentSampling.posterior, "none were named"),
            ([], .interpolate, "none were named"),
            (Self.items("a", "b", nil), .interpolate, "no class has the two"),
        ] as [([Item], LatentSampling, String)] {
            let error = try #require(throws: LatentError.self) {
                try ParentSchedule(items, method: method, seed: 0)
            }
            #expect(error.code == .usage && error.message.contains(text))
        }
        #expect(throws: Never.self) { try ParentSchedule([], method: .prior, seed: 0) }
    }
}

@Suite("Augmenter") struct AugmenterTests {
    init() { _ = Runtime.threadCount }

    /// Images of 32 × 32 as they are, or recordings in frames.
    private static func setUp(
        _ preprocessing: Preprocessing = .whole(height: 32, width: 32), labels: [String] = [],
        objective: ObjectiveKind = .vae
    ) throws -> (file: ModelFile, model: VAE) {
        let windowing = preprocessing.windowing
        var shape = VAEConfiguration.tiny(
            height: windowing.height, width: windowing.width, likelihood: .bernoulli)
        shape.objective = ObjectiveConfiguration(objective)
        shape.objective.componentCount = 3
        let model = try VAE(shape, device: .cpu, seed: 8)
        var file = try ModelFile.tiny(model, preprocessing, labels: labels)
        let mixture = try #require(
            GaussianMixture(
                weights: [0.5, 0.5], means: [1, 0, 0, -1, 0, 0],
                factors: [1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1],
                dimensionCount: 3))
        let groups = LatentDensity.groups(of: file.record)?.combinations.count ?? 1
        // The last of several classes has none.
        let density = LatentDensity(
            mixtures: (0..<groups).map { $0 > 0 && $0 == groups - 1 ? nil : mixture })
        file.weights.merge(density.tensors()) { $1 }
        var flow = FlowConfiguration(
            dimensionCount: 3, stepCount: 1,
            windowCounts: density.mixtures.map { $0 == nil ? 0 : 5 })
        flow.width = 4
        file.record.flow = flow
        file.weights.merge(
            try LatentFlow(
                flow, groups: LatentDensity.groups(of: file.record), location: [1, 0, -1],
                scale: [1, 2, 1], seed: 2
            ).tensors()
        ) { $1 }
        // Deformations that differ from draw to draw.
        file.record.deformation = DeformationConfiguration(
            windowing: windowing, channelCount: 1, stepCount: 1, itemCount: 2)
        file.weights["deform.factor"] = HostTensor(
            shape: [96, 96],
            values: (0..<96 * 96).map { $0 / 96 == $0 % 96 ? 0.3 : 0 })
        return (file, model)
    }

    private static func generate(
        _ method: LatentSampling, count: Int, parents: [Item] = [],
        preprocessing: Preprocessing? = nil,
        labels: [String] = [], seed: UInt64 = 0, spread: Double = 1,
        onFailure: (ItemFailure) -> Void = { Issue.record("\($0.error)") }
    ) throws -> [SyntheticItem] {
        let (file, model) = try setUp(
            preprocessing ?? .whole(height: 32, width: 32), labels: labels,
            objective: method == .vamp ? .vamp : .vae)
        var configuration = Augmenter.Configuration(method: method, count: count)
        configuration.seed = seed
        configuration.spread = spread
        var items: [SyntheticItem] = []
        try Augmenter(file: file, model: model, configuration: configuration).generate(
            parents: parents, onFailure: onFailure
        ) { items.append($0) }
        return items
    }

    private static func shapes() throws -> [Item] { try fixtureItems("images/shapes", .image) }

    @Test(
        "as many images as asked for are made, in the order of their draws",
        arguments: LatentSampling.allCases, [1, 70])
    func count(method: LatentSampling, count: Int) throws {
        let items = try Self.generate(method, count: count, parents: Self.shapes())
        #expect(items.map(\.drawIndex) == Array(0..<count))
        for item in items {
            let image = try Image(pngData: item.bytes, path: nil)
            #expect(image.height == 32 && image.width == 32 && image.channelCount == 1)
            #expect(image.bitDepth == 8)
            #expect(item.parents.count == method.parentCount)
            #expect((item.mix != nil) == (method.parentCount == 2))
        }
        // Draws are new each time.
        #expect(Set(items.map(\.bytes)).count == count)
    }

    @Test(
        "equal seeds give equal bytes, whatever the count; another seed does not",
        arguments: LatentSampling.allCases)
    func seeds(method: LatentSampling) throws {
        let parents = try Self.shapes()
        let first = try Self.generate(method, count: 66, parents: parents).map(\.bytes)
        let second = try Self.generate(method, count: 66, parents: parents).map(\.bytes)
        #expect(first == second)
        let fewer = try Self.generate(method, count: 3, parents: parents)
        for (item, bytes) in zip(fewer, first) {
            let (a, b) = (
                try Image(pngData: item.bytes, path: nil), try Image(pngData: bytes, path: nil)
            )
            // Another batch size may round a value the other way.
            #expect(zip(a.samples, b.samples).allSatisfy { abs(Int($0) - Int($1)) <= 1 })
        }
        let other = try Self.generate(method, count: 3, parents: parents, seed: 1)
        #expect(other.map(\.bytes) != Array(first.prefix(3)))
    }

    @Test("the posterior without spread gives the decoded mean of the parent")
    func noSpread() throws {
        let (_, model) = try Self.setUp()
        for item in try Self.generate(.posterior, count: 5, parents: Self.shapes(), spread: 0) {
            let parent = try Image(contentsOf: item.parents[0].path)
            let x = try model.batch(parent.samples.map { Float($0) / 255 })
            let mean = try model.decode(model.posterior(of: x).mean).mean.floats()
            let image = try Image(pngData: item.bytes, path: nil)
            #expect(
                mismatch(image.samples.map(Float.init), mean.map { $0 * 255 }, absolute: 0.51)
                    == nil)
            #expect(
                item.label
                    == item.parents[0].path.split(separator: "/").dropLast().last.map(String.init))
            let bytes = Array(try Data(at: item.parents[0].path))
            #expect(item.parents[0].hash == ContentHash(of: bytes))
        }
    }

    @Test("interpolation mixes two items of one class at 0.2 to 0.8")
    func interpolation() throws {
        let (_, model) = try Self.setUp()
        for item in try Self.generate(.interpolate, count: 12, parents: Self.shapes()) {
            let mix = try #require(item.mix)
            #expect((0.2...0.8).contains(mix))
            let means = try item.parents.map { parent in
                let codes = try Image(contentsOf: parent.path).samples
                return try model.posterior(
                    of: model.batch(codes.map { Float($0) / 255 })
                ).mean
            }
            let z = try means[0] * (1 - mix) + means[1] * mix
            let mean = try model.decode(z).mean.floats()
            let image = try Image(pngData: item.bytes, path: nil)
            #expect(
                mismatch(image.samples.map(Float.init), mean.map { $0 * 255 }, absolute: 0.51)
                    == nil)
            let classes = item.parents.map { $0.path.split(separator: "/").dropLast().last }
            #expect(classes[0] == classes[1] && item.label == classes[0].map(String.init))
        }
    }

    @Test(
        "between or beyond an item and one of the nearest of its class",
        arguments: [LatentSampling.smote, .extrapolate])
    func neighbours(method: LatentSampling) throws {
        let (_, model) = try Self.setUp()
        let parents = try Self.shapes()
        func mean(_ path: String) throws -> Tensor {
            try model.posterior(
                of: model.batch(try Image(contentsOf: path).samples.map { Float($0) / 255 })
            ).mean
        }
        let means = try Dictionary(
            uniqueKeysWithValues: parents.map { ($0.path, try mean($0.path).floats()) })
        var mixes: Set<Double> = []
        for item in try Self.generate(method, count: 12, parents: parents) {
            let mix = try #require(item.mix)
            mixes.insert(mix)
            #expect(method == .smote ? (0...1).contains(mix) : mix == -0.5)
            let (first, second) = (item.parents[0].path, item.parents[1].path)
            let z = try mean(first) * (1 - mix) + mean(second) * mix
            let decoded = try model.decode(z).mean.floats()
            let image = try Image(pngData: item.bytes, path: nil)
            #expect(
                mismatch(image.samples.map(Float.init), decoded.map { $0 * 255 }, absolute: 0.52)
                    == nil)
            func distance(_ path: String) throws -> Float {
                zip(try #require(means[path]), try #require(means[first]))
                    .reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            }
            let own = try distance(second)
            let nearer = try parents.filter {
                try $0.label == item.label && $0.path != first && distance($0.path) < own
            }
            #expect(nearer.count < (method == .smote ? 5 : 10))
        }
        #expect(mixes.count == (method == .smote ? 12 : 1))
    }

    @Test("drawn from the prior, an item has the label of a model that knows one only")
    func priorLabels() throws {
        #expect(try Self.generate(.prior, count: 1, labels: ["cat"])[0].label == "cat")
        #expect(try Self.generate(.prior, count: 1, labels: ["cat", "dog"])[0].label == nil)
        #expect(try Self.generate(.prior, count: 1)[0].label == nil)
    }

    @Test(
        "drawn from the density or the flow, classes come in turn, as far as there are files of them",
        arguments: [LatentSampling.density, .flow])
    func densityLabels(method: LatentSampling) throws {
        let items = try Self.generate(method, count: 6, labels: ["ant", "bee", "cat"])
        #expect(items.map(\.label) == ["ant", "bee", "ant", "bee", "ant", "bee"])
        #expect(try Self.generate(method, count: 1, labels: ["cat"])[0].label == "cat")
        #expect(try Self.generate(method, count: 1)[0].label == nil)
    }

    @Test("a class may be asked for where there is a density of it")
    func densityOfClass() throws {
        let (file, model) = try Self.setUp(labels: ["ant", "bee", "cat"])
        func generate(_ method: LatentSampling, _ name: String) throws -> [SyntheticItem] {
            var configuration = Augmenter.Configuration(method: method, count: 3)
            configuration.assignments = ["class": name]
            var items: [SyntheticItem] = []
            try Augmenter(file: file, model: model, configuration: configuration).generate(
                parents: [], onFailure: { Issue.record("\($0.error)") }
            ) { items.append($0) }
            return items
        }
        #expect(try generate(.density, "bee").allSatisfy { $0.label == "bee" })
        #expect(try generate(.flow, "bee").allSatisfy { $0.label == "bee" })
        for (method, name, text) in [
            (.flow, "cat", "no training file had these labels"),
            (.density, "cat", "no training file had these labels"),
            (.density, "dog", "dog is not known"), (.prior, "bee", "not conditioned"),
        ] as [(LatentSampling, String, String)] {
            let error = try #require(throws: LatentError.self) { try generate(method, name) }
            #expect(error.code == .usage && error.message.contains(text))
        }
    }

    @Test("draws of the density without spread are decoded means of its components")
    func densityWithoutSpread() throws {
        let (_, model) = try Self.setUp()
        let means = try [[1, 0, 0], [-1, 0, 0]].map {
            try model.decode(Tensor($0, shape: [1, 3])).mean.floats().map { $0 * 255 }
        }
        var seen: Set<Int> = []
        for item in try Self.generate(.density, count: 20, spread: 0) {
            let samples = try Image(pngData: item.bytes, path: nil).samples.map(Float.init)
            let component = means.firstIndex { mismatch(samples, $0, absolute: 0.51) == nil }
            seen.insert(try #require(component))
        }
        #expect(seen == [0, 1])
    }

    @Test("a model without a density is refused where it is asked for")
    func noDensity() throws {
        let (file, model) = try Self.setUp()
        var other = file
        other.weights = file.weights.filter { !LatentDensity.owns($0.key) }
        let error = try #require(throws: LatentError.self) {
            try Augmenter(
                file: other, model: model, configuration: .init(method: .density, count: 1))
        }
        #expect(error.code == .usage && error.message.contains("no density"))
    }

    @Test("draws of the flow without spread are the decoded middle of what it was fitted to")
    func flowWithoutSpread() throws {
        let (_, model) = try Self.setUp()
        let middle = try model.decode(Tensor([1, 0, -1], shape: [1, 3])).mean.floats()
        for item in try Self.generate(.flow, count: 2, spread: 0) {
            let samples = try Image(pngData: item.bytes, path: nil).samples.map(Float.init)
            #expect(mismatch(samples, middle.map { $0 * 255 }, absolute: 0.51) == nil)
        }
    }

    @Test("draws of pseudo-inputs without spread are decoded means of their posteriors")
    func vampWithoutSpread() throws {
        let (_, model) = try Self.setUp(objective: .vamp)
        let inputs = try #require(model.pseudoInputs)
        let means = try model.decode(model.posterior(of: inputs).mean).mean.floats()
        var seen: Set<Int> = []
        for item in try Self.generate(.vamp, count: 20, spread: 0) {
            let samples = try Image(pngData: item.bytes, path: nil).samples.map(Float.init)
            // Of components that are alike the nearest.
            let distances = (0..<3).map { component in
                zip(samples, means[(component * samples.count)...])
                    .reduce(Float(0)) { max($0, abs($1.0 - 255 * $1.1)) }
            }
            #expect(try #require(distances.min()) < 0.52)
            seen.insert(try #require(distances.firstIndex(of: distances.min() ?? 0)))
        }
        #expect(seen.count > 1)
    }

    @Test(
        "a model without flow or pseudo-inputs is refused where they are asked for",
        arguments: [(LatentSampling.flow, "no flow"), (.vamp, "no pseudo-inputs")])
    func noFlow(method: LatentSampling, text: String) throws {
        var (file, model) = try Self.setUp()
        file.record.flow = nil
        file.weights = file.weights.filter { !LatentFlow.owns($0.key) }
        let error = try #require(throws: LatentError.self) {
            try Augmenter(file: file, model: model, configuration: .init(method: method, count: 1))
        }
        #expect(error.code == .usage && error.message.contains(text))
    }

    @Test("a parent that cannot be read is reported once and another draw takes its place")
    func brokenParent() throws {
        let good = try Self.shapes().prefix(3)
        let bad = [Item.at(Fixtures.path("broken/crc.png")), .at("/no/such.png")]
        var failures: [String] = []
        let items = try Self.generate(
            .posterior, count: 20, parents: bad + good,
            onFailure: { failures.append($0.item.path) })
        #expect(items.count == 20)
        #expect(failures.sorted() == bad.map(\.path).sorted())
        let used = Set(items.flatMap(\.parents).map(\.path))
        #expect(used == Set(good.map(\.path)))
        #expect(Set(items.map(\.drawIndex)).count == 20)
        // An item whose first draw has its parent is what it is without bad files beside.
        #expect(items.enumerated().allSatisfy { $1.drawIndex == $0 || $1.drawIndex > 20 })
    }

    @Test("when no parent can be read that is an error, after each was named")
    func onlyBrokenParents() throws {
        let bad = (0..<4).map { Item.at("/no/such/\($0).png") }
        for method in [LatentSampling.posterior, .interpolate, .smote] {
            var failures = Set<String>()
            let error = try #require(throws: LatentError.self) {
                try Self.generate(
                    method, count: 2, parents: bad,
                    onFailure: { #expect(failures.insert($0.item.path).inserted) })
            }
            #expect(error.code == .data && error.message.contains("4"))
            #expect(!failures.isEmpty)
        }
    }

    @Test("patches of a large image become an image of its size and depth")
    func grid() throws {
        let folder = try TemporaryFolder()
        let codes = (0..<20 * 13).map { UInt16($0 * 251) }
        let image = Image(width: 13, height: 20, channelCount: 1, bitDepth: 16, samples: codes)
        let path = try folder.write(image.pngData(), to: "deep.png")
        let item = try #require(
            Self.generate(.posterior, count: 1, parents: [.at(path)], preprocessing: .grid()).first)
        let made = try Image(pngData: item.bytes, path: nil)
        #expect(made.height == 20 && made.width == 13 && made.bitDepth == 16)
    }

    @Test(
        "recordings are made at the model's rate, of a parent's length where there is one",
        arguments: LatentSampling.allCases)
    func recordings(method: LatentSampling) throws {
        let parents = try fixtureItems("audio/sounds", .audio)
        let items = try Self.generate(method, count: 3, parents: parents, preprocessing: .frames)
        #expect(items.count == 3)
        for item in items {
            #expect(item.fileExtension == "wav")
            let audio = try Audio(data: item.bytes, path: nil)
            #expect(audio.sampleRate == 8000 && audio.channelCount == 1)
            #expect(audio.samples.contains { $0 != 0 })
            if method == .posterior {
                #expect(
                    audio.frameCount == (try Audio(contentsOf: item.parents[0].path).frameCount))
            }
        }
        let again = try Self.generate(method, count: 3, parents: parents, preprocessing: .frames)
        #expect(again.map(\.bytes) == items.map(\.bytes))
    }

    @Test("a recording of a few samples can be a parent", arguments: [1, 60, 300])
    func shortRecording(sampleCount: Int) throws {
        let folder = try TemporaryFolder()
        let audio = Audio(
            sampleRate: 8000, channelCount: 1,
            samples: (0..<sampleCount).map { Float($0 % 5) / 8 + 0.1 }, encoding: "test")
        let path = try folder.write(audio.wavData(.pcm16), to: "short.wav")
        let other = try folder.write(audio.wavData(.float32), to: "other.wav")
        for method in [LatentSampling.posterior, .interpolate] {
            let items = try Self.generate(
                method, count: 2, parents: [.at(path), .at(other)], preprocessing: .frames)
            #expect(items.count == 2)
        }
    }
}
