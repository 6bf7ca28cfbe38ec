import Foundation
import TestSupport
import Testing

@testable import Latent

@Suite("Resampler") struct ResamplerTests {
    private static func sine(_ frequency: Double, rate: Int, count: Int) -> [Float] {
        (0..<count).map { Float(0.7 * sin(2 * .pi * frequency * Double($0) / Double(rate) + 0.3)) }
    }

    @Test(
        "a sine stays the same sine at another rate",
        arguments: [(11_025, 8000), (44_100, 16_000), (48_000, 8000), (8000, 16_000)],
        [50.0, 440, 2500])
    func sine(rates: (Int, Int), frequency: Double) throws {
        let (from, to) = rates
        let input = Self.sine(frequency, rate: from, count: from / 4)
        let output = try Resampler(from: from, to: to).apply(input)
        let expected = Self.sine(frequency, rate: to, count: output.count)
        #expect(output.count == to / 4)
        // Near the ends the kernel reaches into silence.
        let edge = 20 * max(1, to / from)
        let inner = edge..<output.count - edge
        #expect(mismatch(Array(output[inner]), Array(expected[inner]), absolute: 1e-2) == nil)
    }

    @Test(
        "a tone above the new Nyquist frequency is at least 40 dB lower",
        arguments: [(48_000, 8000, 6000.0), (44_100, 16_000, 12_000), (16_000, 8000, 5500)])
    func suppression(from: Int, to: Int, frequency: Double) throws {
        let input = Self.sine(frequency, rate: from, count: from / 4)
        let output = try Resampler(from: from, to: to).apply(input)
        let inner = output[20..<output.count - 20]
        let power = inner.reduce(0) { $0 + Double($1) * Double($1) } / Double(inner.count)
        #expect(power.squareRoot() < 0.01 * 0.7 / 2.0.squareRoot())
    }

    @Test(
        "a constant stays the same constant",
        arguments: [(11_025, 8000), (44_100, 8000), (8000, 22_050)])
    func gain(from: Int, to: Int) throws {
        let output = try Resampler(from: from, to: to).apply([Float](repeating: 0.5, count: 3000))
        #expect(output[60..<output.count - 60].allSatisfy { abs($0 - 0.5) < 1e-3 })
    }

    @Test(
        "the number of samples that come out is the length in seconds times the rate, rounded up",
        arguments: [(44_100, 8000), (8000, 11_025), (48_000, 16_000)],
        [1, 2, 7, 440, 441, 442, 1000])
    func length(rates: (Int, Int), count: Int) throws {
        let (from, to) = rates
        let resampler = Resampler(from: from, to: to)
        let output = try resampler.apply([Float](repeating: 0.1, count: count))
        #expect(output.count == (count * to + from - 1) / from)
        #expect(resampler.outputCount(count) == output.count)
    }

    @Test("equal rates and empty signals pass through")
    func nothingToDo() throws {
        #expect(try Resampler(from: 8000, to: 8000).apply([1, 2, 3]) == [1, 2, 3])
        #expect(try Resampler(from: 44_100, to: 8000).apply([]).isEmpty)
    }

    private static func ratio(_ from: Int, _ to: Int) -> [Int] {
        let (p, q) = Resampler.ratio(from, to, limit: 1000)
        return [p, q]
    }

    @Test("ratios of small numbers are exact, in lowest terms")
    func exactRatios() {
        #expect(Self.ratio(44_100, 8000) == [441, 80])
        #expect(Self.ratio(48_000, 8000) == [6, 1])
        #expect(Self.ratio(11_025, 16_000) == [441, 640])
        #expect(Self.ratio(8000, 8000) == [1, 1])
    }

    @Test("other ratios are approximated within the limit as well as continued fractions do")
    func approximateRatios() {
        for (from, to) in [(44_101, 8000), (47_999, 16_000), (12_347, 11_213), (8000, 8001)] {
            let ratio = Self.ratio(from, to)
            #expect(ratio.allSatisfy { (1...1000).contains($0) })
            // |x - p/q| < 1 / (q · q'), and the next fraction p'/q' has a number above 1000.
            let error = abs(Double(ratio[0]) / Double(ratio[1]) * Double(to) / Double(from) - 1)
            #expect(error < 1.01e-3 / Double(min(ratio[0], ratio[1])))
        }
    }
}
