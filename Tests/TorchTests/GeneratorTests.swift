import Foundation
import TestSupport
import Testing

@testable import Torch

/// `Fixtures/expected/generator.json` holds Random123's known answers, and streams computed by an
/// independent implementation.
@Suite("Generator") struct GeneratorTests {
    private struct File: Decodable {
        struct Answer: Decodable {
            let counter: [UInt32]
            let key: [UInt32]
            let output: [UInt32]
        }
        struct Stream: Decodable {
            let seed: String
            let words: [String]
            let bits: [String]
            let normals: [Float]
        }
        let philox: [Answer]
        let streams: [Stream]
    }

    /// The sizes of the word lists in the file; a variadic parameter takes no array.
    private static func generator(seed: UInt64, words: [UInt64]) throws -> Generator {
        switch words.count {
        case 0: Generator(seed: seed)
        case 1: Generator(seed: seed, words[0])
        case 2: Generator(seed: seed, words[0], words[1])
        default: Generator(seed: seed, words[0], words[1], try #require(words.last))
        }
    }

    @Test("a block of Philox4x32-10 is the published one")
    func knownAnswers() throws {
        let answers = try Fixtures.expected("generator.json", as: File.self).philox
        #expect(answers.count == 3)
        for answer in answers {
            let block = Generator.philox(
                counter: SIMD4(answer.counter), key: SIMD2(answer.key))
            #expect(block == SIMD4(answer.output))
        }
    }

    @Test("the streams of a seed and words never change")
    func streams() throws {
        let streams = try Fixtures.expected("generator.json", as: File.self).streams
        #expect(streams.count == 5)
        for stream in streams {
            let start = try Self.generator(
                seed: #require(UInt64(stream.seed)),
                words: stream.words.map { try #require(UInt64($0)) })
            var generator = start
            for bits in stream.bits { #expect(generator.next() == UInt64(bits, radix: 16)) }
            generator = start
            for bits in stream.bits {
                // The upper 24 bits, as a binary fraction.
                let numerator = try #require(UInt32(bits.prefix(6), radix: 16))
                #expect(generator.uniform() == Float(numerator) / 16_777_216)
            }
            generator = start
            let normals = generator.normals(stream.normals.count)
            // Mathematics libraries may differ in the last place.
            #expect(mismatch(normals, stream.normals, absolute: 1e-9, relative: 2e-7) == nil)
        }
    }

    @Test("equal keys give equal numbers, whatever is drawn in between")
    func determinism() {
        var a = Generator(seed: 9, 1, 2)
        var b = Generator(seed: 9, 1, 2)
        var other = Generator(seed: 9, 1, 3)
        for _ in 0..<100 {
            let bits = a.next()
            _ = other.next()
            #expect(bits == b.next())
        }
        #expect(a == b)
    }

    @Test("another seed, another word, another order or one more word give other numbers")
    func distinctKeys() {
        let generators = [
            Generator(seed: 0), Generator(seed: 1), Generator(seed: 0, 0), Generator(seed: 0, 1),
            Generator(seed: 1, 0), Generator(seed: 0, 0, 0), Generator(seed: 0, 0, 1),
            Generator(seed: 0, 1, 0), Generator(seed: .max), Generator(seed: 0, .max),
        ]
        var seen = Set<UInt64>()
        for var generator in generators { for _ in 0..<1000 { seen.insert(generator.next()) } }
        #expect(seen.count == generators.count * 1000)
    }

    @Test("the first numbers of neighbouring words are as independent as those of one stream")
    func neighbouringWords() {
        let first = (0..<20_000).map { (word: UInt64) -> Float in
            var generator = Generator(seed: 1, word)
            return generator.normals(1)[0]
        }
        // Five standard errors of the mean, the variance and the serial correlation.
        let moments = Moments(first)
        #expect(abs(moments.mean) < 5 / 20_000.squareRoot())
        #expect(abs(moments.variance - 1) < 5 * (2 / 20_000).squareRoot())
        let serial = zip(first, first.dropFirst()).reduce(0) { $0 + Double($1.0 * $1.1) } / 20_000
        #expect(abs(serial) < 5 / 20_000.squareRoot())
    }

    @Test("100 000 normals have the moments of N(0, 1)", arguments: [0, 1, 2] as [UInt64])
    func normalMoments(seed: UInt64) {
        var generator = Generator(seed: seed)
        let values = generator.normals(100_000)
        let moments = Moments(values)
        // Five standard errors: 1/√n, √(2/n), √(6/n), √(24/n).
        #expect(abs(moments.mean) < 0.016)
        #expect(abs(moments.variance - 1) < 0.023)
        #expect(abs(moments.skewness) < 0.039)
        #expect(abs(moments.kurtosis - 3) < 0.078)
        #expect(values.allSatisfy { $0.isFinite })
        // Box and Muller's pairs share a radius; their signs and sizes must not.
        let pairs = stride(from: 0, to: 100_000, by: 2).map { Double(values[$0] * values[$0 + 1]) }
        #expect(abs(pairs.reduce(0, +) / 50_000) < 5 / 50_000.squareRoot())
    }

    @Test("uniform numbers lie in [0, 1), fill it evenly and have 24 bits")
    func uniform() {
        var generator = Generator(seed: 3)
        let values = (0..<160_000).map { _ in generator.uniform() }
        #expect(values.allSatisfy { 0 <= $0 && $0 < 1 })
        #expect(values.allSatisfy { ($0 * 16_777_216).rounded() == $0 * 16_777_216 })
        var counts = [Int](repeating: 0, count: 16)
        for value in values { counts[min(max(Int(value * 16), 0), 15)] += 1 }
        // χ² with 15 degrees of freedom exceeds 44.3 once in 10 000 seeds.
        let chiSquared = counts.reduce(0) { $0 + ($1 - 10_000) * ($1 - 10_000) }
        #expect(Double(chiSquared) / 10_000 < 44.3)
    }

    @Test("a shorter draw of normals is the start of a longer one", arguments: 0..<9)
    func prefix(count: Int) {
        var short = Generator(seed: 4)
        var long = short
        #expect(short.normals(count) == Array(long.normals(9).prefix(count)))
    }

    @Test("a stored state continues exactly", arguments: 0..<5)
    func storedState(drawn: Int) throws {
        var generator = Generator(seed: .max, 1)
        for _ in 0..<drawn { _ = generator.next() }
        let data = try JSONEncoder().encode(generator)
        var restored = try JSONDecoder().decode(Generator.self, from: data)
        #expect(restored == generator)
        #expect(restored.next() == generator.next())
        #expect(restored.normals(7) == generator.normals(7))
        #expect(restored.next() == generator.next())
        #expect(restored.uniform() == generator.uniform())
    }

    @Test("it serves the standard library's shuffles")
    func shuffle() {
        var generator = Generator(seed: 8)
        let shuffled = (0..<100).shuffled(using: &generator)
        #expect(shuffled != Array(0..<100))
        #expect(shuffled.sorted() == Array(0..<100))
    }
}

private struct Moments {
    var mean = 0.0
    var variance = 0.0
    var skewness = 0.0
    var kurtosis = 0.0

    init(_ values: [Float]) {
        let count = Double(values.count)
        mean = values.reduce(0) { $0 + Double($1) } / count
        func central(_ power: Int) -> Double {
            values.reduce(0) { sum, value in
                sum + (0..<power).reduce(1) { product, _ in product * (Double(value) - mean) }
            } / count
        }
        variance = central(2)
        skewness = central(3) / (variance * variance.squareRoot())
        kurtosis = central(4) / (variance * variance)
    }
}
