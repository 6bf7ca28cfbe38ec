import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Mixture of networks") struct MixtureErrorTests {
    private struct File: Decodable {
        let tensors: [String: OracleArray]
        let x, errors: OracleArray
        let best: [Int]
    }

    private static let shape = WindowShape(channelCount: 1, height: 3, width: 4)

    private func scored(_ x: Tensor, reconstructed: Tensor) -> ScoredWindows {
        ScoredWindows(x: x, posteriorMean: x, reconstructed: reconstructed, shape: Self.shape)
    }

    @Test("the smallest error of the networks is PyTorch's, and comes back from its numbers")
    func oracle() throws {
        let file: File = try Fixtures.expected("mixture.json")
        let tensors = file.tensors.mapValues { HostTensor(shape: $0.shape, values: $0.values) }
        let score = try #require(
            try MixtureError(tensors: tensors, shape: Self.shape, latentCount: 3, on: .cpu))
        let x = try file.x.tensor
        let found = try score.values(of: scored(x, reconstructed: x)).map { Float($0) }
        #expect(mismatch(found, file.errors.values, relative: 1e-4) == nil)
        #expect(Set(file.best) == [0, 1], "both networks should be the best of some window")
        #expect(try score.tensors() == tensors)
    }

    @Test("numbers that do not fit together are refused")
    func broken() throws {
        let file: File = try Fixtures.expected("mixture.json")
        let tensors = file.tensors.mapValues { HostTensor(shape: $0.shape, values: $0.values) }
        for (name, value) in [
            ("noise", HostTensor(shape: [2, 9], values: [Float](repeating: 0, count: 18))),
            ("directions", HostTensor(shape: [11, 3], values: [Float](repeating: 0, count: 33))),
            ("decoder.1.bias", HostTensor(shape: [1, 1, 3], values: [0, 0, 0])),
        ] {
            var changed = tensors
            changed[name] = value
            #expect(
                try MixtureError(tensors: changed, shape: Self.shape, latentCount: 3, on: .cpu)
                    == nil, "\(name)")
            changed[name] = nil
            #expect(
                try MixtureError(tensors: changed, shape: Self.shape, latentCount: 3, on: .cpu)
                    == nil, "no \(name)")
        }
    }

    /// Windows on one of two parallel lines in 12 dimensions, `offset` from the middle between them.
    private func lines(_ count: Int, offset: Float, seed: UInt64) throws -> Tensor {
        var noise = Generator(seed: seed, 5)
        var values: [Float] = []
        for index in 0..<count {
            let along = 4 * noise.uniform() - 2
            let side: Float = index % 2 == 0 ? offset : -offset
            values += (0..<12).map { element in
                (element == 0 ? side : element == 1 ? along : 0) + 0.05 * noise.normals(1)[0]
            }
        }
        return try Tensor(values, shape: [count, 12])
    }

    @Test("what lies between two kinds of normal windows is further than either")
    func between() throws {
        let known = try lines(1_000, offset: 2, seed: 1)
        let mixture = try #require(
            try MixtureError(fittedTo: scored(known, reconstructed: known)))
        func mean(_ x: Tensor) throws -> Double {
            let values = try mixture.values(of: scored(x, reconstructed: x))
            return values.reduce(0, +) / Double(values.count)
        }
        let normal = try mean(lines(100, offset: 2, seed: 2))
        #expect(try mean(lines(100, offset: 0, seed: 3)) > 5 * normal)
        #expect(try mean(lines(100, offset: 3, seed: 4)) > 5 * normal)
        // The same windows give the same networks.
        let again = try #require(try MixtureError(fittedTo: scored(known, reconstructed: known)))
        #expect(try again.tensors() == mixture.tensors())
    }

    @Test("it is kept where one network rebuilds worse, not where it rebuilds better")
    func usefulness() throws {
        let known = try lines(1_000, offset: 2, seed: 1)
        let mixture = try #require(
            try MixtureError(fittedTo: scored(known, reconstructed: known)))
        let unseen = try lines(100, offset: 2, seed: 2)
        #expect(try mixture.isUseful(for: scored(unseen, reconstructed: unseen * 0)))
        #expect(try !mixture.isUseful(for: scored(unseen, reconstructed: unseen)))
    }

    @Test("few windows give none")
    func few() throws {
        let x = try lines(999, offset: 2, seed: 1)
        #expect(try MixtureError(fittedTo: scored(x, reconstructed: x)) == nil)
    }

    @Test("principal components of windows in a plane keep their distances, in one unit")
    func basis() throws {
        var noise = Generator(seed: 8, 1)
        // In a plane of 12 dimensions, spread by 3 and by 1 along unit vectors (e₀ + e₁)/√2 and e₂.
        let places = (0..<400).map { _ in (3 * noise.normals(1)[0], noise.normals(1)[0]) }
        let root = Float(0.5).squareRoot()
        let x = try Tensor(
            places.flatMap { a, b in
                [a * root, a * root, b] + [Float](repeating: 0, count: 9)
            }, shape: [400, 12])
        let basis = try PrincipalBasis(of: x)
        let found = try basis.components(of: x).floats()
        func squared(_ index: Int) -> Float {
            (0..<basis.width).reduce(0) { sum, column in
                let difference = found[index * basis.width + column] - found[column]
                return sum + difference * difference
            }
        }
        func expected(_ index: Int) -> Float {
            let (a, b) = (places[index].0 - places[0].0, places[index].1 - places[0].1)
            return a * a + b * b
        }
        // One scale for all, by which the components together have a mean variance of 1.
        let scale = squared(1) / expected(1)
        for index in 2..<20 {
            #expect(abs(squared(index) / expected(index) / scale - 1) < 1e-3)
        }
        let mean = found.map { $0 * $0 }.reduce(0, +) / Float(399 * basis.width)
        #expect(abs(mean - 1) < 1e-3)
    }
}

@Suite("Overlapping clusters") struct OverlappingClustersTests {
    @Test("groups far apart are found, and nearly all windows are in one of them")
    func groups() throws {
        var noise = Generator(seed: 2, 7)
        // Four corners of a square, 100 windows each.
        let values = (0..<400).flatMap { index -> [Float] in
            let (x, y): (Float, Float) = (index % 2 == 0 ? 10 : -10, index % 4 < 2 ? 10 : -10)
            return [x + noise.normals(1)[0], y + noise.normals(1)[0]]
        }
        let clusters = try OverlappingClusters(of: Tensor(values, shape: [400, 2]))
        #expect(clusters.members.count == 8)
        #expect(Set(clusters.members.joined()).count >= 360)
        for members in clusters.members {
            #expect(members.count >= 60)
            // The nearest 60 of a cluster are of one corner.
            #expect(Set(members.prefix(60).map { $0 % 4 }).count == 1)
        }
    }

    @Test("equal windows do not divide, and do not fail")
    func equal() throws {
        let clusters = try OverlappingClusters(of: Tensor.full(1, shape: [120, 3]))
        #expect(clusters.members.count == 2)
        #expect(clusters.members.allSatisfy { $0.count >= 60 })
    }
}
