/// One of several parts of a run: disjoint, and together all of it.
///
/// Parts are made of whole groups of consecutive items, which come round: with groups of 32, the first
/// of 8 parts has the items 0 to 31, 256 to 287, …. What is computed in one batch is of one group, so
/// that a part comes to the very bytes that the whole run does; see ``Scorer`` and ``Augmenter``.
public struct Shard: Sendable, Equatable {
    /// Which part it is, from 1.
    public let number: Int
    /// Number of parts.
    public let count: Int
    /// Items of a group.
    public var groupSize = 1

    /// More parts than any cluster has machines; their groups can be counted.
    public static let countLimit = 1_000_000

    /// Makes part `number` of `count`; nil unless 1 ≤ number ≤ count ≤ ``countLimit``.
    public init?(number: Int, of count: Int) {
        guard number >= 1, number <= count, count <= Self.countLimit else { return nil }
        self.number = number
        self.count = count
    }

    /// Whether an item is in this part, by its place among all, from 0.
    public func contains(_ index: Int) -> Bool { index / groupSize % count == number - 1 }

    /// The place among all of one of this part's items, both from 0.
    public func place(ofItem index: Int) -> Int {
        (index / groupSize * count + number - 1) * groupSize + index % groupSize
    }

    /// Number of items in this part, of so many.
    public func itemCount(of total: Int) -> Int {
        let round = groupSize * count
        let rest = total % round - (number - 1) * groupSize
        return total / round * groupSize + min(max(rest, 0), groupSize)
    }
}
