import Foundation

/// How strongly runs of frames of normal recordings stand out, and by that which runs of a new
/// recording are segments.
///
/// z = (ln v - m) / s of a frame v is near N(0, 1) in normal recordings. A run at level μ speaks for
/// itself by the sum of the log-likelihood ratios of N(μ, 1) against N(0, 1), μ·(z - μ/2) nats a
/// frame, each of which ``lowestGain`` bounds from below. So a long weak run counts as a short strong
/// one does, and an edge lies where z crosses μ/2, half-way up. Frames are not independent, and
/// recordings differ as a whole: what a run has to have is taken from the strongest run of each normal
/// recording, not from theory.
///
/// Source: the generalised likelihood ratio of a shifted mean, Siegmund & Venkatraman, Annals of
/// Statistics 23(1), 1995, on a grid of shifts; a path of levels as Viterbi 1967. Differs from the
/// largest sums of independent letters (Karlin & Altschul, PNAS 87, 1990) in the tail: see
/// ``NormalEvidence``.
public struct NormalRuns: Codable, Sendable, Equatable {
    /// m: half of the frames of normal recordings have a larger ln v.
    public let middle: Double
    /// s: as much above m, 16 % of the frames have a larger ln v.
    public let deviation: Double
    /// Nats of the strongest run of each normal recording.
    private(set) var evidence = NormalEvidence()
    /// The same, divided by the frames of the recording; nil in models of before.
    private(set) var rates: NormalEvidence? = NormalEvidence()

    /// μ, in units of s.
    static let levels: [Double] = [1, 2, 4, 8, 16]
    /// Nats: one quiet frame does not end a run.
    static let lowestGain = -8.0
    /// Frames that hardly differ are not told from each other.
    private static let leastDeviation = 0.05
    private static let upperShare = 0.158_655

    /// Takes the usual level of frames; nil where they say nothing of it.
    init?(usual frames: Exceedance) {
        guard let half = frames.level(reachedBy: 0.5) else { return nil }
        let upper = frames.level(reachedBy: Self.upperShare) ?? half
        middle = log(half)
        deviation = max(Self.leastDeviation, log(upper / half))
    }

    /// The same level, of no recordings yet.
    var emptied: NormalRuns {
        var copy = self
        copy.evidence = NormalEvidence()
        copy.rates = NormalEvidence()
        return copy
    }

    /// Takes the curve of a normal recording.
    mutating func add(_ curve: some Collection<Float>) {
        let nats = strongest(in: curve)
        evidence.add(nats)
        rates?.add(nats / Double(max(1, curve.count)))
    }

    /// Adds the recordings of another of the same level; those of another level are not comparable.
    mutating func add(_ other: NormalRuns) {
        guard other.middle == middle, other.deviation == deviation else { return }
        evidence.add(other.evidence)
        if let others = other.rates { rates?.add(others) }
    }

    func validate() throws(LatentError) {
        guard middle.isFinite, deviation.isFinite, deviation > 0 else {
            throw LatentError(.model, "the model's record has levels of frames that cannot be")
        }
        try evidence.validate(of: "runs of frames")
        try rates?.validate(of: "rates of runs of frames")
    }

    // MARK: Evidence

    /// What a frame says for each level, in nats; what is no number is as large as can be.
    private func gains(of value: Float) -> [Double] {
        let logarithm = log(Double(value))
        let z = min(100, logarithm.isNaN ? .infinity : (logarithm - middle) / deviation)
        return Self.levels.map { max(Self.lowestGain, $0 * (z - $0 / 2)) }
    }

    /// Nats of the strongest run at one level, 0 where none stands out.
    func strongest(in curve: some Collection<Float>) -> Double {
        var sums = [Double](repeating: 0, count: Self.levels.count)
        var largest = 0.0
        for value in curve {
            for (level, gain) in gains(of: value).enumerated() {
                sums[level] = max(0, sums[level] + gain)
                largest = max(largest, sums[level])
            }
        }
        return largest
    }

    /// The nats that the strongest run of a share of normal recordings is above; nil without
    /// recordings.
    ///
    /// It is never less than ln(1 / share), which likelihood ratios of independent frames would need.
    func price(share: Double) -> Double? {
        evidence.price(share: share, tail: .root).map { max(log(1 / share), $0) }
    }

    /// The runs of a recording that have more than `price` nats, ascending.
    ///
    /// They are the stretches of ``path(of:price:)`` at one level that have as much by themselves. Where
    /// one level meets another they touch: a strange stretch keeps its edge beside one that is less so.
    func runs(in curve: [Float], price: Double) -> [Range<Int>] {
        let path = path(of: curve, price: price)
        var ranges: [Range<Int>] = []
        var start = 0
        for frame in path.indices where frame + 1 == path.count || path[frame + 1] != path[frame] {
            let range = start..<frame + 1
            start = frame + 1
            if path[frame] > 0, strongest(in: curve[range]) > price { ranges.append(range) }
        }
        return ranges
    }

    /// The most probable path: of each frame 0 for "normal", or the number of its level from 1.
    ///
    /// Going from normal to a level costs `price` nats, from one to another half of that, and back to
    /// normal nothing.
    ///
    /// - Complexity: one pass over the frames, with a byte for each frame and level
    func path(of curve: [Float], price: Double) -> [Int] {
        let count = Self.levels.count
        // Best sums of the frames so far, that end in normal frames and at each level.
        var sums = [0.0] + [Double](repeating: -.infinity, count: count)
        // For each frame and state, the state of the frame before.
        var origins: [UInt8] = []
        origins.reserveCapacity(curve.count * (count + 1))
        var top = 1
        for value in curve {
            let (opened, changed) = (sums[0] - price, sums[top] - price / 2)
            let source = opened >= changed ? 0 : top
            let entered = max(opened, changed)
            origins.append(UInt8(sums[top] > sums[0] ? top : 0))
            sums[0] = max(sums[0], sums[top])
            for (index, gain) in gains(of: value).enumerated() {
                let level = index + 1
                let stays = sums[level] >= entered
                origins.append(UInt8(stays ? level : source))
                sums[level] = max(sums[level], entered) + gain
            }
            top = (1...count).max { sums[$0] < sums[$1] } ?? 1
        }
        var state = sums[top] > sums[0] ? top : 0
        var path = [Int](repeating: 0, count: curve.count)
        for frame in curve.indices.reversed() {
            path[frame] = state
            state = Int(origins[frame * (count + 1) + state])
        }
        return path
    }
}
