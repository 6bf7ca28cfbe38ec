import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Error of hidden parts") struct MaskedErrorTests {
    private struct File: Decodable {
        let tensors: [String: OracleArray]
        let x, errors: OracleArray

        var named: [String: HostTensor] {
            tensors.mapValues { HostTensor(shape: $0.shape, values: $0.values) }
        }
    }

    private static let shape = WindowShape(channelCount: 2, height: 4, width: 5)

    private func scored(_ x: Tensor, shape: WindowShape) -> ScoredWindows {
        ScoredWindows(x: x, posteriorMean: x, reconstructed: x, shape: shape)
    }

    @Test("it is PyTorch's, and comes back from its numbers")
    func oracle() throws {
        let file: File = try Fixtures.expected("masked.json")
        let score = try #require(
            try MaskedError(tensors: file.named, shape: Self.shape, latentCount: 3, on: .cpu))
        let x = try file.x.tensor
        let found = try score.values(of: scored(x, shape: Self.shape)).map { Float($0) }
        #expect(mismatch(found, file.errors.values, relative: 1e-4) == nil)
        #expect(try score.tensors() == file.named)
    }

    @Test("numbers that do not fit together are refused")
    func broken() throws {
        let file: File = try Fixtures.expected("masked.json")
        for (name, value) in [
            ("mean", HostTensor(shape: [39], values: [Float](repeating: 0, count: 39))),
            ("precision", HostTensor(shape: [2, 20], values: [Float](repeating: 0, count: 40))),
            ("scale", HostTensor(shape: [1], values: [0])),
            ("scale", HostTensor(shape: [1], values: [.infinity])),
            ("scale", HostTensor(shape: [2], values: [1, 1])),
            (
                "network.0.weight",
                HostTensor(shape: [1, 60], values: .init(repeating: 0, count: 60))
            ),
            ("network.1.bias", HostTensor(shape: [1], values: [0])),
            ("network.2.weight", HostTensor(shape: [1], values: [0])),
        ] {
            var changed = file.named
            for content in [value, nil] {
                changed[name] = content
                #expect(
                    try MaskedError(tensors: changed, shape: Self.shape, latentCount: 3, on: .cpu)
                        == nil, "\(name)")
            }
        }
    }

    @Test("blocks cover every place of a window once, whatever its size")
    func cover() {
        for height in 1...11 {
            for width in 1...11 {
                let shape = WindowShape(channelCount: 1, height: height, width: width)
                let blocks = HiddenBlock.cover(of: shape)
                var counts = [Int](repeating: 0, count: height * width)
                for block in blocks {
                    for row in block.rows {
                        for column in block.columns { counts[row * width + column] += 1 }
                    }
                }
                #expect(counts.allSatisfy { $0 == 1 }, "\(height)×\(width)")
                #expect(blocks.count == min(3, height) * min(3, width))
                var generator = Generator(seed: 1, UInt64(height), UInt64(width))
                let largest = (
                    blocks.map(\.rows.count).max(), blocks.map(\.columns.count).max()
                )
                for _ in 0..<20 {
                    let block = HiddenBlock(anywhereIn: shape, using: &generator)
                    #expect(
                        (0..<height).contains(block.rows) && (0..<width).contains(block.columns))
                    #expect((block.rows.count, block.columns.count) == largest)
                }
            }
        }
    }

    /// Waves along 9 columns with a phase of their own, the same in 6 rows up to their sign; where
    /// asked, with the phase of another one in the right third.
    private func waves(_ count: Int, spliced: Bool = false, seed: UInt64) throws -> ScoredWindows {
        let shape = WindowShape(channelCount: 1, height: 6, width: 9)
        var noise = Generator(seed: seed, 11)
        var values: [Float] = []
        for _ in 0..<count {
            let phase = 2 * Float.pi * noise.uniform()
            let other = spliced ? phase + Float.pi : phase
            for row in 0..<6 {
                for column in 0..<9 {
                    let angle = Float(column) * 0.7 + (column < 6 ? phase : other)
                    values.append((row < 3 ? 1 : -1) * sin(angle) + 0.02 * noise.normals(1)[0])
                }
            }
        }
        return scored(try Tensor(values, shape: [count, 54]), shape: shape)
    }

    @Test("a part that does not go with the others is told, though each part is normal by itself")
    func spliced() throws {
        let score = try MaskedError(fittedTo: waves(300, seed: 1))
        let normal = try score.values(of: waves(100, seed: 2))
        let strange = try score.values(of: waves(100, spliced: true, seed: 3))
        #expect(try #require(strange.min()) > 3 * (try #require(normal.max())))
    }

    @Test("the same windows give the same numbers, and a window its score whatever is beside it")
    func determinism() throws {
        let known = try waves(80, seed: 1)
        let score = try MaskedError(fittedTo: known)
        #expect(try MaskedError(fittedTo: known).tensors() == score.tensors())
        let many = try waves(300, seed: 4)
        let together = try score.values(of: many)
        for index in [0, 255, 256, 299] {
            let one = ScoredWindows(
                x: try many.x.rows([index]), posteriorMean: many.posteriorMean,
                reconstructed: many.reconstructed, shape: many.shape)
            let alone = try score.values(of: one)
            #expect(abs(alone[0] - together[index]) < 1e-4 * together[index])
        }
    }

    @Test("windows that are all the same have a score, and another one a larger")
    func constant() throws {
        let shape = WindowShape(channelCount: 1, height: 2, width: 3)
        let known = scored(try Tensor.full(0.25, shape: [20, 6]), shape: shape)
        let score = try MaskedError(fittedTo: known)
        let same = try score.values(of: known)
        let other = try score.values(
            of: scored(try Tensor.full(0.75, shape: [1, 6]), shape: shape))
        #expect(same.allSatisfy { $0.isFinite })
        #expect(other[0].isFinite && other[0] > same[0])
    }
}
