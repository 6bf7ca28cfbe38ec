import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Lists of transforms") struct TransformListTests {
    @Test(
        "a number means what the transform says, a range itself, nothing the usual",
        arguments: [
            ("rotate=20", -20.0...20.0), ("rotate=-5..10", -5...10), ("rotate", -14...14),
            ("crop=0.3", 0...0.3), ("crop=0.1..0.3", 0.1...0.3), ("elastic=0.1", 0.1...0.1),
            ("flip-x", 0.5...0.5), ("flip-y=1", 1...1), ("scale=-0.5..1", -0.5...1),
        ])
    func images(text: String, range: ClosedRange<Double>) throws {
        let list = try Transform.list(text, domain: .image)
        #expect(list.map(\.range) == [range])
        #expect(list.map(\.kind.rawValue) == [String(text.prefix { $0 != "=" })])
    }

    @Test(
        "recordings have their own",
        arguments: [
            ("snr=10..30", 10.0...30.0), ("snr=15", 15...15), ("gain=3", -3...3),
            ("time-mask=0.2", 0...0.2), ("pitch-shift=-1..0", -1...0),
        ])
    func recordings(text: String, range: ClosedRange<Double>) throws {
        #expect(try Transform.list(text, domain: .audio).map(\.range) == [range])
    }

    @Test("every transform is known by its name in one domain, and its usual range is allowed")
    func kinds() throws {
        for kind in TransformKind.allCases {
            let rule = kind.rule
            let list = try Transform.list(kind.rawValue, domain: rule.domain)
            #expect(list.map(\.kind) == [kind])
            #expect(rule.limits.contains(rule.standard.lowerBound))
            #expect(rule.limits.contains(rule.standard.upperBound))
            #expect(throws: LatentError.self) {
                try Transform.list(
                    kind.rawValue, domain: rule.domain == .image ? .audio : .image)
            }
        }
    }

    @Test("classic stands for a list, at its place among others")
    func classic() throws {
        let images = try Transform.list("flip-x,classic,elastic", domain: .image)
        #expect(images.map(\.kind) == [.flipX, .rotate, .scale, .shift, .elastic])
        #expect(images[1].range == -14...14 && images[2].range == -0.15...0.15)
        let recordings = try Transform.list("classic", domain: .audio).map(\.kind)
        #expect(recordings == [.timeShift, .gain, .snr, .timeMask, .frequencyMask])
    }

    @Test(
        "what cannot be done is refused in words",
        arguments: [
            ("", "without a name"), ("rotate,,shift", "without a name"),
            ("turn=3", "no transform turn"),
            ("gain=3", "is of recordings"), ("rotate=", "is no number"),
            ("rotate=x", "is no number"),
            ("rotate=nan", "is no number"), ("rotate=1..2..3", "is no number"),
            ("rotate=5..1", "begins above its end"), ("rotate=-3", "is below 0"),
            ("rotate=200", "within -180..180"), ("scale=0.6", "stands for -0.6..0.6"),
            ("flip-x=0..1", "expected a probability"), ("flip-x=1.5", "within 0..1"),
            ("shift=..1", "is no number"), ("classic=2", "classic takes no number"),
        ])
    func refused(text: String, words: String) throws {
        let error = try #require(throws: LatentError.self) {
            try Transform.list(text, domain: .image)
        }
        #expect(error.code == .usage && error.message.contains(words), "\(error)")
        #expect(error.hint != nil)
    }

    @Test("a list that no file needs is refused")
    func tooLong() throws {
        let text = [String](repeating: "classic", count: 11).joined(separator: ",")
        #expect(throws: LatentError.self) { try Transform.list(text, domain: .image) }
    }

    @Test("draws lie in the range, on both sides of its middle, and have six digits")
    func draws() throws {
        let transform = try #require(Transform.list("rotate=-5..10", domain: .image).first)
        let drawn = (0..<400).map { index -> Double in
            var generator = Generator(seed: 4, UInt64(index))
            return transform.draw(using: &generator)
        }
        #expect(drawn.allSatisfy { (-5...10).contains($0) })
        #expect(drawn.count { $0 < 2.5 } > 150 && drawn.count { $0 > 2.5 } > 150)
        #expect(drawn.allSatisfy { abs($0 * 1e6 - ($0 * 1e6).rounded()) < 1e-3 })
    }
}
