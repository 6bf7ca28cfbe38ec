import Media

/// Why an item has no result.
public struct ItemFailed: Error, Sendable {
    /// What is wrong with the file.
    public let error: ItemError

    /// Says what is wrong with a file.
    public init(_ error: ItemError) { self.error = error }
}

/// An item as a model reads it.
struct ReadItem: Sendable {
    /// What a readable file became.
    struct Content: Sendable {
        /// The windows of each view.
        let views: [ItemWindows]
        /// Codes of the item's labels; empty without conditioning.
        let codes: [Int]
    }

    let item: Item
    let content: Result<Content, ItemFailed>
}

/// Reads items ahead, on other threads, in order, each file once for all views of a model.
struct ItemReader {
    let preprocessings: [Preprocessing]
    let conditioning: Conditioning?
    /// Labels that all items are taken to have, by attribute, instead of their own.
    let assignments: [String: String]

    /// - Parameters:
    ///   - items: consumed lazily, on the reader threads
    ///   - threadCount: readers
    ///   - capacity: items that may wait
    /// - Returns: the items, with what is wrong where they cannot be read
    /// - Throws: ``LatentError`` `.usage` for labels that the model does not know
    func callAsFunction(
        _ items: some Sequence<Item>, threadCount: Int, capacity: Int
    ) throws -> ReadAhead<Item, ReadItem> {
        let assigned = try conditioning?.codes(ofAssignments: assignments) ?? []
        let gate = LargeFileGate()
        return ReadAhead(
            items.makeIterator(), threadCount: threadCount, capacity: capacity,
            byteCount: { $0.byteCount }
        ) { [preprocessings, conditioning] item in
            do {
                let codes = try conditioning?.codes(of: item, assigned: assigned) ?? []
                let bytes = try FileBytes.read(item.path)
                let views = try gate.run(bytes) {
                    try preprocessings.map { try $0.windows(of: bytes, path: item.path) }
                }
                return ReadItem(item: item, content: .success(.init(views: views, codes: codes)))
            } catch {
                return ReadItem(
                    item: item, content: .failure(ItemFailed(ItemError(error))))
            }
        }
    }
}

extension ReadItem {
    fileprivate var byteCount: Int {
        guard case .success(let content) = content else { return 0 }
        return content.views.reduce(0) { $0 + $1.byteCount }
    }
}
