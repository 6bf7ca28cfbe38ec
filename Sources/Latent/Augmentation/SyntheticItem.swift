/// One new item, before it is written.
public struct SyntheticItem: Sendable {
    /// The content of the file.
    public let bytes: [UInt8]
    /// `png` or `wav`.
    public let fileExtension: String
    /// The class, where the model or the parents say.
    public let label: String?
    /// The real items it was made from.
    public let parents: [Parent]
    /// Its place among all that are made, which its name has.
    public let slot: Int
    /// Which draw of the seed it is: its place, unless draws before were refused or lost their parent.
    public let drawIndex: Int
    /// Where between two parents it lies: 0 at the first, 1 at the second, below 0 beyond the first.
    public let mix: Double?
    /// The labels that it was decoded with, by attribute; empty without conditioning.
    public let attributes: [String: String]
    /// What was done to it afterwards, in order.
    public let transforms: [AppliedTransform]
    /// What was found of it; nil where nothing was looked for.
    public internal(set) var judgement: Judgement?
    /// Draws in its place that were refused before, by reason.
    public internal(set) var rejected: [Filters.Reason: Int] = [:]

    /// A real item that a new one was made from.
    public struct Parent: Sendable {
        /// The path as given.
        public let path: String
        /// SHA-256 of the file.
        public let hash: ContentHash
    }
}
