/// The classic ways to vary a file; one more is one more case, its row here and its branch where
/// files of its domain are transformed.
public enum TransformKind: String, Sendable, CaseIterable {
    case flipX = "flip-x"
    case flipY = "flip-y"
    case shift, rotate, scale, crop, elastic, brightness, contrast, noise
    case gain, snr
    case timeShift = "time-shift"
    case timeStretch = "time-stretch"
    case pitchShift = "pitch-shift"
    case timeMask = "time-mask"
    case frequencyMask = "frequency-mask"

    /// What a single number stands for.
    enum Reading {
        /// x: from -x to x.
        case eitherSide
        /// x: from 0 to x.
        case upTo
        /// x: x itself.
        case exactly
        /// p: whether, with probability p.
        case chance
    }

    /// What can be asked of a transform.
    struct Rule {
        let domain: Domain
        let reading: Reading
        /// What is drawn from where no value is given.
        let standard: ClosedRange<Double>
        let limits: ClosedRange<Double>
    }

    /// Units are those of the help text of `--transform`.
    var rule: Rule {
        switch self {
        case .flipX, .flipY:
            Rule(domain: .image, reading: .chance, standard: 0.5...0.5, limits: 0...1)
        case .shift:
            Rule(domain: .image, reading: .eitherSide, standard: -0.15...0.15, limits: -1...1)
        case .rotate:
            Rule(domain: .image, reading: .eitherSide, standard: -14...14, limits: -180...180)
        // Below half the size, bilinear interpolation would pass over pixels.
        case .scale:
            Rule(domain: .image, reading: .eitherSide, standard: -0.15...0.15, limits: -0.5...1)
        case .crop:
            Rule(domain: .image, reading: .upTo, standard: 0...0.2, limits: 0...0.9)
        case .elastic:
            Rule(domain: .image, reading: .exactly, standard: 0.05...0.05, limits: 0...0.2)
        case .brightness:
            Rule(domain: .image, reading: .eitherSide, standard: -0.1...0.1, limits: -1...1)
        case .contrast:
            Rule(domain: .image, reading: .eitherSide, standard: -0.2...0.2, limits: -0.9...4)
        case .noise:
            Rule(domain: .image, reading: .exactly, standard: 0.05...0.05, limits: 0...1)
        case .gain:
            Rule(domain: .audio, reading: .eitherSide, standard: -6...6, limits: -60...60)
        case .snr:
            Rule(domain: .audio, reading: .exactly, standard: 20...40, limits: -20...100)
        case .timeShift:
            Rule(domain: .audio, reading: .eitherSide, standard: -0.1...0.1, limits: -1...1)
        case .timeStretch:
            Rule(domain: .audio, reading: .eitherSide, standard: -0.1...0.1, limits: -0.5...1)
        case .pitchShift:
            Rule(domain: .audio, reading: .eitherSide, standard: -2...2, limits: -12...12)
        case .timeMask:
            Rule(domain: .audio, reading: .upTo, standard: 0...0.1, limits: 0...0.9)
        case .frequencyMask:
            Rule(domain: .audio, reading: .upTo, standard: 0...0.15, limits: 0...0.9)
        }
    }

    /// The names of a domain, for messages.
    static func names(of domain: Domain) -> String {
        allCases.filter { $0.rule.domain == domain }.map(\.rawValue).joined(separator: ", ")
    }
}
