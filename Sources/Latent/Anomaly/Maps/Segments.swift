import Foundation

/// A stretch of a recording that stands out.
public struct Segment: Sendable, Equatable {
    /// Seconds from the beginning of the recording.
    public let start: Double
    /// Seconds from the beginning of the recording.
    public let end: Double
    /// The largest frame in it: v, a mean over bands, in units of ``MapCalibration``.
    public let score: Double
    /// The share of normal recordings that have as large a frame anywhere, with the finite-sample
    /// correction of conformal p-values; nil without calibration.
    public let pValue: Double?
}

/// Finds the stretches of a curve that are above a threshold.
///
/// A frame is for or against by ln(v / threshold), held to -1…1 so that one loud frame does not
/// speak for its neighbours. The stretches are those of the largest sum, where opening one costs
/// ``cost`` seconds of full agreement: shorter stretches, and shorter gaps, are not seen. It is the
/// most probable path of a chain of two states with a fixed chance of change (Viterbi 1967), and
/// exact.
enum Stretches {
    /// Seconds.
    static let cost = 0.06

    /// Ranges of frames, ascending; none overlap or touch.
    static func find(in curve: [Float], threshold: Double, frameSeconds: Double) -> [Range<Int>] {
        let price = cost / frameSeconds
        // Best sum of the frames so far that ends outside, and inside of a stretch.
        var outside = 0.0
        var inside = -Double.infinity
        var opened: [Bool] = []
        var closed: [Bool] = []
        for value in curve {
            let ratio = log(Double(value) / threshold)
            let gain = ratio.isNaN ? 1 : min(1, max(-1, ratio))
            opened.append(outside - price >= inside)
            closed.append(inside > outside)
            let nowOutside = max(outside, inside)
            inside = max(inside, outside - price) + gain
            outside = nowOutside
        }
        var isInside = inside > outside
        var ranges: [Range<Int>] = []
        var end = curve.count
        for index in curve.indices.reversed() {
            if isInside {
                guard opened[index] else { continue }
                ranges.append(index..<end)
                isInside = false
            } else if closed[index] {
                isInside = true
                end = index
            }
        }
        return ranges.reversed()
    }
}

extension MapCalibration {
    /// The stretches of a recording's map that stand out; none of an image.
    ///
    /// - Parameters:
    ///   - map: of the model that this is the calibration of
    ///   - share: of the frames of normal recordings that are above the threshold
    /// - Returns: in the order of time; a frame reaches half a hop to either side of its middle
    /// - Throws: ``LatentError`` `.usage` for a share that the calibration says nothing of
    public func segments(of map: AnomalyMap, share: Double) throws(LatentError) -> [Segment] {
        guard let curve = map.curve, let hop = map.frameSeconds else { return [] }
        let threshold = try frames.threshold(share: share, of: "frames")
        return Stretches.find(in: curve, threshold: threshold, frameSeconds: hop).map { range in
            let peak = Double(curve[range].max() ?? 0)
            let start = range.lowerBound == 0 ? 0 : (Double(range.lowerBound) - 0.5) * hop
            let end =
                range.upperBound == curve.count
                ? map.duration : (Double(range.upperBound) - 0.5) * hop
            return Segment(
                start: min(start, map.duration), end: min(end, map.duration), score: peak,
                pValue: pValue(ofPeak: peak))
        }
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
