import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("LogMelView") struct LogMelViewTests {
    private struct File: Decodable {
        struct Bank: Decodable {
            let rate, fft, mels: Int
            let weights: OracleArray
        }
        struct Spectrum: Decodable {
            let rate, fft, hop, mels: Int
            let signal, log: OracleArray
        }
        let banks: [Bank]
        let spectra: [Spectrum]
    }

    private static let file: File = try! Fixtures.expected("mel.json")

    private static func view(rate: Int, fft: Int, hop: Int, mels: Int) -> LogMelView {
        var view = LogMelView(sampleRate: rate, melCount: mels)
        view.fftLength = fft
        view.hopLength = hop
        return view
    }

    private static func sine(_ frequency: Double, rate: Int = 8000, count: Int) -> [Float] {
        (0..<count).map { Float(0.5 * sin(2 * .pi * frequency * Double($0) / Double(rate))) }
    }

    /// From 300 Hz, 3 kHz a second.
    private static func chirp(count: Int) -> [Float] {
        (0..<count).map {
            let time = Double($0) / 8000
            return Float(0.5 * sin(2 * .pi * (300 * time + 1500 * time * time)))
        }
    }

    private static func audio(_ samples: [Float], rate: Int = 8000) -> Audio {
        Audio(sampleRate: rate, channelCount: 1, samples: samples, encoding: "test")
    }

    @Test("the mel weights are librosa's", arguments: file.banks.indices)
    func weights(index: Int) {
        let bank = Self.file.banks[index]
        let view = Self.view(rate: bank.rate, fft: bank.fft, hop: bank.fft / 2, mels: bank.mels)
        #expect(bank.weights.shape == [bank.mels, bank.fft / 2 + 1])
        #expect(
            mismatch(view.melWeights(), bank.weights.values, absolute: 1e-8, relative: 1e-5) == nil)
    }

    @Test(
        "the log-mel spectrum of a chirp in noise is that of numpy", arguments: file.spectra.indices
    )
    func spectrum(index: Int) throws {
        let expected = Self.file.spectra[index]
        let view = Self.view(
            rate: expected.rate, fft: expected.fft, hop: expected.hop, mels: expected.mels)
        let (values, frames) = try view.logMel(expected.signal.values)
        #expect([view.melCount, frames] == expected.log.shape)
        #expect(view.frameCount(sampleCount: expected.signal.values.count) == frames)
        #expect(mismatch(values, expected.log.values, absolute: 2e-4) == nil)
    }

    @Test("a signal that is taken in blocks has the frames of its parts")
    func blocks() throws {
        // Blocks are 8192 frames; 16 samples a frame.
        let view = Self.view(rate: 8000, fft: 64, hop: 16, mels: 4)
        var generator = Generator(seed: 3)
        let signal = generator.normals(8200 * 16)
        let (long, frames) = try view.logMel(signal)
        #expect(frames == 8201)
        let first = 8180
        let (short, count) = try view.logMel(Array(signal[(first * 16)...]))
        #expect(count == 21)
        // The first two frames of the part see its reflected start.
        for band in 0..<4 {
            let expected = Array(short[(band * count + 2)..<((band + 1) * count)])
            let found = Array(long[(band * frames + first + 2)..<((band + 1) * frames)])
            #expect(mismatch(found, expected, absolute: 1e-4) == nil)
        }
    }

    @Test("the energy of a sine lies in the band of its frequency", arguments: [300.0, 1000, 2900])
    func band(frequency: Double) throws {
        let view = LogMelView(sampleRate: 8000)
        let (map, _) = try view.features(of: Self.audio(Self.sine(frequency, count: 4000)))
        let middle = map.width / 2
        let column = (0..<40).map { map.values[$0 * map.width + middle] }
        // 42 edges from 0 to 4 kHz; below 1 kHz a mel is 200/3 Hz, then 27 for each factor of 6.4.
        func mel(_ hertz: Double) -> Double {
            hertz < 1000 ? hertz * 3 / 200 : 15 + 27 * log(hertz / 1000) / log(6.4)
        }
        let expected = mel(frequency) / mel(4000) * 41 - 1
        let loudest = try #require(column.indices.max { column[$0] < column[$1] })
        #expect(abs(Double(loudest) - expected) <= 1)
        #expect(column[loudest] == column.max() && column[loudest] > 0.95)
    }

    @Test("features lie in 0…1, the loudest is 1, and the level does not count")
    func scale() throws {
        let view = LogMelView(sampleRate: 8000)
        let loud = Self.chirp(count: 3000)
        let (map, source) = try view.features(of: Self.audio(loud))
        #expect(map.values.max() == 1 && map.values.allSatisfy { $0 >= 0 })
        let (quiet, quietSource) = try view.features(of: Self.audio(loud.map { $0 / 8 }))
        #expect(mismatch(quiet.values, map.values, absolute: 1e-4) == nil)
        let difference = source.referenceLevel - quietSource.referenceLevel
        #expect(abs(difference - log(64)) < 1e-4)
    }

    @Test("silence is zero everywhere")
    func silence() throws {
        let view = LogMelView(sampleRate: 8000)
        let (map, _) = try view.features(of: Self.audio([Float](repeating: 0, count: 2000)))
        #expect(map.height == 40 && map.width == 16)
        #expect(map.values.allSatisfy { $0 == 0 })
    }

    @Test(
        "a clip shorter than half a frame has as many frames as are counted for it",
        arguments: [1, 5, 127, 128, 129], [128, 100, 16])
    func short(sampleCount: Int, hop: Int) throws {
        let view = Self.view(rate: 8000, fft: 256, hop: hop, mels: 20)
        let (map, _) = try view.features(of: Self.audio(Self.sine(1000, count: sampleCount)))
        #expect(map.width == view.frameCount(sampleCount: sampleCount))
        #expect(map.values.allSatisfy { $0.isFinite })
    }

    @Test("channels are averaged and another rate is converted, and both are said")
    func conversions() throws {
        let view = LogMelView(sampleRate: 8000)
        let sine = Self.sine(440, rate: 16_000, count: 8000)
        let stereo = Audio(
            sampleRate: 16_000, channelCount: 2, samples: sine.flatMap { [$0 * 1.5, $0 * 0.5] },
            encoding: "test")
        let (map, source) = try view.features(of: stereo)
        #expect(source.conversions.count == 2)
        #expect(source.conversions.contains { $0.contains("16000") && $0.contains("8000") })
        #expect(source.losses.isEmpty)
        let (_, lower) = try LogMelView(sampleRate: 16_000).features(of: Self.audio(sine))
        #expect(lower.losses.count == 1 && lower.losses[0].contains("nothing above 4000 Hz"))
        let (direct, _) = try view.features(of: Self.audio(Self.sine(440, count: 4000)))
        #expect(map.width == direct.width)
        // Away from the ends, where the resampler sees silence; loud bands only.
        let loud = direct.values.indices.filter {
            (2..<map.width - 2).contains($0 % map.width) && direct.values[$0] > 0.6
        }
        #expect(loud.count > map.width)
        #expect(
            mismatch(
                loud.map { map.values[$0] }, loud.map { direct.values[$0] }, absolute: 0.01) == nil)
    }

    @Test("a resynthesised chirp has nearly the mel spectrum that was asked for")
    func roundTrip() throws {
        let view = LogMelView(sampleRate: 8000)
        let signal = Self.chirp(count: 4000)
        let (map, source) = try view.features(of: Self.audio(signal))
        var generator = Generator(seed: 1)
        let rebuilt = try view.audio(
            of: map, referenceLevel: source.referenceLevel, sampleCount: 4000, using: &generator)
        #expect(rebuilt.sampleRate == 8000 && rebuilt.samples.count == 4000)
        let error = try Self.spectralError(rebuilt.samples, signal, view: view)
        // Fast Griffin–Lim at half overlap reaches a spectral convergence of -14 dB or better on
        // clean tones, a fifth in amplitude; noise phases without iterations are far above.
        #expect(error < 0.2)
        var once = LogMelView.Inversion()
        once.iterationCount = 1
        var other = Generator(seed: 1)
        let rough = try view.audio(
            of: map, referenceLevel: source.referenceLevel, sampleCount: 4000, inversion: once,
            using: &other)
        #expect(try Self.spectralError(rough.samples, signal, view: view) > error)
    }

    /// ‖√A - √B‖ / ‖√B‖ over mel powers.
    private static func spectralError(
        _ found: [Float], _ expected: [Float], view: LogMelView
    ) throws -> Double {
        let (a, b) = (try view.logMel(found).values, try view.logMel(expected).values)
        var (difference, norm) = (0.0, 0.0)
        for (x, y) in zip(a, b) {
            difference += pow(exp(Double(x) / 2) - exp(Double(y) / 2), 2)
            norm += exp(Double(y))
        }
        return (difference / norm).squareRoot()
    }

    @Test("the generator decides the signal, and a given phase leaves it nothing to decide")
    func determinism() throws {
        let view = LogMelView(sampleRate: 8000)
        let signal = Self.chirp(count: 1500)
        let (map, source) = try view.features(of: Self.audio(signal))
        func rebuilt(_ seed: UInt64, phase: [Float]? = nil) throws -> [Float] {
            var generator = Generator(seed: seed)
            return try view.audio(
                of: map, referenceLevel: source.referenceLevel, sampleCount: 1500,
                phaseSource: phase, using: &generator
            ).samples
        }
        #expect(try rebuilt(1) == rebuilt(1))
        #expect(try rebuilt(1) != rebuilt(2))
        #expect(try rebuilt(1, phase: signal) == rebuilt(2, phase: signal))
    }

    @Test("where the spectrogram is zero, the signal is far below the floor that zero stands for")
    func silentFloor() throws {
        let view = LogMelView(sampleRate: 8000)
        // Sound in the first half, silence in the second.
        let map = FeatureMap(
            channelCount: 1, height: 40, width: 24,
            values: (0..<40 * 24).map { $0 % 24 < 12 ? 0.9 : 0 })
        var generator = Generator(seed: 4)
        let audio = try view.audio(
            of: map, referenceLevel: -1, sampleCount: nil, using: &generator)
        #expect(audio.samples.count == 23 * view.hopLength)
        let (logs, frames) = try view.logMel(audio.samples)
        let silent = (0..<40).flatMap { band in (16..<22).map { logs[band * frames + $0] } }
        // The floor lies at -1 - 10 nats; the loud half at -2.
        #expect(silent.max()! < -13)
        #expect(logs[20 * frames + 5] > -5)
    }

    @Test(
        "a spectrogram of any number of frames becomes a signal of the length asked for",
        arguments: [1, 2, 3, 9], [128, 64, 100])
    func lengths(frames: Int, hop: Int) throws {
        let view = Self.view(rate: 8000, fft: 256, hop: hop, mels: 20)
        let map = FeatureMap(
            channelCount: 1, height: 20, width: frames,
            values: (0..<20 * frames).map { Float($0 % 7) / 6 })
        for length in [1, 130, frames * hop, 5000] {
            var generator = Generator(seed: 2)
            let audio = try view.audio(
                of: map, referenceLevel: 0, sampleCount: length, using: &generator)
            #expect(audio.samples.count == length)
            #expect(audio.samples.allSatisfy { $0.isFinite })
        }
    }

    @Test("an impossible view is refused with both numbers")
    func validation() throws {
        let changes: [((inout LogMelView) -> Void, [String])] = [
            ({ $0.sampleRate = 500 }, ["500 Hz", "1000"]),
            ({ $0.fftLength = 255 }, ["255", "even"]),
            ({ $0.hopLength = 129 }, ["129", "128"]),
            ({ $0.melCount = 65 }, ["65", "64"]),
            ({ $0.rangeNats = 0 }, ["0.0 nats", "100"]),
        ]
        for (change, texts) in changes {
            var view = LogMelView(sampleRate: 8000)
            #expect(throws: Never.self) { try view.validate() }
            change(&view)
            let error = try #require(throws: LatentError.self) { try view.validate() }
            for text in texts { #expect(error.description.contains(text)) }
        }
    }
}

@Suite("Recordings") struct RecordingTests {
    @Test("samples whose power would overflow are refused, integers that were not scaled are not")
    func loudness() throws {
        func read(_ largest: Float) throws -> Audio {
            let audio = Audio(
                sampleRate: 8_000, channelCount: 1, samples: [0, -largest, 0.5], encoding: "")
            return try Audio(recording: audio.wavData(.float32), path: nil)
        }
        #expect(try read(2_147_483_648).samples[1] == -2_147_483_648)
        let error = try #require(throws: LatentError.self) { try read(1e18) }
        #expect(error.code == .data && error.message.contains("samples reach 1e+18"))
    }
}
