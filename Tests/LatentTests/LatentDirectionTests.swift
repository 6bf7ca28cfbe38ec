import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Directions in the latent space") struct LatentDirectionTests {
    private static func members(
        _ rows: [(String?, [Float])]
    ) -> [LatentDirection.Member] { rows.map { ($0.0, $0.1[...]) } }

    @Test("within classes the direction is what was planted, whatever the sets are made up of")
    func planted() {
        // Classes lie far apart, and the first set has mostly the one, the second mostly the other.
        let offsets: [String: [Float]] = ["a": [10, 0], "b": [-20, 7], "only": [500, 500]]
        func rows(_ counts: [(String, Int)], _ step: [Float]) -> [LatentDirection.Member] {
            Self.members(
                counts.flatMap { label, count in
                    (0..<count).map { index in
                        let jitter: Float = index % 2 == 0 ? 0.5 : -0.5
                        let offset = offsets[label] ?? []
                        return (label, [offset[0] + step[0] + jitter, offset[1] + step[1]])
                    }
                })
        }
        let found = LatentDirection.difference(
            toward: rows([("a", 8), ("b", 2), ("only", 4)], [3, -1]),
            away: rows([("a", 2), ("b", 6)], [0, 0]))
        #expect(mismatch(found.values, [3, -1], absolute: 1e-5) == nil)
        #expect(found.isClear)
        // Without a class in common, the plain difference of means.
        let plain = LatentDirection.difference(
            toward: Self.members([("x", [1, 2]), ("x", [3, 6])]),
            away: Self.members([(nil, [0, 0]), ("y", [0, 2])]))
        #expect(plain.values == [2, 3])
    }

    @Test("it solves the least squares of places on the set and the class")
    func leastSquares() {
        var generator = Generator(seed: 4)
        func rows(_ count: Int, _ shift: Float) -> [LatentDirection.Member] {
            Self.members(
                (0..<count).map { index in
                    (["a", "b", "c"][index * index % 3], generator.normals(4).map { $0 + shift })
                })
        }
        let (ones, zeros) = (rows(23, 0.3), rows(31, 0))
        let found = LatentDirection.difference(toward: ones, away: zeros)
        for dimension in 0..<4 {
            // What is left after classes and direction is orthogonal to belonging to the set.
            var product: Float = 0
            for label in ["a", "b", "c"] {
                let left =
                    ones.filter { $0.label == label }.map {
                        (1, $0.place[$0.place.startIndex + dimension] - found.values[dimension])
                    }
                    + zeros.filter { $0.label == label }.map {
                        (0, $0.place[$0.place.startIndex + dimension])
                    }
                let mean = left.reduce(0) { $0 + $1.1 } / Float(left.count)
                product += left.reduce(0) { $0 + Float($1.0) * ($1.1 - mean) }
            }
            #expect(abs(product) < 1e-4)
        }
    }

    @Test("sets of one kind give a direction as long as chance has it, others a longer one")
    func chance() throws {
        var generator = Generator(seed: 9)
        var excesses: [Double] = []
        var clearCount = 0
        for _ in 0..<200 {
            func rows(_ count: Int) -> [LatentDirection.Member] {
                Self.members(
                    (0..<count).map { index in
                        // One dimension is much wider than the others.
                        (
                            index % 2 == 0 ? "a" : nil,
                            generator.normals(8).enumerated().map { $0 == 0 ? 50 * $1 : $1 }
                        )
                    })
            }
            let found = LatentDirection.difference(toward: rows(12), away: rows(40))
            excesses.append(try #require(found.excess))
            if found.isClear { clearCount += 1 }
        }
        // 8 dimensions: the mean of 200 has a standard error of 0.035.
        #expect(abs(excesses.reduce(0, +) / 200 - 1) < 0.15)
        #expect(clearCount < 8)
        // Of few items too: with seven degrees of freedom squares are 1.4 times as large on average.
        clearCount = 0
        for _ in 0..<400 {
            func rows(_ count: Int) -> [LatentDirection.Member] {
                Self.members((0..<count).map { _ in (nil, generator.normals(16)) })
            }
            if LatentDirection.difference(toward: rows(4), away: rows(5)).isClear {
                clearCount += 1
            }
        }
        #expect(clearCount < 16)
        let lone = LatentDirection.difference(
            toward: Self.members([(nil, [1])]), away: Self.members([(nil, [0])]))
        #expect(lone.excess == nil && lone.isClear)
    }

    @Test("labels are reached by the difference of means, or attribute by attribute")
    func labels() {
        // Digits 0, 1 and 2, speakers 0 and 1; of (2, 1) there is no file, of (1, 0) no latents.
        let means = LabelMeans(
            combinations: [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0]],
            means: [[0, 0], [5, 1], nil, [4, 4], [-3, 8]], dimensionCount: 2)
        #expect(means.shift(from: [0, 0], to: [0, 1]) == [5, 1])
        #expect(means.shift(from: [0, 0], to: [1, 1]) == [4, 4])
        #expect(means.shift(from: [2, 0], to: [2, 0]) == [0, 0])
        // As zeros, the only digit of both speakers, are moved.
        #expect(means.shift(from: [2, 0], to: [2, 1]) == [5, 1])
        #expect(means.shift(from: [1, 0], to: [1, 1]) == [5, 1])
        // Digit: of ones and twos there is no pair; means over all of each. Speaker: as above.
        #expect(means.shift(from: [1, 0], to: [2, 1]) == [-7 + 5, 4 + 1])
        #expect(means.knows([1, nil]) && means.knows([2, 1]) && !means.knows([3, nil]))
    }

    @Test("a strength multiplies both, and nothing is moved at 0")
    func move() {
        let means = LabelMeans(
            combinations: [[0], [1]], means: [[0, 0], [1, 2]], dimensionCount: 2)
        let move = LatentMove(strength: -0.5, direction: [10, 20], means: means)
        #expect(move.shift(from: [0], to: [1]) == [-5.5, -11])
        #expect(move.shift(from: [1], to: [1]) == [-5, -10])
        #expect(LatentMove(strength: 0, direction: [1, 1], means: means).isNone)
        #expect(LatentMove(strength: 1, direction: nil, means: nil).isNone)
    }

    // MARK: Augmenter

    private static func setUp(
        labels: [String] = [], conditioning: Conditioning? = nil, layerCount: Int = 1
    ) throws -> (file: ModelFile, model: VAE) {
        var configuration = VAEConfiguration.tiny(
            height: 32, width: 32, architecture: layerCount > 1 ? .resnet : .mlp,
            widths: layerCount > 1 ? [4, 6] : [12], likelihood: .bernoulli)
        configuration.conditioning = conditioning
        configuration.layerCount = layerCount
        configuration.mapChannelCount = 2
        let model = try VAE(configuration, device: .cpu, seed: 8)
        var file = try ModelFile.tiny(
            model, .whole(height: 32, width: 32), labels: labels)
        let groups = LatentDensity.groups(of: file.record)?.combinations.count ?? 1
        let density = LatentDensity(
            mixtures: try (0..<groups).map { group -> GaussianMixture in
                try #require(
                    GaussianMixture(
                        weights: [0.25, 0.75],
                        means: [Float(4 * group), 0, 0, 0, Float(4 * group), 0],
                        factors: [1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1],
                        dimensionCount: 3))
            })
        file.weights.merge(density.tensors()) { $1 }
        return (file, model)
    }

    private static func generate(
        _ file: ModelFile, _ model: VAE, parents: [Item],
        remark: (String) -> Void = { Issue.record("\($0)") },
        _ change: (inout Augmenter.Configuration) throws -> Void
    ) throws -> [SyntheticItem] {
        var configuration = Augmenter.Configuration(method: .posterior, count: parents.count)
        configuration.spread = 0
        try change(&configuration)
        let augmenter = try Augmenter(file: file, model: model, configuration: configuration)
        var items: [SyntheticItem] = []
        try augmenter.generate(
            augmenter.plan(for: parents), onFailure: { Issue.record("\($0.error)") },
            onRemark: remark
        ) { items.append($0) }
        return items
    }

    /// Of each file what the model makes of its posterior mean plus a shift of the top layer.
    private static func expectDecoded(
        _ items: [SyntheticItem], by model: VAE, shift: (String) throws -> [Float],
        codes: [[Int]] = [[]], told: [[Int]] = [[]]
    ) throws {
        for item in items {
            let path = item.parents[0].path
            let windows = try Preprocessing.whole(height: 32, width: 32).windows(path)
            let x = try model.batch(windows.values(0..<1))
            let z = try model.latents(of: x, condition: model.condition(codes))
            let moved = try z + Tensor(shift(path), shape: [1, 3])
            let decoded = try model.decode(moved, condition: model.condition(told)).mean.floats()
            let samples = try Image(pngData: item.bytes, path: nil).samples.map(Float.init)
            #expect(mismatch(samples, decoded.map { $0 * 255 }, absolute: 0.52) == nil)
        }
    }

    private static func shapes() throws -> [Item] { try fixtureItems("images/shapes", .image) }

    @Test("new items are decoded where the difference of two folders leads", arguments: [0, 1.5])
    func folders(strength: Double) throws {
        let (file, model) = try Self.setUp()
        let items = try Self.shapes()
        let squares = items.filter { $0.label == "square" }
        let discs = items.filter { $0.label == "disc" }
        func mean(_ items: [Item]) throws -> [Float] {
            let rows = try items.map { item in
                try model.latents(
                    of: model.batch(
                        Preprocessing.whole(height: 32, width: 32).windows(item.path).values(0..<1))
                ).floats()
            }
            return (0..<3).map { d in rows.reduce(0) { $0 + $1[d] } / Float(rows.count) }
        }
        let difference = zip(try mean(squares), try mean(discs)).map { $0 - $1 }
        // A model that learned nothing may not tell the folders apart.
        let made = try Self.generate(
            file, model, parents: Array(items.filter { $0.label == "triangle" }.prefix(5)),
            remark: { _ in }
        ) {
            $0.direction = try LatentDirection(
                toward: squares, named: "squares", awayFrom: discs, named: "discs")
            $0.strength = strength
        }
        #expect(made.count == 5 && made.allSatisfy { $0.label == "triangle" })
        try Self.expectDecoded(
            made, by: model, shift: { _ in difference.map { Float(strength) * $0 } })
    }

    @Test(
        "without a second folder, from the real items themselves: of equal sets nowhere, and said")
    func fromParents() throws {
        let (file, model) = try Self.setUp()
        let parents = Array(try Self.shapes().prefix(6))
        var remarks: [String] = []
        let made = try Self.generate(
            file, model, parents: parents, remark: { remarks.append($0) }
        ) { $0.direction = try LatentDirection(toward: parents, named: "same") }
        #expect(remarks.count == 1 && remarks[0].contains("same and of DATA"))
        try Self.expectDecoded(made, by: model, shift: { _ in [0, 0, 0] })
    }

    @Test("an item is moved from its own class to another, of a model that is told no labels")
    func toLabel() throws {
        let (file, model) = try Self.setUp(labels: ["disc", "square", "triangle"])
        let made = try Self.generate(file, model, parents: Self.shapes()) {
            $0.assignments = ["class": "triangle"]
            $0.strength = 0.5
        }
        #expect(
            made.allSatisfy { $0.label == "triangle" && $0.attributes == ["class": "triangle"] })
        // Mixtures of weights 1/4 and 3/4 have their means at (1, 3) times the class's place.
        try Self.expectDecoded(
            made, by: model,
            shift: { path in
                let steps: Float = path.contains("disc") ? 2 : path.contains("square") ? 1 : 0
                return [0.5 * steps, 1.5 * steps, 0]
            })
    }

    @Test("of a conditional model one attribute is changed and the others are kept")
    func conditional() throws {
        let conditioning = try Conditioning(
            names: ["class", "tone"],
            of: ["disc", "square"].flatMap { label in
                ["dark", "light"].map {
                    Item(
                        path: "", relativePath: "", label: nil, split: nil, attributes: [label, $0])
                }
            })
        let (file, model) = try Self.setUp(conditioning: conditioning)
        let parents = try Self.shapes().filter { $0.label == "square" }.prefix(4).map {
            Item(
                path: $0.path, relativePath: $0.path, label: nil, split: nil,
                attributes: ["square", "light"])
        }
        let made = try Self.generate(file, model, parents: parents) {
            $0.assignments = ["tone": "dark"]
        }
        #expect(made.allSatisfy { $0.attributes == ["class": "square", "tone": "dark"] })
        // Combinations are (disc, dark), (disc, light), (square, dark), (square, light).
        try Self.expectDecoded(
            made, by: model, shift: { _ in [-1, -3, 0] }, codes: [[1, 1]], told: [[1, 0]])
    }

    @Test("a window sounds up to its last loud frame, in whatever band")
    func soundingWidth() {
        // Two bands, six frames; half of the range below 0.9 is 0.4.
        let window: [Float] = [
            0.9, 0.2, 0.0, 0.0, 0.0, 0.3,
            0.1, 0.0, 0.3, 0.45, 0.39, 0.0,
        ]
        #expect(Renderer.soundingWidth(window, width: 6) == 4)
        #expect(Renderer.soundingWidth([0.1, 0.2, 0.3], width: 3) == 3)
        #expect(Renderer.soundingWidth([1, 0, 0], width: 3) == 1)
    }

    @Test("a recording that is moved is as long as what is decoded sounds, or as its parent")
    func lengths() throws {
        let preprocessing = Preprocessing.frames(melCount: 16)
        let configuration = VAEConfiguration.tiny(height: 16, width: 8)
        let model = try VAE(configuration, device: .cpu, seed: 8)
        let file = try ModelFile.tiny(model, preprocessing)
        let folder = try TemporaryFolder()
        // Three frames: two hops.
        let parents = try (0..<3).map { index in
            let sound = Audio(
                sampleRate: 8000, channelCount: 1,
                samples: (0..<LogMelView(sampleRate: 8000, melCount: 16).hopLength * 2).map {
                    0.5 * Float(($0 * (index + 3)) % 50) / 50
                }, encoding: "pcm16")
            return Item.at(try folder.write(sound.wavData(.pcm16), to: "\(index).wav"))
        }
        func lengths(_ strength: Double) throws -> [Int] {
            try Self.generate(file, model, parents: parents, remark: { _ in }) {
                $0.direction = try LatentDirection(toward: parents, named: "same")
                $0.strength = strength
            }.map { try Audio(data: $0.bytes, path: nil).samples.count }
        }
        let own = try parents.map { try Audio(contentsOf: $0.path).samples.count }
        #expect(try lengths(0).sorted() == own.sorted())
        // Decoded by first weights, all eight frames are about as loud.
        #expect(try lengths(1).allSatisfy { $0 > own[0] })
    }

    @Test("of several layers the top one is moved")
    func ladder() throws {
        let (file, model) = try Self.setUp(layerCount: 2)
        let items = Array(try Self.shapes().prefix(4))
        let vector = try LatentDirection(toward: items, named: "x").vector(
            real: try Self.shapes(), by: model, file.record.preprocessing,
            labelling: Labelling(nil, assignments: [:], fitted: nil), workerCount: 1,
            onFailure: { Issue.record("\($0.error)") })
        #expect(vector.values.count == 3)
        func images(_ strength: Double) throws -> [[UInt8]] {
            try Self.generate(file, model, parents: items, remark: { _ in }) {
                $0.direction = try LatentDirection(
                    toward: Array(items.prefix(2)), named: "x", awayFrom: Array(items.suffix(2)),
                    named: "y")
                $0.strength = strength
            }.map(\.bytes)
        }
        #expect(try images(100) != images(0))
        #expect(try images(100) == images(100))
    }

    @Test("what cannot be a direction is refused in one sentence")
    func refused() throws {
        let (file, model) = try Self.setUp(labels: ["ant", "bee"])
        let items = try Self.shapes()
        #expect(
            try #require(throws: LatentError.self) {
                try LatentDirection(toward: Array(items.prefix(1)), named: "few")
            }.description.hasPrefix("few: 1 file to take a direction from"))
        func error(_ change: (inout Augmenter.Configuration) throws -> Void) throws -> LatentError {
            try #require(throws: LatentError.self) {
                try Self.generate(file, model, parents: items, change)
            }
        }
        #expect(try error { $0.strength = .nan }.code == .usage)
        #expect(
            try error {
                $0.method = .prior
                $0.direction = try LatentDirection(toward: items, named: "all")
            }.message.contains("moves no posterior"))
        // No file has a class that the model knows.
        let unknown = try error { $0.assignments = ["class": "bee"] }
        #expect(
            unknown.code == .data && unknown.message.contains("has no class that the model knows"))
        var bare = file
        bare.weights = bare.weights.filter { !LatentDensity.owns($0.key) }
        #expect(throws: LatentError.self) {
            try Self.generate(bare, model, parents: items) { $0.assignments = ["class": "bee"] }
        }
    }

    @Test("a word names labels by their values, where they have one meaning")
    func words() throws {
        let conditioning = try Conditioning(
            names: ["digit", "room"],
            of: [("1", "1"), ("2", "hall")].map {
                Item(path: "", relativePath: "", label: nil, split: nil, attributes: [$0, $1])
            })
        let (file, _) = try Self.setUp(conditioning: conditioning)
        #expect(try file.labels(named: "hall") == ["room": "hall"])
        #expect(try file.labels(named: "2,room=1") == ["digit": "2", "room": "1"])
        for (word, text) in [
            ("1", "1 is a value of digit and of room"), ("room=5", "room 5 is not known"),
            (
                "attic",
                "no label of the model; name a folder of files, or one of digit=1|2, room=1|hall"
            ),
        ] {
            let error = try #require(throws: LatentError.self) { try file.labels(named: word) }
            #expect("\(error)".contains(text), "\(error)")
        }
        #expect(try Self.setUp(labels: ["a", "b"]).file.labels(named: "b") == ["class": "b"])
    }
}
