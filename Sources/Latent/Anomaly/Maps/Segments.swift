import Foundation

/// A stretch of a recording that stands out.
public struct Segment: Sendable, Equatable {
    /// Seconds from the beginning of the recording.
    public let start: Double
    /// Seconds from the beginning of the recording.
    public let end: Double
    /// The largest frame in it: v, a mean over bands, in units of ``MapCalibration``.
    public let score: Double
    /// The share of normal recordings in which anything stands out as much, by either rule.
    public let pValue: Double?
}

/// By what a stretch of a recording is a segment.
///
/// First by its frames, ``NormalRuns``; where none of them stand out, by being unlike the rest of its own
/// recording, ``FrameContrast``. Each rule has half of the false alarms. Where both speak, the second
/// tells where a run ends, see ``standing(_:in:_:)``.
struct SegmentRule {
    private let runs: NormalRuns
    private let contrasts: NormalEvidence?
    private let price: Double
    private let contrastPrice: Double
    /// Nats a frame; in models of before every part has more.
    private let ratePrice: Double
    /// Whether the share is beyond what so many normal recordings can say.
    let isExtrapolated: Bool
    /// Normal recordings of the calibration, or stretches of longer ones.
    let recordingCount: Int
    /// As many as are enough.
    let leastCount: Int

    /// Nil for a model that is not calibrated for it.
    init?(_ calibration: MapCalibration, share: Double) {
        contrasts = calibration.contrasts
        let own = share / (contrasts == nil ? 1 : 2)
        guard let runs = calibration.runs, let price = runs.price(share: own) else { return nil }
        self.runs = runs
        self.price = price
        contrastPrice = contrasts?.price(share: own, tail: .logarithm) ?? .infinity
        ratePrice = runs.rates?.price(share: own, tail: .root) ?? -.infinity
        isExtrapolated = runs.evidence.isExtrapolated(own)
        recordingCount = runs.evidence.nats.count
        leastCount = Calibration.neededCount(rate: own)
    }

    /// The frames of each segment of a recording, in the order of time, and its p-value.
    ///
    /// What ends where one stretch does, and begins where the next does, is one segment.
    func segments(of map: AnomalyMap, curve: [Float]) -> [Found] {
        var found: [Found] = []
        for (stretch, contrast) in zip(map.stretches, map.contrasts) {
            for (index, own) in segments(in: Array(curve[stretch]), contrast).enumerated() {
                let frames =
                    own.frames.lowerBound + stretch.lowerBound..<own.frames.upperBound
                    + stretch.lowerBound
                if index == 0, let last = found.last, last.frames.upperBound == frames.lowerBound,
                    frames.lowerBound == stretch.lowerBound
                {
                    let pValues = [last.pValue, own.pValue].compactMap(\.self)
                    found[found.count - 1] = (
                        last.frames.lowerBound..<frames.upperBound, pValues.min()
                    )
                } else {
                    found.append((frames, own.pValue))
                }
            }
        }
        return found
    }

    /// A segment: its frames and its p-value.
    typealias Found = (frames: Range<Int>, pValue: Double?)

    /// The same of one stretch.
    private func segments(in curve: [Float], _ contrast: ContrastingStretch?) -> [Found] {
        func either(_ pValue: Double?) -> Double? {
            pValue.map { contrasts == nil ? $0 : min(1, 2 * $0) }
        }
        let found = runs.runs(in: curve, price: price).flatMap {
            standing($0, in: curve, contrast)
        }
        guard found.isEmpty else {
            return found.map { range in
                (range, either(runs.evidence.pValue(of: runs.strongest(in: curve[range]))))
            }
        }
        guard let contrast, contrast.nats > contrastPrice else { return [] }
        let pValue = either(contrasts?.pValue(of: contrast.nats))
        return Self.stranger(contrast.frames, in: curve).map { ($0, pValue) }
    }

    /// What is left of a run without parts that are unlike the rest, and would be no run in a recording of their
    /// own.
    ///
    /// Recordings differ as a whole, so that one of which nothing stands out may yet add to the run of a strange
    /// stretch beside it. A recording's contrast tells where the one begins and the other ends. As parts are
    /// short, they are compared by their nats a frame. What is left has to be strong enough by itself.
    private func standing(
        _ run: Range<Int>, in curve: [Float], _ contrast: ContrastingStretch?
    ) -> [Range<Int>] {
        guard let contrast, contrast.nats > contrastPrice else { return [run] }
        let edges = [contrast.frames.lowerBound, contrast.frames.upperBound].filter {
            run.lowerBound < $0 && $0 < run.upperBound
        }
        var kept: [Range<Int>] = []
        for (start, end) in zip([run.lowerBound] + edges, edges + [run.upperBound]) {
            let part = curve[start..<end]
            let nats = runs.strongest(in: part)
            guard nats > price || nats / Double(part.count) > ratePrice else { continue }
            let isNext = kept.last?.upperBound == start
            kept.append((isNext ? kept.removeLast().lowerBound : start)..<end)
        }
        let strong = kept.filter { runs.strongest(in: curve[$0]) > price }
        return strong.isEmpty ? [run] : strong
    }

    /// A stretch, or the rest where that is farther from what is usual: a contrast is the same of both.
    static func stranger(_ frames: Range<Int>, in curve: [Float]) -> [Range<Int>] {
        let inside = frames.clamped(to: curve.indices)
        let outside = [0..<inside.lowerBound, inside.upperBound..<curve.count]
            .filter { !$0.isEmpty }
        func level(_ ranges: [Range<Int>]) -> Double {
            let logarithms = ranges.flatMap { curve[$0].map { log(max(Double($0), 1e-30)) } }
            return logarithms.reduce(0, +) / Double(max(1, logarithms.count))
        }
        return level([inside]) >= level(outside) ? [inside] : outside
    }
}

extension MapCalibration {
    /// The stretches of a recording's map that stand out; none of an image.
    ///
    /// - Parameters:
    ///   - map: of the model that this is the calibration of
    ///   - share: of normal recordings, as long as those of calibration, that have any; of much longer ones,
    ///     of stretches as long as those
    /// - Returns: in the order of time; a frame reaches half a hop to either side of its middle
    /// - Throws: ``LatentError`` `.usage` for a model that is not calibrated for segments
    public func segments(of map: AnomalyMap, share: Double) throws(LatentError) -> [Segment] {
        guard let curve = map.curve, let hop = map.frameSeconds else { return [] }
        return try segmentRule(share: share).segments(of: map, curve: curve).map { range, pValue in
            let start = range.lowerBound == 0 ? 0 : (Double(range.lowerBound) - 0.5) * hop
            let end =
                range.upperBound == curve.count
                ? map.duration : (Double(range.upperBound) - 0.5) * hop
            return Segment(
                start: min(start, map.duration), end: min(end, map.duration),
                score: Double(curve[range].max() ?? 0), pValue: pValue)
        }
    }

    /// By what a stretch is a segment.
    func segmentRule(share: Double) throws(LatentError) -> SegmentRule {
        guard let rule = SegmentRule(self, share: share) else {
            throw LatentError(
                .usage, "the model is not calibrated for segments of recordings",
                hint: "give it normal files: latent calibrate -m MODEL NORMAL -o NEW")
        }
        return rule
    }
}

extension Exceedance {
    /// The level that a share of the elements is above.
    ///
    /// - Throws: ``LatentError`` `.usage` for a share that is too small
    func threshold(share: Double, of what: String) throws(LatentError) -> Double {
        guard let level = level(reachedBy: share) else {
            throw LatentError(
                .usage,
                "the \(what) of \(fileCount) normal files say nothing of a share of \(share)",
                hint: fileCount == 0
                    ? "calibrate the model: latent calibrate -m MODEL NORMAL -o NEW"
                    : "use a share of at least \(smallestShare)")
        }
        return level
    }
}
