import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Fitted scores") struct FittedScoreTests {
    private static let shape = WindowShape(channelCount: 1, height: 3, width: 4)

    private struct File: Decodable {
        struct Windows: Decodable {
            let x, posteriorMean, reconstructed: OracleArray
            enum CodingKeys: String, CodingKey {
                case x, reconstructed
                case posteriorMean = "posterior_mean"
            }

            func scored() throws -> ScoredWindows {
                ScoredWindows(
                    x: try x.tensor, posteriorMean: try posteriorMean.tensor,
                    reconstructed: try reconstructed.tensor, shape: FittedScoreTests.shape)
            }
        }
        let new: Windows
        let neighbours, residual, latent, displaced: OracleArray
    }

    private let file: File = try! Fixtures.expected("scores.json")
    private let known: File.Windows = try! Fixtures.expected("scores.json")

    private func check<Score: FittedScore>(_ type: Score.Type, against expected: OracleArray) throws
    {
        let fitted = try #require(try Score(fittedTo: known.scored()))
        let found = try fitted.values(of: file.new.scored()).map { Float($0) }
        #expect(mismatch(found, expected.values, relative: 1e-4) == nil)
        let tensors = try fitted.tensors()
        let read = try #require(
            try Score(tensors: tensors, shape: Self.shape, latentCount: 3, on: .cpu))
        #expect(try read.values(of: file.new.scored()).map { Float($0) } == found)
        #expect(try Score(tensors: [:], shape: Self.shape, latentCount: 3, on: .cpu) == nil)
        #expect(
            try Score(
                tensors: tensors, shape: WindowShape(channelCount: 1, height: 1, width: 11),
                latentCount: 4, on: .cpu) == nil)
    }

    @Test("the distance to the nearest three is that of numpy") func neighbours() throws {
        try check(NeighbourDistance.self, against: file.neighbours)
    }

    @Test("with displacements it is that of numpy") func displaced() throws {
        var tensors = try NeighbourDistance(fittedTo: known.scored()).tensors()
        tensors["displacement"] = HostTensor(shape: [1], values: [1])
        let fitted = try #require(
            try NeighbourDistance(tensors: tensors, shape: Self.shape, latentCount: 3, on: .cpu))
        let found = try fitted.values(of: file.new.scored()).map { Float($0) }
        #expect(mismatch(found, file.displaced.values, relative: 1e-4) == nil)
        tensors["displacement"] = HostTensor(shape: [1], values: [2])
        #expect(
            try NeighbourDistance(tensors: tensors, shape: Self.shape, latentCount: 3, on: .cpu)
                == nil)
    }

    /// Windows of 12×12 with a blob, up to `jitter` from the middle, of a strength that varies, in
    /// noise.
    private func blobs(_ count: Int, jitter: Float, strength: ClosedRange<Float>) throws
        -> ScoredWindows
    {
        var noise = Generator(seed: 3, 0)
        var values: [Float] = []
        for _ in 0..<count {
            let x = 5.5 + (2 * noise.uniform() - 1) * jitter
            let y = 5.5 + (2 * noise.uniform() - 1) * jitter
            let height =
                strength.lowerBound
                + noise.uniform() * (strength.upperBound - strength.lowerBound)
            for row in 0..<12 {
                for column in 0..<12 {
                    let (dx, dy) = (Float(column) - x, Float(row) - y)
                    values.append(
                        height * exp(-(dx * dx + dy * dy) / 2) + 0.2 * noise.uniform())
                }
            }
        }
        let x = try Tensor(values, shape: [count, 144])
        return ScoredWindows(
            x: x, posteriorMean: x, reconstructed: x,
            shape: WindowShape(channelCount: 1, height: 12, width: 12))
    }

    @Test("displacements are allowed where normal windows differ by place, not where by strength")
    func narrowing() throws {
        let placed = try NeighbourDistance(fittedTo: blobs(80, jitter: 3, strength: 1...1))
        #expect(try placed.tensors()["displacement"]?.values == [1])
        let strong = try NeighbourDistance(fittedTo: blobs(80, jitter: 0, strength: 0...5))
        #expect(try strong.tensors()["displacement"]?.values == [0])
    }

    @Test("a window moved by one cell is at no distance, one moved by two at some")
    func moved() throws {
        let shape = WindowShape(channelCount: 2, height: 6, width: 6)
        func window(_ offset: Int) -> [Float] {
            var values = [Float](repeating: 0, count: 72)
            for channel in 0..<2 { values[channel * 36 + 2 * 6 + 2 + offset] = Float(channel + 1) }
            return values
        }
        let distance = DisplacedDistance(to: window(0) + window(1) + window(2), shape: shape)
        #expect(distance(window(0)[...], toKept: 0) == 0)
        #expect(distance(window(0)[...], toKept: 1) == 0)
        #expect(distance(window(0)[...], toKept: 2) > 0.01)
    }

    @Test("the distance of the residual is that of numpy") func residual() throws {
        try check(ResidualDistance.self, against: file.residual)
    }

    @Test("the distance of the posterior mean is that of numpy") func latent() throws {
        try check(LatentDistance.self, against: file.latent)
    }

    @Test("a window that training has is at a third of the sum of its next two distances")
    func own() throws {
        let windows = try known.scored()
        let fitted = try NeighbourDistance(fittedTo: windows)
        let values = known.x.values
        let (rows, length) = (known.x.shape[0], known.x.shape[1])
        let squares = (1..<rows).map { row in
            (0..<length).reduce(0.0) { sum, column in
                let difference = Double(values[column]) - Double(values[row * length + column])
                return sum + difference * difference
            }
        }.sorted()
        let expected = (squares[0] + squares[1]) / 3 / Double(length)
        #expect(abs(try fitted.values(of: windows)[0] - expected) < 1e-4 * expected)
    }

    @Test("numbers of a model file that do not fit together are refused")
    func broken() throws {
        let weights = [
            "score.latent.mean": HostTensor(shape: [2], values: [0, 1]),
            "score.latent.whitening": HostTensor(shape: [3, 1], values: [0, 1, 2]),
        ]
        let error = try #require(throws: LatentError.self) {
            try FittedScores(weights: weights, of: .tiny(latentCount: 2), on: .cpu)
        }
        #expect(error.code == .model)
    }
}

@Suite("Ensemble") struct EnsembleTests {
    private func scores(_ mse: [Double], _ neighbours: [Double]) -> [[[ScoreKind: Double]]] {
        zip(mse, neighbours).map { [[.mse: $0, .neighbours: $1]] }
    }

    @Test(
        "it is the mean of logarithms in deviations from held-out files, neighbours twice of whole ones",
        arguments: [(false, 1.0), (true, 2.0)])
    func value(isWhole: Bool, weight: Double) throws {
        // Logarithms ±1 around 2, of deviation √(8/7), and ±2 around -1, of twice that.
        let signs: [Double] = [1, -1, 1, -1, 1, -1, 1, -1]
        let ensemble = try #require(
            Ensemble(
                fittedTo: scores(
                    signs.map { exp(2 + $0) }, signs.reversed().map { exp(-1 + 2 * $0) }),
                ofWholeFiles: isWhole))
        let deviation = (8.0 / 7).squareRoot()
        let found = try #require(ensemble.value(of: [[.mse: exp(5), .neighbours: exp(-1.5)]]))
        let expected = (3 / deviation - weight * 0.5 / (2 * deviation)) / (1 + weight)
        #expect(abs(found - expected) < 1e-12)
        #expect(ensemble.value(of: [[.mse: 1]]) == nil)
        // A blank file, of which nothing is left, has a score as well.
        #expect(try #require(ensemble.value(of: [[.mse: 0, .neighbours: 0]])).isFinite)
    }

    @Test("where the level of recordings is kept, the residual is one of three")
    func residual() throws {
        // Logarithms ±1 around 0, 1 and 2.
        let found = try #require(
            Ensemble(
                fittedTo: (0..<8).map { index in
                    let sign = index % 2 == 0 ? 1.0 : -1
                    return [
                        [.mse: exp(sign), .residual: exp(1 + sign), .neighbours: exp(2 + sign)]
                    ]
                }, ofWholeFiles: false, keepingLevel: true))
        #expect(found.members.map(\.kind) == [.mse, .residual, .neighbours])
        let value = try #require(
            found.value(of: [[.mse: 1, .residual: exp(4), .neighbours: exp(2)]]))
        #expect(abs(value - 1 / (8.0 / 7).squareRoot()) < 1e-12)
    }

    @Test("too few held-out files, or scores that are missing, give none")
    func none() {
        #expect(
            Ensemble(
                fittedTo: scores([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]), ofWholeFiles: true)
                == nil)
        #expect(
            Ensemble(
                fittedTo: [[[ScoreKind: Double]]](repeating: [[:]], count: 20), ofWholeFiles: true)
                == nil)
    }

    @Test("several views are members of one ensemble, each with its own scale")
    func views() throws {
        let both = [1.0, 2, 3, 4, 5, 6, 7, 8].map { [[ScoreKind.mse: $0], [.mse: 100 * $0 * $0]] }
        let ensemble = try #require(Ensemble(fittedTo: both, ofWholeFiles: false))
        #expect(ensemble.members.map(\.view) == [0, 1])
        // The second is the square of the first: in deviations of logarithms they are the same.
        let first = try #require(Ensemble(fittedTo: both.map { [$0[0]] }, ofWholeFiles: true))
        let alone = try #require(first.value(of: [[.mse: 20]]))
        let together = try #require(ensemble.value(of: [[.mse: 20], [.mse: 40_000]]))
        #expect(abs(alone - together) < 1e-9)
        #expect(ensemble.value(of: [[.mse: 20]]) == nil)
    }

    @Test("equal held-out scores leave it finite")
    func equal() throws {
        let ensemble = try #require(
            Ensemble(
                fittedTo: scores(
                    [Double](repeating: 2, count: 9), [Double](repeating: 3, count: 9)),
                ofWholeFiles: true))
        #expect(try #require(ensemble.value(of: [[.mse: 2.5, .neighbours: 2]])).isFinite)
    }
}
