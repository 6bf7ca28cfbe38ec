import Foundation

/// A stretch of a recording that stands out.
public struct Segment: Sendable, Equatable {
    /// Seconds from the beginning of the recording.
    public let start: Double
    /// Seconds from the beginning of the recording.
    public let end: Double
    /// The largest frame in it: v, a mean over bands, in units of ``MapCalibration``.
    public let score: Double
    /// The share of normal recordings that stand out as much anywhere; see ``NormalRuns``.
    public let pValue: Double?
}

extension MapCalibration {
    /// The stretches of a recording's map that stand out; none of an image.
    ///
    /// - Parameters:
    ///   - map: of the model that this is the calibration of
    ///   - share: of normal recordings, as long as those of calibration, that have any
    /// - Returns: in the order of time; a frame reaches half a hop to either side of its middle
    /// - Throws: ``LatentError`` `.usage` for a model that is not calibrated for segments
    public func segments(of map: AnomalyMap, share: Double) throws(LatentError) -> [Segment] {
        guard let curve = map.curve, let hop = map.frameSeconds else { return [] }
        let (runs, price) = try segmentRule(share: share)
        return runs.runs(in: curve, price: price).map { range in
            let start = range.lowerBound == 0 ? 0 : (Double(range.lowerBound) - 0.5) * hop
            let end =
                range.upperBound == curve.count
                ? map.duration : (Double(range.upperBound) - 0.5) * hop
            return Segment(
                start: min(start, map.duration), end: min(end, map.duration),
                score: Double(curve[range].max() ?? 0),
                pValue: runs.pValue(of: runs.strongest(in: curve[range])))
        }
    }

    /// What runs are compared with, and the nats that they need.
    func segmentRule(share: Double) throws(LatentError) -> (runs: NormalRuns, price: Double) {
        guard let runs, let price = runs.price(share: share) else {
            throw LatentError(
                .usage, "the model is not calibrated for segments of recordings",
                hint: "give it normal files: latent calibrate -m MODEL NORMAL -o NEW")
        }
        return (runs, price)
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
