import Testing
import Torch

@testable import Latent

@Suite("Small classifier")
struct SmallClassifierTests {
    private static let shape = WindowShape(channelCount: 1, height: 8, width: 8)

    /// Maps with a bright half, at the left (class 0) or at the top (class 1), and noise.
    static func halves(_ count: Int, seed: UInt64 = 3) -> (maps: SmallMaps, codes: [Int]) {
        var generator = Generator(seed: seed)
        var maps = SmallMaps(shape: shape)
        var codes: [Int] = []
        for index in 0..<count {
            codes.append(index % 2)
            maps.append(
                (0..<64).map { place in
                    let isBright = index % 2 == 0 ? place % 8 < 4 : place < 32
                    return (isBright ? 0.6 : 0.2) + 0.2 * generator.uniform()
                })
        }
        return (maps, codes)
    }

    private static func trained(
        seed: UInt64 = 0, on sources: [SmallClassifier.Source],
        varying augmentation: SmallClassifier.Augmentation? = nil, steps: Int = 40
    ) throws -> SmallClassifier {
        var configuration = SmallClassifier.Configuration()
        configuration.stepCount = steps
        configuration.batchSize = 16
        configuration.seed = seed
        let classifier = try SmallClassifier(
            shape: shape, classCount: 2, configuration: configuration)
        try classifier.train(on: sources, varying: augmentation)
        return classifier
    }

    @Test("it learns what tells two kinds of maps apart, and says so in probabilities")
    func learns() throws {
        let (maps, codes) = Self.halves(40)
        let classifier = try Self.trained(on: [.init(maps: maps, codes: codes)])
        let fresh = Self.halves(30, seed: 9)
        #expect(try classifier.classes(of: fresh.maps) == fresh.codes)
        let probabilities = try classifier.probabilities(of: fresh.maps)
        for row in 0..<30 {
            #expect(abs(probabilities[2 * row] + probabilities[2 * row + 1] - 1) < 1e-5)
            #expect(probabilities[2 * row + fresh.codes[row]] > 0.5)
        }
        let features = try classifier.features(of: fresh.maps)
        #expect(features.count == 30 * SmallClassifier.featureCount)
        #expect(features.allSatisfy { $0 >= 0 } && features.contains { $0 > 0 })
    }

    @Test("equal seeds give equal classifiers, other seeds others")
    func repeats() throws {
        let (maps, codes) = Self.halves(20)
        let results = try [0, 0, 1].map { seed in
            try Self.trained(seed: seed, on: [.init(maps: maps, codes: codes)], steps: 5)
                .probabilities(of: maps)
        }
        #expect(results[0] == results[1])
        #expect(results[0] != results[2])
    }

    /// Maps as ``halves(_:seed:)``, whose dark half has a bright stripe at the right (class 0) or at the bottom.
    ///
    /// Halves alone teach the opposite of stripes: the left one reaches the bottom, the upper one the right.
    private static func striped(_ count: Int) -> SmallMaps {
        let (plain, codes) = halves(count, seed: 4)
        var maps = SmallMaps(shape: shape)
        for index in 0..<count {
            maps.append(
                zip(0..<64, plain.values([index])).map { place, value in
                    let isStripe = codes[index] == 0 ? place % 8 == 7 : place / 8 == 7
                    return isStripe ? 1 : value
                })
        }
        return maps
    }

    @Test(
        "what maps without classes have in common with the class that they are guessed is learned")
    func guesses() throws {
        // Grey maps, with the one stripe and with the other.
        var stripes = SmallMaps(shape: Self.shape)
        for index in 0..<2 {
            stripes.append(
                (0..<64).map { place in
                    (index == 0 ? place % 8 == 7 : place / 8 == 7) ? 1 : 0.35
                })
        }
        let (maps, codes) = Self.halves(8)
        func right(guessing unlabelled: SmallClassifier.Unlabelled?) throws -> [Float] {
            var configuration = SmallClassifier.Configuration()
            configuration.stepCount = 120
            configuration.batchSize = 16
            let classifier = try SmallClassifier(
                shape: Self.shape, classCount: 2, configuration: configuration)
            try classifier.train(on: [.init(maps: maps, codes: codes)], guessing: unlabelled)
            #expect(try classifier.classes(of: maps) == codes)
            let probabilities = try classifier.probabilities(of: stripes)
            return (0..<2).map { probabilities[2 * $0 + $0] }
        }
        let guessed = try right(guessing: .init(maps: Self.striped(40)))
        let plain = try right(guessing: nil)
        #expect(guessed.reduce(0, +) > plain.reduce(0, +) + 0.3, "\(guessed) \(plain)")
        // What it is not sure of teaches nothing: any maps give the same weights.
        let unsure = try [maps, Self.striped(8)].map {
            try right(guessing: .init(maps: $0, leastProbability: 1.1))
        }
        #expect(unsure[0] == unsure[1] && unsure[0] != guessed)
    }

    @Test("sources give their share of each batch, and batches are varied before they are learned")
    func shares() throws {
        // Nearly all of a batch says the opposite: that is what is learned.
        let (maps, codes) = Self.halves(40)
        let opposite = SmallClassifier.Source(maps: maps, codes: codes.map { 1 - $0 }, share: 0.75)
        let classifier = try Self.trained(
            on: [.init(maps: maps, codes: codes, share: 0.25), opposite])
        #expect(try classifier.classes(of: maps) == opposite.codes)
        // Maps exchanged for their mirror images at the diagonal exchange the classes.
        var batches: [Int] = []
        let mirrored = try Self.trained(on: [.init(maps: maps, codes: codes)]) { batch, shape, _ in
            batches.append(batch.count)
            let before = batch
            for index in batch.indices {
                let (map, row, column) = (index / 64, index / 8 % 8, index % 8)
                batch[index] = before[map * 64 + column * 8 + row]
            }
            #expect(shape == Self.shape)
        }
        #expect(batches == [Int](repeating: 16 * 64, count: 40))
        #expect(try mirrored.classes(of: maps) == codes.map { 1 - $0 })
    }

    @Test("maps keep values to half a step of 1/255, and never leave 0…1")
    func maps() {
        var maps = SmallMaps(shape: Self.shape)
        let values = (0..<64).map { Float($0) / 63 }
        maps.append(values)
        maps.append(values.map { $0 * 3 - 1 })
        maps.append([Float](repeating: .nan, count: 64))
        #expect(maps.count == 3)
        #expect(zip(maps.values([0]), values).allSatisfy { abs($0 - $1) <= 0.5 / 255 + 1e-6 })
        #expect(maps.values([1]).min() == 0 && maps.values([1]).max() == 1)
        #expect(maps.values([2]) == [Float](repeating: 0, count: 64))
        #expect(maps.picked([1, 0]).values([1]) == maps.values([0]))
    }
}

@Suite("Map augmentation")
struct MapAugmentationTests {
    private func varied(
        _ map: [Float], _ shape: WindowShape, _ augmentation: MapAugmentation, count: Int = 40
    ) -> [[Float]] {
        (0..<count).map { index in
            var generator = Generator(seed: 1, UInt64(index))
            var batch = map + map
            augmentation(&batch, shape: shape, using: &generator)
            #expect(batch.prefix(map.count) != batch.suffix(map.count))
            return Array(batch.prefix(map.count))
        }
    }

    /// The mean place of what is bright.
    private func middle(_ map: [Float], width: Int) -> (y: Float, x: Float) {
        let sum = map.reduce(0, +)
        var (y, x): (Float, Float) = (0, 0)
        for (index, value) in map.enumerated() {
            y += Float(index / width) * value / sum
            x += Float(index % width) * value / sum
        }
        return (y, x)
    }

    @Test("images move by at most 7.5 % of a side, and stay in 0…1", arguments: [false, true])
    func images(isElastic: Bool) {
        let shape = WindowShape(channelCount: 1, height: 32, width: 32)
        let map = (0..<1024).map { index -> Float in
            let (y, x) = (Double(index / 32) - 15.5, Double(index % 32) - 15.5)
            return y * y + x * x < 16 ? 1 : 0
        }
        let augmentation = MapAugmentation(domain: .image, isElastic: isElastic)
        let maps = varied(map, shape, augmentation)
        let places = maps.map { middle($0, width: 32) }
        // An elastic displacement of up to 0.1 of a side comes on top.
        let most: Float = 32 * (isElastic ? 0.195 : 0.08)
        for (map, place) in zip(maps, places) {
            #expect(map.allSatisfy { (0...1).contains($0) })
            #expect(abs(place.y - 15.5) < most && abs(place.x - 15.5) < most)
        }
        #expect(places.map(\.x).max() ?? 0 > 17 && places.map(\.x).min() ?? 32 < 14)
        #expect(places.map(\.y).max() ?? 0 > 17 && places.map(\.y).min() ?? 32 < 14)
        // Size changes the area by up to a third.
        let areas = maps.map { $0.reduce(0, +) }
        #expect(areas.max() ?? 0 > areas.min() ?? 0)
    }

    @Test("an elastic warp bends what an affine one keeps straight")
    func elastic() {
        let shape = WindowShape(channelCount: 1, height: 32, width: 32)
        let line = (0..<1024).map { Float($0 % 32 == 15 || $0 % 32 == 16 ? 1 : 0) }
        /// How far the bright places of the rows lie from one straight line, at most.
        func bend(_ map: [Float]) -> Float {
            let xs = (2..<30).map { middle(Array(map[$0 * 32..<$0 * 32 + 32]), width: 32).x }
            let step = (xs[27] - xs[0]) / 27
            return xs.enumerated().map { abs($1 - xs[0] - Float($0) * step) }.max() ?? 0
        }
        let straight = varied(line, shape, MapAugmentation(domain: .image)).map(bend)
        let bent = varied(line, shape, MapAugmentation(domain: .image, isElastic: true)).map(bend)
        #expect(straight.max() ?? 1 < 0.35)
        #expect(bent.sorted()[20] > 0.5)
    }

    @Test("spectrograms move by at most 6 of 48 frames, with silence at the ends")
    func spectrograms() {
        let shape = WindowShape(channelCount: 1, height: 40, width: 48)
        let map = (0..<40 * 48).map { Float($0 % 48 == 24 ? 1 : 0) }
        var columns: Set<Int> = []
        for found in varied(map, shape, MapAugmentation(domain: .audio), count: 60) {
            #expect(found.allSatisfy { (0...1).contains($0) })
            let sums = (0..<48).map { column in
                (0..<40).reduce(Float(0)) { $0 + found[$1 * 48 + column] }
            }
            let best = sums.indices.max { sums[$0] < sums[$1] } ?? 0
            // Where the bright column is hidden, only noise is left.
            if sums[best] > 20 { columns.insert(best) }
        }
        #expect(columns.isSubset(of: Set(18...30)) && columns.count > 6)
    }
}
