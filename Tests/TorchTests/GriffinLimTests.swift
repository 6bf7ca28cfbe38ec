import Foundation
import Testing
import Torch

@Suite("Griffin–Lim") struct GriffinLimTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let fftLength, hopLength, frameCount: Int

        var testDescription: String { "\(frameCount) frames of \(fftLength) at \(hopLength)" }
    }

    static let cases = [
        Case(fftLength: 64, hopLength: 32, frameCount: 20),
        Case(fftLength: 256, hopLength: 64, frameCount: 33),
        // Hops that do not divide the frame, and the fewest frames that can be reflected.
        Case(fftLength: 100, hopLength: 37, frameCount: 9),
        Case(fftLength: 64, hopLength: 32, frameCount: 2),
    ]

    private static func normals(_ seed: UInt64, _ count: Int) -> [Float] {
        var generator = Generator(seed: seed)
        return generator.normals(count)
    }

    /// Magnitude of one signal, and the spectrum of another to begin with.
    private static func spectra(_ test: Case) throws -> (magnitude: Tensor, start: Tensor) {
        let count = (test.frameCount - 1) * test.hopLength + 1
        func spectrum(_ values: [Float]) throws -> Tensor {
            try shortTimeFourier(
                Tensor(values, shape: [count]), fftLength: test.fftLength,
                hopLength: test.hopLength, window: hannWindow(test.fftLength))
        }
        let tones = (0..<count).map { Float(sin(0.3 * Double($0)) + sin(0.11 * Double($0))) }
        return (try spectrum(tones).magnitude(), try spectrum(normals(7, count)))
    }

    /// The same by operations of libtorch.
    private static func twin(
        _ test: Case, magnitude: Tensor, start: Tensor, roundCount: Int, momentum: Double
    ) throws -> [Float] {
        func signal(_ spectrum: Tensor) throws -> Tensor {
            try inverseShortTimeFourier(
                spectrum * (magnitude / (spectrum.magnitude() + 1e-8)), fftLength: test.fftLength,
                hopLength: test.hopLength, window: hannWindow(test.fftLength),
                length: (test.frameCount - 1) * test.hopLength + 1)
        }
        var current = start
        var previous: Tensor?
        for _ in 0..<roundCount {
            let rebuilt = try shortTimeFourier(
                signal(current), fftLength: test.fftLength, hopLength: test.hopLength,
                window: hannWindow(test.fftLength))
            current = try previous.map { try rebuilt + (rebuilt - $0) * momentum } ?? rebuilt
            previous = rebuilt
        }
        return try signal(current).floats()
    }

    @Test("signals are those of libtorch's operations", arguments: cases, [0, 1, 2, 3, 6])
    func twin(test: Case, roundCount: Int) throws {
        let (magnitude, start) = try Self.spectra(test)
        for momentum in [0, 0.99] {
            let found = try griffinLim(
                magnitude: magnitude, start: start, window: hannWindow(test.fftLength),
                hopLength: test.hopLength, roundCount: roundCount, momentum: momentum
            ).floats()
            let expected = try Self.twin(
                test, magnitude: magnitude, start: start, roundCount: roundCount,
                momentum: momentum)
            #expect(found.count == expected.count)
            let largest = expected.map(abs).max() ?? 0
            #expect(largest > 0.1)
            for (found, expected) in zip(found, expected) {
                #expect(abs(found - expected) <= 1e-3 * largest)
            }
        }
    }

    @Test("rounds bring the spectrum to the magnitude that was asked for")
    func converges() throws {
        let test = Self.cases[1]
        let (magnitude, start) = try Self.spectra(test)
        func error(_ roundCount: Int) throws -> Double {
            let signal = try griffinLim(
                magnitude: magnitude, start: start, window: hannWindow(test.fftLength),
                hopLength: test.hopLength, roundCount: roundCount, momentum: 0.99)
            let found = try shortTimeFourier(
                signal, fftLength: test.fftLength, hopLength: test.hopLength,
                window: hannWindow(test.fftLength)
            ).magnitude()
            return try (found - magnitude).squared().sum().item()
                / magnitude.squared().sum().item()
        }
        let (first, last) = (try error(1), try error(100))
        #expect(last < 0.3 * first)
    }

    @Test("silence, and spectra that are no numbers, become signals and no crash")
    func odd() throws {
        let test = Self.cases[0]
        let (magnitude, start) = try Self.spectra(test)
        func signal(_ magnitude: Tensor, _ start: Tensor) throws -> [Float] {
            try griffinLim(
                magnitude: magnitude, start: start, window: hannWindow(test.fftLength),
                hopLength: test.hopLength, roundCount: 3, momentum: 0.99
            ).floats()
        }
        #expect(try signal(magnitude * 0, start).allSatisfy { $0 == 0 })
        #expect(try signal(magnitude, start * 0).allSatisfy { $0 == 0 })
        #expect(try signal(magnitude * .nan, start).contains { $0.isNaN })
    }

    @Test("spectra that do not fit are refused")
    func refused() throws {
        let (magnitude, start) = try Self.spectra(Self.cases[0])
        let window = try hannWindow(64)
        for (magnitude, start, window, hopLength) in try [
            (magnitude, start, hannWindow(62), 32), (magnitude, start, window, 0),
            (magnitude, start.narrowed(axis: 1, start: 0, length: 19), window, 32),
            (magnitude, magnitude, window, 32),
            (
                magnitude.narrowed(axis: 1, start: 0, length: 1),
                start.narrowed(axis: 1, start: 0, length: 1), window, 32
            ),
        ] {
            #expect(throws: TorchError.self) {
                try griffinLim(
                    magnitude: magnitude, start: start, window: window, hopLength: hopLength,
                    roundCount: 2, momentum: 0)
            }
        }
    }
}
