import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

/// Deformations against closed forms, and against NumPy: `Fixtures/expected/deformation.json`.
@Suite("Deformation") struct DeformationTests {
    init() { _ = Runtime.threadCount }

    private struct Expected: Decodable {
        struct Case: Decodable {
            let numbers, x, expected: OracleArray
            let rows, columns: Int
            let repeats_edges: Bool
        }
        struct Network: Decodable {
            let latent: Int
            let pairs, mean, log_variance, z, numbers: OracleArray
        }
        let cases: [Case]
        let network: Network

        static func read() throws -> Expected { try Fixtures.expected("deformation.json") }
    }

    /// A map of numbers in 0…1, of which no two are equal.
    static func map(channelCount: Int = 1, height: Int = 8, width: Int = 10) -> FeatureMap {
        var generator = Generator(seed: 4)
        return FeatureMap(
            channelCount: channelCount, height: height, width: width,
            values: (0..<channelCount * height * width).map { _ in
                0.1 + 0.6 * generator.uniform()
            })
    }

    /// Numbers that are 0 but for some.
    static func deformation(_ values: [Int: Float]) -> Deformation {
        Deformation(numbers: (0..<Deformation.numberCount).map { values[$0] ?? 0 })
    }

    private static func applied(
        _ values: [Int: Float], to map: FeatureMap = map(), repeatsEdges: Bool = true
    ) throws -> FeatureMap {
        try deformation(values).applied(to: map, manner: .init(repeatsEdges: repeatsEdges))
    }

    @Test("no change is no change, of any size and number of channels")
    func identity() throws {
        for map in [
            Self.map(), Self.map(channelCount: 3, height: 5, width: 40),
            Self.map(height: 1, width: 1), Self.map(height: 3, width: 2),
        ] {
            #expect(
                mismatch(try Self.applied([:], to: map).values, map.values, absolute: 1e-5) == nil)
        }
    }

    @Test("a translation is a shift, by the affine map as by the displacement")
    func translation() throws {
        let map = Self.map()
        func shifted(right: Int, down: Int, repeatsEdges: Bool) -> [Float] {
            (0..<8).flatMap { row in
                (0..<10).map { column in
                    let (y, x) = (row + down, column + right)
                    if !repeatsEdges, !(0..<8).contains(y) || !(0..<10).contains(x) { return 0 }
                    return map.values[min(max(y, 0), 7) * 10 + min(max(x, 0), 9)]
                }
            }
        }
        let all = Deformation.displacementRange
        let middle = (all.lowerBound + all.upperBound) / 2
        for (right, down) in [(2, 0), (0, 3), (-1, 0), (3, -2)] {
            // From edge to edge there are 2.
            let (u, v) = (2 * Float(right) / 10, 2 * Float(down) / 8)
            let affine: [Int: Float] = [2: u / 0.3, 5: v / 0.3]
            let field = Dictionary(
                uniqueKeysWithValues: all.map { ($0, ($0 < middle ? u : v) / 0.1) })
            for (values, repeatsEdges) in [
                (affine, true), (affine, false), (field, true), (field, false),
            ] {
                let found = try Self.applied(values, repeatsEdges: repeatsEdges)
                let expected = shifted(right: right, down: down, repeatsEdges: repeatsEdges)
                #expect(mismatch(found.values, expected, absolute: 2e-5) == nil)
                #expect(abs(Self.deformation(values).meanDisplacementX - u) < 1e-5)
            }
        }
    }

    @Test("gains multiply, within their bounds, and 1 is the most there is")
    func gain() throws {
        let map = Self.map()
        let all = Dictionary(uniqueKeysWithValues: (78..<94).map { ($0, Float(1)) })
        for (values, factor) in [
            ([94: 1], 1.3), ([94: -1], 0.7), ([94: 100], 3), ([94: -100], 0.1), (all, 1.3),
            (all.merging([94: -2]) { $1 }, 1.3 * 0.4),
        ] as [([Int: Float], Float)] {
            #expect(
                mismatch(
                    try Self.applied(values).values, map.values.map { min(1, $0 * factor) },
                    absolute: 1e-5) == nil)
        }
    }

    @Test("a stroke goes to the largest value around, or to the smallest")
    func stroke() throws {
        let map = Self.map()
        func around(_ rows: Int, _ columns: Int, _ best: ([Float]) -> Float?) -> [Float] {
            (0..<8).flatMap { row in
                (0..<10).map { column in
                    let places = (max(0, row - rows)...min(7, row + rows)).flatMap { y in
                        (max(0, column - columns)...min(9, column + columns)).map { (y, $0) }
                    }
                    return best(places.map { map.values[$0 * 10 + $1] }) ?? 0
                }
            }
        }
        let half = Float(atanh(0.5))
        for (rows, columns) in [(1, 1), (2, 1), (1, 3)] {
            func found(_ number: Float) throws -> [Float] {
                try Self.deformation([95: number]).applied(
                    to: map,
                    manner: .init(strokeRows: rows, strokeColumns: columns, repeatsEdges: true)
                ).values
            }
            let (largest, smallest) = (
                around(rows, columns) { $0.max() }, around(rows, columns) { $0.min() }
            )
            #expect(mismatch(try found(20), largest, absolute: 1e-5) == nil)
            #expect(mismatch(try found(-20), smallest, absolute: 1e-5) == nil)
            let middle = zip(map.values, largest).map { ($0 + $1) / 2 }
            #expect(mismatch(try found(half), middle, absolute: 1e-5) == nil)
        }
    }

    @Test("from no change, every number has a gradient")
    func gradients() throws {
        let map = Self.map(height: 24, width: 24)
        let numbers = try Tensor.zeros(shape: [1, 96])
        try numbers.requireGradient()
        let made = try Deformation.apply(
            numbers, to: Tensor(map.values, shape: [1, 1, 24, 24]),
            manner: .init(repeatsEdges: true))
        try (made * Tensor(Self.map(height: 24, width: 24).values.reversed(), shape: made.shape))
            .sum().backward()
        let gradient = try #require(try numbers.gradient()).floats()
        #expect(gradient.allSatisfy { $0 != 0 && $0.isFinite })
    }

    @Test("maps are deformed as NumPy deforms them, pixel by pixel")
    func oracle() throws {
        let cases = try Expected.read().cases
        #expect(cases.count == 3)
        for item in cases {
            let shape = item.x.shape
            let found = try Deformation(numbers: item.numbers.values).applied(
                to: FeatureMap(
                    channelCount: shape[0], height: shape[1], width: shape[2],
                    values: item.x.values),
                manner: .init(
                    strokeRows: item.rows, strokeColumns: item.columns,
                    repeatsEdges: item.repeats_edges))
            #expect(mismatch(found.values, item.expected.values, absolute: 2e-5) == nil)
        }
    }

    // MARK: The network

    /// A configuration of a size; what the rest says does not matter.
    static func configuration(
        _ channelCount: Int, _ height: Int, _ width: Int, stepCount: Int = 1
    ) -> DeformationConfiguration {
        DeformationConfiguration(
            windowing: Windowing(mode: .whole, height: height, width: width, stride: 1),
            channelCount: channelCount, stepCount: stepCount, itemCount: 2)
    }

    @Test("the network gives what PyTorch's gives")
    func network() throws {
        let expected = try Expected.read().network
        let network = try DeformationNetwork(
            Self.configuration(1, 10, 7), latentCount: expected.latent, seed: 0)
        var weights: [String: HostTensor] = [:]
        for (k, entry) in network.parameters.entries.enumerated() {
            weights[entry.path] = HostTensor(
                shape: entry.tensor.shape,
                values: (0..<entry.tensor.count).map {
                    Float(0.1 * sin(0.37 * Double($0) + Double(k)))
                })
        }
        try network.parameters.load(weights)
        let posterior = try network.posterior(
            of: Tensor(expected.pairs.values, shape: expected.pairs.shape))
        #expect(
            mismatch(
                try posterior.mean.floats(), expected.mean.values, absolute: 1e-5, relative: 1e-4)
                == nil)
        #expect(
            mismatch(
                try posterior.logVariance.floats(), expected.log_variance.values, absolute: 1e-5,
                relative: 1e-4) == nil)
        let numbers = try network.numbers(
            of: Tensor(expected.z.values, shape: expected.z.shape))
        #expect(
            mismatch(
                try numbers.floats(), expected.numbers.values, absolute: 1e-5, relative: 1e-4)
                == nil)
    }

    /// A blob around a place, in an image of 16×16.
    private static func blob(row: Double, column: Double, width: Double) -> [Float] {
        (0..<256).map { index in
            let (y, x) = (Double(index / 16) - row, Double(index % 16) - column)
            return Float(exp(-(y * y + x * x / (width * width)) / 10))
        }
    }

    @Test("a shift between the items of a class is learned, and is made of another item too")
    func learning() throws {
        let first = Self.blob(row: 8, column: 6, width: 1)
        let second = Self.blob(row: 8, column: 9, width: 1)
        let configuration = Self.configuration(1, 16, 16, stepCount: 400)
        let pairs = DeformationPairs(maps: [first, second], labels: ["a", "a"])
        var steps: [Int] = []
        let network = try #require(
            try DeformationNetwork.fitted(
                to: pairs, configuration: configuration, isImage: true, seed: 3
            ) { steps.append($0) })
        #expect(steps == Array(0..<400))
        func deformation(_ a: [Float], _ b: [Float]) throws -> Deformation {
            try withoutGradients {
                let posterior = try network.posterior(of: Tensor(a + b, shape: [1, 2, 16, 16]))
                return Deformation(numbers: try network.numbers(of: posterior.mean).floats())
            }
        }
        func made(_ values: [Float], by deformation: Deformation) throws -> [Float] {
            try deformation.applied(
                to: FeatureMap(channelCount: 1, height: 16, width: 16, values: values),
                manner: .init(repeatsEdges: true)
            ).values
        }
        func error(_ a: [Float], _ b: [Float]) -> Float {
            zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        }
        func middle(_ values: [Float]) -> Float {
            let weight = values.reduce(0, +)
            return values.enumerated().reduce(0) { $0 + Float($1.offset % 16) * $1.element }
                / weight
        }
        let (there, back) = (try deformation(first, second), try deformation(second, first))
        for (found, expected, from) in [
            (try made(first, by: there), second, first),
            (try made(second, by: back), first, second),
        ] {
            let share = error(found, expected) / error(from, expected)
            #expect(share < 0.1)
        }
        // What is deformed need not look like what was learned from.
        let other = Self.blob(row: 7, column: 7, width: 1.5)
        let (right, left) = (
            middle(try made(other, by: there)) - middle(other),
            middle(try made(other, by: back)) - middle(other)
        )
        #expect(right > 1.5)
        #expect(left < -1.5)
        // Draws move to both sides, about as far, and hardly up or down.
        let spread = try #require(try DeformationDistribution(of: network, between: pairs, seed: 4))
        var generator = Generator(seed: 5)
        func lower(_ values: [Float]) -> Float {
            middle((0..<256).map { values[$0 % 16 * 16 + $0 / 16] })
        }
        var (across, down): ([Float], [Float]) = ([], [])
        for _ in 0..<100 {
            let drawn = try made(other, by: spread.draw(spread: 1, using: &generator))
            across.append(middle(drawn) - middle(other))
            down.append(lower(drawn) - lower(other))
        }
        let deviations = [across, down].map { values in
            (values.reduce(0) { $0 + $1 * $1 } / Float(values.count)).squareRoot()
        }
        #expect((1...3).contains(deviations[0]))
        #expect(deviations[1] < 0.4 * deviations[0])
        #expect((30...70).contains(across.count { $0 > 0 }))
    }

    @Test("pairs are two items of one class; those of classes of one are left out")
    func pairs() {
        let maps: [[Float]] = (0..<6).map { [Float($0), Float($0)] }
        let pairs = DeformationPairs(maps: maps, labels: ["b", "a", "b", nil, "b", nil])
        #expect(pairs.itemCount == 5)
        var generator = Generator(seed: 2)
        let drawn = pairs.draw(300, using: &generator)
        #expect(drawn.count == 300 * 4)
        var seen: [[Float]: Int] = [:]
        for start in stride(from: 0, to: drawn.count, by: 4) {
            seen[[drawn[start], drawn[start + 2]], default: 0] += 1
        }
        let classes: [[Float]] = [[0, 2, 4], [3, 5]]
        let possible = classes.flatMap { group in
            group.flatMap { a in group.filter { $0 != a }.map { [a, $0] } }
        }
        #expect(Set(seen.keys) == Set(possible))
        // Each item is first as often as another: 60 times, give or take.
        for item in [0, 2, 3, 4, 5] as [Float] {
            let count = seen.filter { $0.key[0] == item }.map(\.value).reduce(0, +)
            #expect((35...90).contains(count))
        }
        #expect(
            DeformationPairs(maps: maps, labels: ["a", "b", "c", "d", nil, "e"]).itemCount == 0)
    }

    @Test("large windows are read smaller, small ones as they are")
    func sizes() {
        for (height, width, expected) in [
            (28, 28, [28, 28]), (64, 64, [64, 64]), (96, 96, [64, 64]), (40, 48, [40, 48]),
            (40, 400, [20, 202]),
        ] {
            let configuration = Self.configuration(1, height, width)
            #expect([configuration.height, configuration.width] == expected)
            #expect(throws: Never.self) { try configuration.validate() }
        }
        var wrong = Self.configuration(1, 8, 8)
        for change in [(65, 64), (0, 8), (.max, 2)] {
            (wrong.height, wrong.width) = change
            #expect(throws: LatentError.self) { try wrong.validate() }
        }
    }
}
