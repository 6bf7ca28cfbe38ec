import Foundation
import Torch

/// A transform and what its number is drawn from.
public struct Transform: Sendable, Equatable {
    /// What is done.
    public let kind: TransformKind
    /// What is drawn from, uniformly, for each file.
    public let range: ClosedRange<Double>

    /// A number of the range, to six digits after the point, as the manifest will have it.
    func draw(using generator: inout Generator) -> Double {
        let drawn = Self.number(in: range, using: &generator)
        return Self.rounded(drawn)
    }

    static func number(
        in range: ClosedRange<Double>, using generator: inout Generator
    ) -> Double {
        let place = Double(generator.uniform())
        return range.lowerBound + (range.upperBound - range.lowerBound) * place
    }

    /// Six digits after the point, and no negative zero.
    static func rounded(_ value: Double) -> Double { (value * 1e6).rounded() / 1e6 + 0 }
}

extension Transform {
    /// More than anybody needs; the work for a file grows with the list.
    private static let listLimit = 32

    /// Reads a list of transforms, as `--transform` has it: `rotate=14,shift=-0.1..0.2,flip-x`.
    ///
    /// A number alone is the largest to either side, the largest, the value itself or a probability,
    /// as the transform has it; `classic` stands for a list that suits most data of the domain.
    ///
    /// - Parameters:
    ///   - text: names, with or without a value, separated by commas
    ///   - domain: the kind of files
    /// - Returns: the transforms, in the order in which they are applied
    /// - Throws: ``LatentError`` `.usage` for names and values that are not possible
    public static func list(
        _ text: String, domain: Domain
    ) throws(LatentError) -> [Transform] {
        var list: [Transform] = []
        for entry in text.split(separator: ",", omittingEmptySubsequences: false) {
            if entry == "classic" {
                list += classic(domain)
            } else {
                list.append(try Transform(entry, domain: domain))
            }
        }
        guard list.count <= listLimit else {
            throw LatentError(
                .usage, "--transform names \(list.count) transforms, expected at most \(listLimit)",
                hint: "leave some out")
        }
        return list
    }

    /// What `classic` stands for.
    ///
    /// For images the affine variation that digits and small pictures are usually given; for recordings
    /// time, level, noise and masks (Park et al., "SpecAugment", Interspeech 2019).
    static func classic(_ domain: Domain) -> [Transform] {
        let kinds: [TransformKind] =
            switch domain {
            case .image: [.rotate, .scale, .shift]
            case .audio: [.timeShift, .gain, .snr, .timeMask, .frequencyMask]
            }
        return kinds.map { Transform(kind: $0, range: $0.rule.standard) }
    }

    /// Reads `name` or `name=value`.
    private init(_ entry: Substring, domain: Domain) throws(LatentError) {
        let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard !entry.isEmpty else {
            throw LatentError(
                .usage, "--transform has a part without a name",
                hint: "write it as rotate=14,shift=0.15")
        }
        guard parts[0] != "classic" else {
            throw LatentError(
                .usage, "--transform \(entry): classic takes no number",
                hint: "write classic alone, or the transforms that it stands for: "
                    + Self.classic(domain).map(\.kind.rawValue).joined(separator: ", "))
        }
        guard let kind = TransformKind(rawValue: String(parts[0])) else {
            throw LatentError(
                .usage, "--transform \(entry): there is no transform \(parts[0])",
                hint: "for \(domain.plural): classic, \(TransformKind.names(of: domain))")
        }
        guard kind.rule.domain == domain else {
            throw LatentError(
                .usage,
                "--transform \(entry): is of \(kind.rule.domain.plural), and the files are "
                    + domain.plural,
                hint: "use classic, \(TransformKind.names(of: domain))")
        }
        self.kind = kind
        range = parts.count == 1 ? kind.rule.standard : try Self.range(of: kind, parts[1])
    }

    private static func range(
        of kind: TransformKind, _ text: Substring
    ) throws(LatentError) -> ClosedRange<Double> {
        let rule = kind.rule
        let name = kind.rawValue
        func refusal(_ reason: String) -> LatentError {
            LatentError(
                .usage, "--transform \(name)=\(text): \(reason)",
                hint: "write a number, as \(name)=\(number(rule.standard.upperBound))"
                    + (rule.reading == .chance
                        ? "" : ", or a range, as \(name)=\(words(rule.standard))"))
        }
        let ends = text.ranges(of: "..").first.map {
            [text[..<$0.lowerBound], text[$0.upperBound...]]
        }
        let numbers = (ends ?? [text]).compactMap { Double($0) }.filter(\.isFinite)
        guard numbers.count == (ends ?? [text]).count else { throw refusal("is no number") }
        if numbers.count == 2, rule.reading == .chance {
            throw refusal("is a range, expected a probability")
        }
        let (low, high) = (numbers[0], numbers[numbers.count - 1])
        guard low <= high else { throw refusal("begins above its end") }
        let range: ClosedRange<Double>
        switch rule.reading {
        case _ where numbers.count == 2: range = low...high
        case .exactly, .chance: range = low...low
        case .eitherSide, .upTo:
            guard high >= 0 else { throw refusal("is below 0, expected the largest size of it") }
            range = (rule.reading == .upTo ? 0 : -high)...high
        }
        guard rule.limits.contains(range.lowerBound), rule.limits.contains(range.upperBound) else {
            throw refusal(
                (numbers.count == 1 && range.lowerBound < range.upperBound
                    ? "stands for \(words(range)), " : "") + "expected within \(words(rule.limits))"
            )
        }
        return range
    }

    private static func words(_ range: ClosedRange<Double>) -> String {
        "\(number(range.lowerBound))..\(number(range.upperBound))"
    }

    /// Without `.0`.
    private static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e9 ? "\(Int(value))" : "\(value)"
    }
}
