/// Whether synthetic items are copies of real training items, by Euclidean distances of maps.
///
/// Maps and not learned features: those of a network that was trained on the training items tell them
/// from held-out ones by itself, and would find copies where there are none.
struct CopyFigures: Sendable {
    /// A real item and how far it is.
    typealias Nearest = (index: Int, distance: Double)

    /// For each synthetic item the nearest training item.
    let nearestTraining: [Nearest]
    /// For each synthetic item the nearest held-out item.
    let nearestHeldOut: [Nearest]
    /// The distance that 1 % of the held-out items fall short of to their own nearest training item,
    /// between neighbours in proportion (as `numpy.percentile`).
    let threshold: Double

    /// The share of held-out items that is nearer than the threshold: so many of fresh items would be
    /// called copies by chance.
    static let falseShare = 0.01

    /// Measures against all training and held-out items; no set is empty.
    ///
    /// - Parameters:
    ///   - synthetic: the items in question
    ///   - training: what they may be copies of
    ///   - heldOut: what they cannot be copies of
    ///   - sample: those of the held-out items whose own distances give the threshold
    /// - Throws: `TorchError` when memory runs out
    /// - Complexity: (m·(n + h) + s·n)·d for m synthetic, n training, h held-out items and s of the sample
    init(
        synthetic: some FeatureRows, training: some FeatureRows, heldOut: some FeatureRows,
        sample: some FeatureRows
    ) throws {
        func nearest(_ rows: some FeatureRows, _ others: some FeatureRows) throws -> [Nearest] {
            try NearestRows.nearest(1, to: rows, in: others).map {
                ($0.first?.index ?? 0, ($0.first?.squaredDistance ?? 0).squareRoot())
            }
        }
        nearestTraining = try nearest(synthetic, training)
        nearestHeldOut = try nearest(synthetic, heldOut)
        let own = try nearest(sample, training).map(\.distance).sorted()
        let place = Self.falseShare * Double(own.count - 1)
        let index = Int(place)
        let next = own[min(index + 1, own.count - 1)]
        threshold = own[index] + (next - own[index]) * (place - Double(index))
    }

    /// How many synthetic items are nearer to a training item than the threshold, or are one.
    var copyCount: Int {
        nearestTraining.count { $0.distance < threshold || $0.distance == 0 }
    }

    /// How many synthetic items have the very map of a training item.
    var identicalCount: Int { nearestTraining.count { $0.distance == 0 } }

    /// 1 for a synthetic item that is nearer to a training item than to any held-out one, one half for one
    /// as near to both.
    static func leaking(_ training: Nearest, _ heldOut: Nearest) -> Double {
        training.distance < heldOut.distance ? 1 : training.distance == heldOut.distance ? 0.5 : 0
    }

    /// The leakage share: what the share of leaking items would be with as many held-out as training
    /// items.
    ///
    /// Of items that know nothing of which real items are held out, the nearest is a training item
    /// with the probability π that a real item is one, for the two are drawn alike. A share s has the
    /// odds s / (1 - s), which are divided by π / (1 - π): 0.5 where s = π, 1 where s = 1, and s itself
    /// where both are equally many. No training item is left out for that, so that no copy is missed.
    ///
    /// - Parameters:
    ///   - share: s
    ///   - trainingShare: π, above 0 and below 1
    /// - Returns: the share, 0…1
    static func leakage(share: Double, trainingShare: Double) -> Double {
        let (a, b) = (share * (1 - trainingShare), (1 - share) * trainingShare)
        return a / (a + b)
    }
}
