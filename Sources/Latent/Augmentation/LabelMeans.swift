/// Where the latents of each label lie on average, so that an item can be moved from its own labels to others.
///
/// The latents of a conditional model are free of its labels only as far as the likelihood leaves them: what
/// a decoder reads from them beside what it is told has to move with the label.
struct LabelMeans: Sendable {
    /// D.
    let dimensionCount: Int
    private let combinations: [[Int]]
    /// [D] for each combination; nil where the density knows no file.
    private let means: [[Double]?]

    /// Takes means as they are.
    init(combinations: [[Int]], means: [[Double]?], dimensionCount: Int) {
        self.combinations = combinations
        self.means = means
        self.dimensionCount = dimensionCount
    }

    /// The means of a model's density.
    ///
    /// - Throws: ``LatentError`` `.model` when its numbers do not fit together
    init?(_ file: ModelFile) throws(LatentError) {
        guard let groups = LatentDensity.groups(of: file.record),
            let density = try LatentDensity(file)
        else { return nil }
        self.init(
            combinations: groups.combinations, means: density.mixtures.map { $0?.mean },
            dimensionCount: file.record.configuration.latentCount)
    }

    /// What takes an item of some labels to where those of others lie, [D].
    ///
    /// Where latents of both combinations are known, the difference of their means. Else attributes are
    /// changed one after the other: each by the mean difference over all combinations that differ in
    /// this attribute alone, so that one of labels that training never saw together can be reached.
    func shift(from own: [Int], to codes: [Int]) -> [Float] {
        guard own != codes else { return [Float](repeating: 0, count: dimensionCount) }
        if let start = mean(of: own), let end = mean(of: codes) {
            return zip(end, start).map { Float($0 - $1) }
        }
        var sum = [Double](repeating: 0, count: dimensionCount)
        for (attribute, pair) in zip(own, codes).enumerated() where pair.0 != pair.1 {
            let step = step(of: attribute, from: pair.0, to: pair.1)
            for dimension in sum.indices { sum[dimension] += step[dimension] }
        }
        return sum.map { Float($0) }
    }

    /// Whether the density knows a file with each of these labels, as far as they are given.
    func knows(_ assigned: [Int?]) -> Bool {
        assigned.enumerated().allSatisfy { attribute, code in
            code == nil
                || zip(combinations, means).contains { $1 != nil && $0[attribute] == code }
        }
    }

    private func mean(of codes: [Int]) -> [Double]? {
        combinations.firstIndex(of: codes).flatMap { means[$0] }
    }

    /// The mean difference of what has one value of an attribute from what has another, the others
    /// being equal; over all that has either where nothing is equal.
    private func step(of attribute: Int, from first: Int, to second: Int) -> [Double] {
        var pairs: [[Double]] = []
        for (codes, end) in zip(combinations, means) where codes[attribute] == second {
            var other = codes
            other[attribute] = first
            guard let end, let start = mean(of: other) else { continue }
            pairs.append(zip(end, start).map { $0 - $1 })
        }
        if !pairs.isEmpty { return average(pairs) }
        func all(_ value: Int) -> [Double] {
            let known = zip(combinations, means).compactMap { codes, mean in
                codes[attribute] == value ? mean : nil
            }
            // Of what no latents are known of, the mean of all.
            return average(known.isEmpty ? means.compactMap(\.self) : known)
        }
        return zip(all(second), all(first)).map { $0 - $1 }
    }

    private func average(_ rows: [[Double]]) -> [Double] {
        (0..<dimensionCount).map { dimension in
            rows.reduce(0) { $0 + $1[dimension] } / Double(max(1, rows.count))
        }
    }
}

extension GaussianMixture {
    /// Σ πₖ mₖ, [D].
    fileprivate var mean: [Double] {
        (0..<dimensionCount).map { dimension in
            weights.indices.reduce(0) {
                $0 + Double(weights[$1]) * Double(means[$1 * dimensionCount + dimension])
            }
        }
    }
}
