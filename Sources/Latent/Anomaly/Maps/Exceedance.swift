import Foundation

/// What share of the elements of a normal file is at a level or above, a mean over files.
///
/// Levels are logarithmic, 32 to a factor of ten, from 0.01 to 10,000. Files count alike, however
/// large: the share is what a new file of the same kind has on average.
public struct Exceedance: Codable, Sendable, Equatable {
    /// Files that the shares are of.
    public private(set) var fileCount = 0
    /// By level, the share of elements there or above; those at the end that are 0 are left out.
    public private(set) var shares: [Double] = []

    private static let levelsPerDecade = 32.0
    private static let lowestExponent = -2.0
    private static let levelCount = 193

    /// Makes one of no files.
    public init() {}

    private static func level(_ index: Double) -> Double {
        pow(10, lowestExponent + index / levelsPerDecade)
    }

    /// Takes the elements of a file, of which there is at least one; what is no number counts as
    /// the largest.
    mutating func add(_ elements: some Collection<Float>) {
        var counts = [Int](repeating: 0, count: Self.levelCount)
        for element in elements {
            let place = (log10(Double(element)) - Self.lowestExponent) * Self.levelsPerDecade
            if place < 0 { continue }
            // Both are false for NaN, which falls to the top.
            counts[place < Double(Self.levelCount - 1) ? Int(place) : Self.levelCount - 1] += 1
        }
        var above = 0
        var own = [Double](repeating: 0, count: Self.levelCount)
        for index in counts.indices.reversed() {
            above += counts[index]
            own[index] = Double(above) / Double(max(1, elements.count))
        }
        pool(own, fileCount: 1)
    }

    /// Adds the files of another.
    mutating func add(_ other: Exceedance) { pool(other.shares, fileCount: other.fileCount) }

    private mutating func pool(_ other: [Double], fileCount otherCount: Int) {
        let total = Double(max(1, fileCount + otherCount))
        let (own, new) = (Double(fileCount) / total, Double(otherCount) / total)
        shares = (0..<max(shares.count, other.count)).map { index in
            (index < shares.count ? shares[index] * own : 0)
                + (index < other.count ? other[index] * new : 0)
        }
        while shares.last == 0 { shares.removeLast() }
        fileCount += otherCount
    }

    /// The smallest share that there is a level for.
    public var smallestShare: Double { shares.last ?? 1 }

    /// The level that a share of the elements of normal files reaches, linear between levels.
    ///
    /// Nil where no files were taken, or their elements say nothing of so small a share.
    public func level(reachedBy share: Double) -> Double? {
        guard share >= smallestShare, let next = shares.firstIndex(where: { $0 <= share }) else {
            return nil
        }
        guard next > 0 else { return Self.level(0) }
        let step = (shares[next - 1] - share) / (shares[next - 1] - shares[next])
        return Self.level(Double(next - 1) + step)
    }

    func validate() throws(LatentError) {
        guard fileCount >= 0, shares.count <= Self.levelCount,
            shares.allSatisfy({ (0...1).contains($0) }),
            zip(shares, shares.dropFirst()).allSatisfy({ $0 >= $1 })
        else {
            throw LatentError(.model, "the model's record has shares of elements that do not fall")
        }
    }
}
