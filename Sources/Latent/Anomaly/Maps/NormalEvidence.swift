import Foundation

/// How strong the strongest of something was in each of some normal recordings, and from that how
/// strong it has to be in a new one to be no false alarm.
///
/// It is written as the list of the numbers alone.
struct NormalEvidence: Codable, Sendable, Equatable {
    /// Nats, 0 or more, ascending.
    private(set) var nats: [Double]

    /// Makes one of the numbers of some recordings.
    init(_ nats: [Double] = []) { self.nats = nats.sorted() }

    init(from decoder: any Decoder) throws {
        nats = try decoder.singleValueContainer().decode([Double].self)
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(nats)
    }

    /// Takes the number of a recording.
    mutating func add(_ new: Double) { add(NormalEvidence([new])) }

    /// Adds the recordings of another; of very many the strongest stay.
    mutating func add(_ other: NormalEvidence) {
        nats = Array((nats + other.nats).sorted().suffix(Recalibration.scoreLimit))
    }

    func validate(of what: String) throws(LatentError) {
        guard nats.allSatisfy({ $0.isFinite && $0 >= 0 }),
            zip(nats, nats.dropFirst()).allSatisfy({ $0 <= $1 }),
            nats.count <= Recalibration.scoreLimit
        else { throw LatentError(.model, "the model's record has \(what) that cannot be") }
    }

    /// The share of normal recordings, as long as those of calibration, that have something as strong,
    /// with the finite-sample correction of conformal p-values; nil without recordings.
    func pValue(of value: Double) -> Double? { Calibration.pValue(value, among: nats) }

    /// Whether a share of recordings is beyond what so many of them can say.
    func isExtrapolated(_ share: Double) -> Bool {
        Calibration.rank(count: nats.count, rate: share) < 1
    }

    /// On what scale the strongest half of normal recordings is taken to have an exponential tail.
    enum Tail {
        /// Their square roots: nats grow with the square of what a recording is off as a whole.
        case root
        /// Their logarithms, which is a Pareto tail (Hill, Annals of Statistics 3(5), 1975): a few normal
        /// recordings change far more than the rest.
        case logarithm

        fileprivate func scaled(_ nats: Double) -> Double {
            switch self {
            case .root: nats.squareRoot()
            case .logarithm: log(max(nats, 1e-9))
            }
        }

        fileprivate func nats(_ scaled: Double) -> Double {
            switch self {
            case .root: scaled * scaled
            case .logarithm: exp(scaled)
            }
        }
    }

    /// The nats that a share of normal recordings is above.
    ///
    /// It is a conformal threshold where there are enough recordings. Beyond that it is that of the
    /// tail's predictive distribution, on the scale a Pareto distribution that is the wider the fewer
    /// recordings there are, and no less than the largest.
    ///
    /// - Returns: nil without recordings
    func price(share: Double, tail: Tail) -> Double? {
        guard let largest = nats.last else { return nil }
        guard isExtrapolated(share) else {
            return nats[nats.count - Calibration.rank(count: nats.count, rate: share)]
        }
        let count = nats.count
        let upper = max(1, count / 2)
        let start =
            upper < count ? tail.scaled(nats[count - upper - 1]) : min(0, tail.scaled(largest))
        let excess = nats.suffix(upper).reduce(0) { $0 + tail.scaled($1) - start }
        let ratio = Double(upper) / Double(count) / share
        let scaled = start + excess * (pow(ratio, 1 / Double(upper)) - 1)
        return max(largest, tail.nats(scaled))
    }
}
