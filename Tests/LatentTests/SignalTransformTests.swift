import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Transforms of recordings") struct SignalTransformTests {
    init() { _ = Runtime.threadCount }

    private struct Expected: Decodable {
        struct Bands: Decodable {
            let rate: Int
            let samples, expected: [Float]
            let low, high: Double
        }
        let bands: Bands
    }

    private static func tone(
        _ frequency: Double, rate: Int = 8000, seconds: Double = 0.6, amplitude: Double = 0.4,
        channels: Int = 1
    ) -> Audio {
        let samples = (0..<Int(seconds * Double(rate))).flatMap { index in
            let phase = 2 * Double.pi * frequency * Double(index) / Double(rate)
            // A second channel is the same a quarter of a period later.
            return (0..<channels).map { Float(amplitude * sin(phase - Double($0) * .pi / 2)) }
        }
        return Audio(sampleRate: rate, channelCount: channels, samples: samples, encoding: "test")
    }

    private static func noise(_ count: Int, rate: Int = 8000, deviation: Float = 0.1) -> Audio {
        var generator = Generator(seed: 31, UInt64(count))
        return Audio(
            sampleRate: rate, channelCount: 1,
            samples: generator.normals(count).map { $0 * deviation }, encoding: "test")
    }

    private static func apply(
        _ text: String, to audio: Audio, noise: [NoiseSource] = [.white], seed: UInt64 = 0,
        draw: Int = 0
    ) throws -> (Audio, [AppliedTransform]) {
        var transforms = try FileTransforms(text, domain: .audio)
        transforms.noiseSources = noise
        return try transforms.apply(to: audio, seed: seed, draw: draw)
    }

    /// The frequency at which the middle of a signal has most power, to 0.4 Hz.
    private static func dominant(_ audio: Audio) throws -> Double {
        let samples = audio.mono()
        let middle = samples[samples.count / 5..<samples.count * 4 / 5]
        let length = 1 << 15
        // Hann, so that the lobes of a short piece do not reach far, and silence behind it.
        var windowed = middle.enumerated().map { place, value in
            value * Float(0.5 - 0.5 * cos(2 * .pi * Double(place) / Double(middle.count)))
        }
        windowed += [Float](repeating: 0, count: length - windowed.count)
        let power = try shortTimeFourier(
            Tensor(windowed, shape: [length]), fftLength: length, hopLength: length,
            window: Tensor([Float](repeating: 1, count: length), shape: [length]), isCentred: false
        ).magnitude().floats()
        let largest = power.indices.max { power[$0] < power[$1] } ?? 0
        return Double(largest * audio.sampleRate) / Double(length)
    }

    /// The largest step from sample to sample.
    private static func largestStep(_ samples: [Float]) -> Float {
        zip(samples, samples.dropFirst()).reduce(0) { max($0, abs($1.1 - $1.0)) }
    }

    @Test(
        "a gain is in decibels, and what would clip is lowered and said", arguments: [-6.0, 3, 20])
    func gain(decibels: Double) throws {
        let tone = Self.tone(440)
        let (made, applied) = try Self.apply("gain=\(decibels)..\(decibels)", to: tone)
        let ratio = Double(Signal(made).peak / Signal(tone).peak)
        #expect(applied.first == AppliedTransform("gain", ["gain_db": .number(decibels)]))
        if decibels == 20 {
            #expect(abs(Signal(made).peak - FileTransforms.fullScale) < 1e-6 && applied.count == 2)
            guard case .number(let limit) = applied[1].values["gain_db"] else {
                Issue.record("no limit")
                return
            }
            #expect(abs(20 * log10(ratio) - decibels - limit) < 1e-4)
        } else {
            #expect(applied.count == 1 && abs(20 * log10(ratio) - decibels) < 1e-4)
        }
    }

    @Test(
        "noise is mixed at the very ratio", arguments: [NoiseSource.white, .pink], [-3.0, 12, 30])
    func ratio(source: NoiseSource, decibels: Double) throws {
        let tone = Self.tone(300, amplitude: 0.05, channels: 2)
        let (made, applied) = try Self.apply(
            "snr=\(decibels)", to: tone, noise: [source], draw: 2)
        var rest = Signal(made)
        let clean = Signal(tone)
        for channel in 0..<2 {
            rest.channels[channel] = zip(rest.channels[channel], clean.channels[channel]).map(-)
        }
        let found = 10 * log10(clean.power / rest.power)
        #expect(abs(found - decibels) < 1e-3)
        #expect(rest.channels[0] != rest.channels[1])
        #expect(
            applied == [
                AppliedTransform(
                    "snr",
                    [
                        "snr_db": .number(decibels),
                        "noise": .text(source == .pink ? "pink" : "white"),
                    ])
            ])
    }

    @Test("pink noise has as much power in each octave")
    func pink() throws {
        var generator = Generator(seed: 3)
        let samples = Signal.pinkNoise(1 << 17, using: &generator)
        let window = [Float](repeating: 1, count: 1024)
        let power = try shortTimeFourier(
            Tensor(samples, shape: [samples.count]), fftLength: 1024, hopLength: 1024,
            window: Tensor(window, shape: [1024])
        ).magnitude().squared().mean(axes: [1]).floats()
        let octaves = [8, 16, 32, 64, 128, 256].map { start in
            10 * log10(Double(power[start..<2 * start].reduce(0, +)))
        }
        let mean = octaves.reduce(0, +) / 6
        #expect(octaves.allSatisfy { abs($0 - mean) < 0.5 }, "\(octaves)")
    }

    @Test("noise of a file is at the recording's rate, and goes on where it is too short")
    func noiseFile() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(
            Self.tone(1000, rate: 16_000, seconds: 0.05).wavData(.float32), to: "hum.wav")
        let tone = Self.tone(300, channels: 2)
        let (made, applied) = try Self.apply("snr=-20", to: tone, noise: [.files([path])])
        #expect(abs(try Self.dominant(made) - 1000) < 4)
        #expect(made.frameCount == tone.frameCount && made.channelCount == 2)
        #expect(applied[0].values["noise"] == .text(path))
        let long = try folder.write(
            Self.tone(700, rate: 8000, seconds: 3).wavData(.float32), to: "long.wav")
        let places = try (0..<5).map { draw in
            try Self.apply("snr=0", to: tone, noise: [.files([long])], draw: draw).1[0].values[
                "noise_start_s"]
        }
        #expect(Set(places.compactMap { "\(String(describing: $0))" }).count == 5)
        let both = try (0..<40).map { draw in
            try Self.apply("snr=0", to: tone, noise: [.pink, .files([path, long])], draw: draw)
                .1[0].values["noise"]
        }
        #expect([.text("pink"), .text(path), .text(long)].allSatisfy { both.contains($0) })
        let error = #expect(throws: MediaError.self) {
            try Self.apply(
                "snr=0", to: tone, noise: [.files([Fixtures.path("broken/truncated.wav")])])
        }
        #expect(error?.path?.hasSuffix("truncated.wav") == true)
    }

    @Test("silence stays silence, and says so")
    func silence() throws {
        let silence = Audio(
            sampleRate: 8000, channelCount: 1, samples: [Float](repeating: 0, count: 400),
            encoding: "test")
        let (made, applied) = try Self.apply("snr=10,gain,classic,pitch-shift", to: silence)
        #expect(made.samples.allSatisfy { $0 == 0 } && made.frameCount == 400)
        #expect(
            applied[0]
                == AppliedTransform("snr", ["silent": .flag(true), "noise": .text("white")]))
    }

    @Test(
        "stretched, a tone keeps its frequency and changes its length", arguments: [8000, 22_050],
        [-0.3, -0.1, 0.1, 0.5])
    func stretch(rate: Int, change: Double) throws {
        let tone = Self.tone(440, rate: rate, channels: 2)
        let (made, applied) = try Self.apply("time-stretch=\(change)..\(change)", to: tone)
        #expect(
            made.frameCount == Int((Double(tone.frameCount) * (1 + change)).rounded()))
        #expect(abs(try Self.dominant(made) - 440) < 1.5)
        guard case .number(let factor) = applied[0].values["factor"] else {
            Issue.record("no factor")
            return
        }
        #expect(abs(factor - 1 - change) < 1e-9)
        // As loud as it was, without gaps or clicks.
        let (before, after) = (Signal(tone), Signal(made))
        #expect(abs(10 * log10(after.power / before.power)) < 0.3)
        #expect(Self.largestStep(after.channels[0]) < 1.1 * Self.largestStep(before.channels[0]))
        // The second channel stays a quarter of a period behind.
        let quarter = Double(rate) / 440 / 4
        let middle = after.length / 2
        let behind = (0..<200).map { place -> Double in
            let position = Double(middle + place) - quarter
            let start = Int(position)
            let share = Float(position - Double(start))
            let value =
                after.channels[0][start] * (1 - share) + after.channels[0][start + 1] * share
            return abs(Double(value - after.channels[1][middle + place]))
        }
        #expect((behind.max() ?? 1) < 0.05)
    }

    @Test(
        "shifted in pitch, a tone changes its frequency and keeps its length",
        arguments: [8000, 22_050], [-5.0, -0.5, 0.3, 4, 12])
    func pitch(rate: Int, semitones: Double) throws {
        let tone = Self.tone(440, rate: rate)
        let (made, applied) = try Self.apply(
            "pitch-shift=\(semitones)..\(semitones)", to: tone)
        #expect(made.frameCount == tone.frameCount && made.sampleRate == rate)
        let wanted = 440 * pow(2, semitones / 12)
        #expect(abs(try Self.dominant(made) / wanted - 1) < 0.004)
        #expect(applied == [AppliedTransform("pitch-shift", ["semitones": .number(semitones)])])
        #expect(abs(10 * log10(Signal(made).power / Signal(tone).power)) < 0.4)
    }

    @Test(
        "a shift in time moves samples, keeps the length and fades what is cut",
        arguments: [0.25, -0.4])
    func timeShift(share: Double) throws {
        let source = Self.tone(200, amplitude: 0.9)
        let (made, applied) = try Self.apply("time-shift=\(share)..\(share)", to: source)
        let count = source.frameCount
        let offset = Int((share * Double(count)).rounded())
        #expect(made.frameCount == count)
        #expect(
            applied == [
                AppliedTransform("time-shift", ["shift_s": .number(Double(offset) / 8000)])
            ])
        let kept = max(0, offset)..<min(count, count + offset)
        for index in 0..<count {
            if !kept.contains(index) {
                #expect(made.samples[index] == 0)
            } else if kept.dropFirst(40).dropLast(40).contains(index) {
                #expect(made.samples[index] == source.samples[index - offset])
            }
        }
        #expect(Self.largestStep(made.samples) < 1.2 * Self.largestStep(source.samples))
        #expect(abs(made.samples[kept.upperBound - 1]) < 0.01)
        #expect(try Self.apply("time-shift=1..1", to: source).0.samples.allSatisfy { $0 == 0 })
    }

    @Test("a mask in time silences a part of the length that is said, without clicks")
    func timeMask() throws {
        let source = Self.tone(200, amplitude: 0.9)
        let (made, applied) = try Self.apply("time-mask=0.3..0.3", to: source)
        guard case .number(let start) = applied[0].values["start_s"],
            case .number(let length) = applied[0].values["length_s"]
        else {
            Issue.record("nothing said")
            return
        }
        let (first, count) = (Int((start * 8000).rounded()), Int((length * 8000).rounded()))
        #expect(count == Int((0.3 * Double(source.frameCount)).rounded()))
        for index in source.samples.indices {
            if !(first..<first + count).contains(index) {
                #expect(made.samples[index] == source.samples[index])
            } else if (first + 40..<first + count - 40).contains(index) {
                #expect(made.samples[index] == 0)
            }
        }
        #expect(Self.largestStep(made.samples) < 1.2 * Self.largestStep(source.samples))
    }

    @Test("a band is removed as NumPy removes it, in blocks as in one piece")
    func bandOracle() throws {
        let expected = try Fixtures.expected("transforms.json", as: Expected.self).bands
        var signal = Signal(
            Audio(
                sampleRate: expected.rate, channelCount: 1, samples: expected.samples,
                encoding: "test"))
        try signal.remove(expected.low...expected.high)
        #expect(mismatch(signal.channels[0], expected.expected, absolute: 2e-6) == nil)
        // At 1 kHz a block is 32,768 samples.
        let long = Self.noise(70_000, rate: 1000)
        var blocks = Signal(long)
        try blocks.remove(100...150)
        var part = Signal(
            Audio(
                sampleRate: 1000, channelCount: 1, samples: Array(long.samples[32_000..<34_000]),
                encoding: "test"))
        try part.remove(100...150)
        #expect(
            mismatch(
                Array(blocks.channels[0][32_100..<33_900]), Array(part.channels[0][100..<1900]),
                absolute: 1e-5) == nil)
    }

    @Test("a band of the share of the mel scale that is asked for is gone, the rest is there")
    func frequencyMask() throws {
        let source = Self.noise(16_000)
        let (made, applied) = try Self.apply("frequency-mask=0.2..0.2", to: source, draw: 1)
        guard case .number(let low) = applied[0].values["low_hz"],
            case .number(let high) = applied[0].values["high_hz"]
        else {
            Issue.record("nothing said")
            return
        }
        let share = (LogMelView.mel(high) - LogMelView.mel(low)) / LogMelView.mel(4000)
        #expect(abs(share - 0.2) < 1e-3 && low >= 0 && high <= 4001)
        let window = try LogMelView(sampleRate: 8000).window()
        func spectrum(_ samples: [Float]) throws -> [Float] {
            try shortTimeFourier(
                Tensor(samples, shape: [samples.count]), fftLength: 256, hopLength: 128,
                window: window
            ).magnitude().squared().mean(axes: [1]).floats()
        }
        let (before, after) = (try spectrum(source.samples), try spectrum(made.samples))
        for bin in before.indices {
            let frequency = Double(bin) * 8000 / 256
            if frequency > low + 70, frequency < high - 70 {
                #expect(after[bin] < 1e-3 * before[bin])
            } else if frequency < low - 70 || frequency > high + 70 {
                #expect(abs(after[bin] / before[bin] - 1) < 0.1)
            }
        }
    }

    @Test(
        "recordings of a few samples come through everything", arguments: [1, 2, 40, 200],
        [8000, 48_000])
    func short(count: Int, rate: Int) throws {
        let audio = Audio(
            sampleRate: rate, channelCount: 2, samples: (0..<2 * count).map { Float($0 % 3) / 4 },
            encoding: "test")
        for draw in 0..<4 {
            let (made, applied) = try Self.apply(
                "classic,pitch-shift=12,time-stretch=0.5", to: audio, noise: [.pink], draw: draw)
            #expect(made.channelCount == 2 && made.frameCount >= 1)
            #expect(made.samples.allSatisfy(\.isFinite) && applied.count >= 7)
            let kept = try Self.apply("classic,pitch-shift=12", to: audio, draw: draw).0
            #expect(kept.frameCount == count)
        }
    }

    @Test("samples above full scale stay as loud as they were")
    func aboveFullScale() throws {
        let loud = Self.tone(100, amplitude: 2.5)
        let (made, applied) = try Self.apply("gain=0..0,time-mask=0", to: loud)
        #expect(made.samples == loud.samples && applied.count == 2)
        let louder = try Self.apply("gain=6..6", to: loud).0
        #expect(abs(Signal(louder).peak - Signal(loud).peak) < 1e-5)
    }
}
