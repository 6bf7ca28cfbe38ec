import Torch

/// What two sets of real items differ in: the way from one to the other in the latent space, which is
/// an attribute that the one has and the other lacks.
///
/// Source: Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", ICML 2016,
/// section 4.2 (visual attribute vectors: the difference of mean latents). Differs: where both sets have
/// items of the same classes, the difference is taken within each class, so that what the sets are made
/// up of does not lie in it.
public struct LatentDirection: Sendable {
    /// The items that have the attribute.
    public let toward: [Item]
    /// The items that lack it; nil for the real items that new ones start from.
    public let away: [Item]?
    /// What the sets are called, for people and for the manifest.
    public let name: String
    /// The name of those that lack it; nil for the real items.
    public let awayName: String?

    /// Items of a set at least: the mean of one is that item and not an attribute.
    static let smallestCount = 2
    /// Items of a set that are encoded, at most; of more, evenly spread ones.
    static let itemLimit = 4000

    /// Takes two sets of items.
    ///
    /// - Parameters:
    ///   - toward: items that have the attribute
    ///   - name: what they are called
    ///   - away: items that lack it; nil for the real items that new ones start from
    ///   - awayName: what these are called
    /// - Throws: ``LatentError`` `.data` when a set has too few
    public init(
        toward: [Item], named name: String, awayFrom away: [Item]? = nil,
        named awayName: String? = nil
    ) throws(LatentError) {
        self.toward = toward
        self.name = name
        self.away = away
        self.awayName = awayName
        try Self.check(toward.count, name)
        if let away { try Self.check(away.count, awayName) }
    }

    /// What is added to the latents of an item, at strength 1.
    struct Vector: Sendable, Equatable {
        /// [D].
        let values: [Float]
        /// Squares over the variance of what they would be if the sets did not differ, a mean over dimensions;
        /// nil where items are too few to tell.
        let excess: Double?
        /// Items less the means that were taken of them, ν.
        let freedom: Int

        /// Whether the sets differ by more than three deviations of what chance gives, if dimensions are
        /// independent: each square over its variance is then of Fisher's F(1, ν), whose mean is ν / (ν - 2) and
        /// whose variance is 2 ν² (ν - 1) / ((ν - 2)² (ν - 4)).
        var isClear: Bool {
            guard let excess else { return true }
            let freedom = Double(freedom)
            let mean = freedom / (freedom - 2)
            let variance = 2 * mean * mean * (freedom - 1) / (freedom - 4)
            return excess > mean + 3 * (variance / Double(max(1, values.count))).squareRoot()
        }

        /// Fewer leave F(1, ν) without a variance.
        fileprivate static let smallestFreedom = 5
    }

    /// One item: its class, and where it lies, [D].
    typealias Member = (label: String?, place: ArraySlice<Float>)

    /// The difference of two sets' means, within the classes that both have, or over all where they have
    /// none in common.
    ///
    /// It is the coefficient of belonging to the first set in the least squares of places on that and on
    /// the class: Σ w (m₁ - m₀) / Σ w over classes, w = n₁ · n₀ / (n₁ + n₀).
    ///
    /// - Parameters:
    ///   - toward: the first set, not empty
    ///   - away: the second, not empty
    /// - Returns: the difference, and by how much it is more than chance
    static func difference(toward: [Member], away: [Member]) -> Vector {
        let shared = Set(toward.map(\.label)).intersection(away.map(\.label))
        func grouped(_ members: [Member]) -> [String?: [ArraySlice<Float>]] {
            Dictionary(grouping: members) { shared.isEmpty ? nil : $0.label }
                .mapValues { $0.map(\.place) }
        }
        let (first, second) = (grouped(toward), grouped(away))
        let dimensions = toward.first?.place.count ?? 0
        var sum = [Double](repeating: 0, count: dimensions)
        var weights = 0.0
        var scatter = sum
        var freedom = 0
        // In one order, so that sums round alike.
        for label in first.keys.sorted(by: AugmentationPlan.precedes) {
            guard let ones = first[label], let zeros = second[label] else { continue }
            let (m1, m0) = (mean(ones), mean(zeros))
            let weight = Double(ones.count * zeros.count) / Double(ones.count + zeros.count)
            for dimension in 0..<dimensions {
                sum[dimension] += weight * (m1[dimension] - m0[dimension])
                scatter[dimension] +=
                    squares(ones, m1, dimension) + squares(zeros, m0, dimension)
            }
            weights += weight
            freedom += ones.count + zeros.count - 2
        }
        // (Σ w (m₁ - m₀))² has the variance Σ w · σ².
        let ratios = zip(sum, scatter).map { sum, scatter in
            sum == 0 ? 0 : sum * sum / weights / (scatter / Double(freedom))
        }
        return Vector(
            values: sum.map { Float($0 / weights) },
            excess: freedom >= Vector.smallestFreedom
                ? ratios.reduce(0, +) / Double(max(1, dimensions)) : nil,
            freedom: freedom)
    }

    private static func mean(_ places: [ArraySlice<Float>]) -> [Double] {
        var sum = [Double](repeating: 0, count: places.first?.count ?? 0)
        for place in places {
            for (dimension, value) in place.enumerated() { sum[dimension] += Double(value) }
        }
        return sum.map { $0 / Double(places.count) }
    }

    private static func squares(
        _ places: [ArraySlice<Float>], _ mean: [Double], _ dimension: Int
    ) -> Double {
        places.reduce(0) { sum, place in
            let step = Double(place[place.startIndex + dimension]) - mean[dimension]
            return sum + step * step
        }
    }

    private static func check(_ count: Int, _ name: String?) throws(LatentError) {
        guard count < smallestCount else { return }
        throw LatentError(
            .data, path: name,
            "\(count == 0 ? "no file" : "1 file") to take a direction from; expected "
                + "\(smallestCount) or more, better 20",
            hint: "name a folder with more files of the model's kind")
    }
}

extension LatentDirection {
    /// Encodes both sets.
    ///
    /// - Parameters:
    ///   - real: the items that new ones start from
    ///   - model: that encodes
    ///   - preprocessing: of the model
    ///   - labelling: which labels items have
    ///   - workerCount: threads that read
    ///   - onFailure: called for an item that cannot be read
    /// - Returns: from the one set to the other
    /// - Throws: ``LatentError`` `.data` when too few items of a set can be read; what `onFailure` throws
    func vector(
        real: [Item], by model: VAE, _ preprocessing: Preprocessing, labelling: Labelling,
        workerCount: Int, onFailure: (ItemFailure) throws -> Void
    ) throws -> Vector {
        func members(_ items: [Item], _ name: String?) throws -> [Member] {
            let step = max(1, (items.count + Self.itemLimit - 1) / Self.itemLimit)
            let items = stride(from: 0, to: items.count, by: step).map { items[$0] }
            let places = try LatentPlaces(
                encoding: items, by: model, preprocessing, labelling: labelling,
                workerCount: workerCount, onFailure: onFailure)
            try Self.check(places.found.count, name)
            let width = places.dimensionCount
            return try places.found.enumerated().map { row, index in
                (
                    labelling.conditioning == nil
                        ? items[index].label
                        : labelling.conditioning?.label(of: try labelling.codes(of: items[index])),
                    places.values[row * width..<(row + 1) * width]
                )
            }
        }
        return Self.difference(
            toward: try members(toward, name), away: try members(away ?? real, awayName))
    }
}
