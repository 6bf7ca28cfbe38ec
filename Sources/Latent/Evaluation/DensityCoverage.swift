/// How much synthetic items lie where real ones do (density), and how many of the places of real ones
/// they reach (coverage).
///
/// Around each real item is a ball that reaches to its k-th nearest other real item. Density is the
/// mean number of balls that a synthetic item lies in, divided by k: about 1 where both are alike,
/// more where synthetic items crowd where real ones do, less where they lie elsewhere. Coverage is
/// the share of balls that hold a synthetic item: near 1 - ½ᵏ for as many real items of the same
/// kind.
///
/// Source: Naeem, Oh, Uh, Choi & Yoo, "Reliable fidelity and diversity metrics for generative
/// models", ICML 2020, equations 3 and 4; nearer than the radius counts, as in their code.
struct DensityCoverage: Sendable, Equatable {
    let density: Double
    let coverage: Double

    /// The k of the paper.
    static let neighbourCount = 5

    /// Measures; the sets have more than k real items, and a synthetic one.
    ///
    /// - Complexity: n·(n + m)·d for n real and m synthetic items
    init(
        synthetic: some FeatureRows, real: some FeatureRows, neighbourCount k: Int = neighbourCount
    ) throws {
        let radii = try NearestRows.nearest(k, to: real, in: real, excludesSelf: true)
            .map { $0.last?.squaredDistance ?? 0 }
        let counts = try NearestRows.countsWithin(radii, of: real, points: synthetic)
        density = Double(counts.reduce(0, +)) / Double(k * synthetic.count)
        coverage = Double(counts.count { $0 > 0 }) / Double(real.count)
    }
}
