/// What a ranking is worth in which anomalous items should come before normal ones.
///
/// Items are flagged from the highest score down, those of equal score together. After each such
/// step, with tp of the P anomalous and fp of the N normal items flagged, TPR = recall = tp / P,
/// FPR = fp / N, precision = tp / (tp + fp). All figures are those of scikit-learn, ties included.
public struct DetectionMetrics: Sendable, Equatable {
    /// P(s⁺ > s⁻) + ½ P(s⁺ = s⁻): the area under TPR over FPR by trapezoids (Hanley & McNeil 1982).
    public let auroc: Double
    /// Σ (Rₙ - Rₙ₋₁) Pₙ over the steps: precision, averaged over recall without interpolation.
    public let averagePrecision: Double
    /// The area A under the ROC curve up to x = FPR 0.1, as ½ (1 + (A - x²/2) / (x - x²/2)): one half
    /// for chance, 1 for a perfect ranking (McClish 1989).
    public let partialAUROC: Double
    /// The largest TPR of a threshold whose FPR is at most 0.01.
    public let recallAtOnePercent: Double
    /// The largest TPR of a threshold whose FPR is at most 0.05.
    public let recallAtFivePercent: Double
    /// The largest F1 = 2 tp / (2 tp + fp + fn) of any threshold (van Rijsbergen 1979).
    public let bestF1: Double
    /// The lowest score that is flagged there; the highest such where several are as good.
    public let bestF1Threshold: Double

    /// The FPR up to which ``partialAUROC`` goes.
    public static let partialLimit = 0.1

    /// Measures one stratum of anomalous items against the normal ones.
    ///
    /// - Parameters:
    ///   - stratum: the anomalous items
    ///   - weights: how often each of them counts; the sum is at least 1
    ///   - normalsBefore: ``Ranking/before(_:)`` of the normal items, at least one of them
    ///   - values: the scores of the places
    /// - Complexity: one pass over the stratum
    init(
        _ stratum: Ranking.Stratum, weights: [Int32], normalsBefore: [Int], values: [Double]
    ) {
        let places = stratum.places
        let normalTotal = normalsBefore[values.count]
        let normalCount = Double(normalTotal)
        let total = weights.reduce(0) { $0 + Int($1) }
        let (limit, anomalyCount) = (Self.partialLimit, Double(total))
        // Twice the pairs in which the anomalous item comes first, ties counting half: exact.
        var pairs = 0
        var (partial, precisions) = (0.0, 0.0)
        var (best, bestPlace) = (-1.0, 0)
        var (found, atOne, atFive) = (0, 0, 0)
        var index = 0
        while index < places.count {
            let place = Int(places[index])
            var weight = 0
            while index < places.count, Int(places[index]) == place {
                weight += Int(weights[index])
                index += 1
            }
            // Steps without anomalous items change no area, and are the best choice for no figure.
            guard weight > 0 else { continue }
            found += weight
            let flagged = normalsBefore[place + 1]
            let start = Double(normalsBefore[place]) / normalCount
            let end = Double(flagged) / normalCount
            pairs += weight * (2 * normalTotal - normalsBefore[place] - flagged)
            partial += Double(weight) * areaOfStep(from: start, to: end, limit: limit)
            precisions += Double(weight) * Double(found) / Double(found + flagged)
            if end <= 0.01 { atOne = found }
            if end <= 0.05 { atFive = found }
            let f1 = 2 * Double(found) / Double(found + flagged + total)
            if f1 > best { (best, bestPlace) = (f1, place) }
        }
        auroc = Double(pairs) / (2 * normalCount * anomalyCount)
        averagePrecision = precisions / anomalyCount
        let chance = limit * limit / 2
        partialAUROC = (1 + (partial / anomalyCount - chance) / (limit - chance)) / 2
        recallAtOnePercent = Double(atOne) / anomalyCount
        recallAtFivePercent = Double(atFive) / anomalyCount
        bestF1 = best
        bestF1Threshold = values[bestPlace]
    }
}

/// The area, up to a limit of the false-positive rate, under a curve that rises from 0 to 1 while the
/// rate goes from `start` to `end`, and stays at 1.
func areaOfStep(from start: Double, to end: Double, limit: Double) -> Double {
    guard start < limit else { return 0 }
    if end <= limit { return limit - (start + end) / 2 }
    return (limit - start) * (limit - start) / (2 * (end - start))
}

/// Scores sorted once, so that any resample of the items is measured in one pass.
struct Ranking: Sendable {
    /// Items that belong together.
    struct Stratum: Sendable {
        /// The class, where they are those of one.
        let className: String?
        /// Where each item's score stands in ``Ranking/values``, rising.
        let places: [Int32]
        /// What the stored threshold said of each item, in the same order.
        let verdicts: [Bool?]

        var count: Int { places.count }
    }

    /// An item, as far as figures need it.
    struct Entry: Sendable {
        let score: Double
        /// The number of its class; nil for a normal item.
        let classIndex: Int?
        let verdict: Bool?
    }

    /// The scores that occur, falling.
    let values: [Double]
    let normals: Stratum
    /// All anomalous items, then those of each class that has some.
    let strata: [Stratum]

    /// Sorts entries, of which none is NaN.
    init(_ entries: [Entry], classNames: [String]) {
        let order = entries.indices.sorted { entries[$0].score > entries[$1].score }
        var values: [Double] = []
        var collected = [(places: [Int32], verdicts: [Bool?])](
            repeating: ([], []), count: classNames.count + 2)
        for index in order {
            let entry = entries[index]
            if values.last != entry.score { values.append(entry.score) }
            let homes = entry.classIndex.map { [1, $0 + 2] } ?? [0]
            for home in homes {
                collected[home].places.append(Int32(values.count - 1))
                collected[home].verdicts.append(entry.verdict)
            }
        }
        let strata = zip([nil, nil] + classNames.map(Optional.some), collected).map {
            Stratum(className: $0, places: $1.places, verdicts: $1.verdicts)
        }
        self.values = values
        normals = strata[0]
        self.strata = [strata[1]] + strata[2...].filter { $0.count > 0 }
    }

    /// For each place, how many of the stratum's items stand before it; and, at the end, all of them.
    func before(_ stratum: Stratum, weights: [Int32]) -> [Int] {
        var sums = [Int](repeating: 0, count: values.count + 1)
        for (place, weight) in zip(stratum.places, weights) { sums[Int(place) + 1] += Int(weight) }
        for place in values.indices { sums[place + 1] += sums[place] }
        return sums
    }

    /// For each place, how many of the stratum's items stand before it.
    func before(_ stratum: Stratum) -> [Int] { before(stratum, weights: stratum.ones) }
}

extension Ranking.Stratum {
    /// Each item counted once.
    var ones: [Int32] { Array(repeating: 1, count: count) }
}
