import Torch

/// Items that were read as small maps.
public struct MappedItems: Sendable {
    /// The items that could be read, in the order of input.
    public private(set) var items: [Item] = []
    private(set) var maps: SmallMaps
    /// The first 64 bits of the SHA-256 of each file.
    private(set) var contentWords: [UInt64] = []
    /// The files that could not be read.
    public private(set) var failures: [ItemFailure] = []

    /// Makes an empty set.
    init(shape: WindowShape) { maps = SmallMaps(shape: shape) }

    /// Reads items on other threads.
    ///
    /// - Parameters:
    ///   - items: the inputs
    ///   - view: what files become
    ///   - threadCount: readers
    ///   - onItem: called after each item with the number done, on the calling thread
    /// - Throws: what `onItem` throws
    public init(
        reading items: some Sequence<Item>, view: SmallMapView, threadCount: Int,
        onItem: (Int, ItemFailure?) throws -> Void
    ) throws {
        self.init(shape: view.shape)
        let reader = try view.reader(items, threadCount: threadCount)
        var done = 0
        while let entry = reader.next() {
            done += 1
            switch entry.content {
            case .success(let content):
                let windows = content.views[0]
                append(entry.item, try view.map(of: windows), contentWord: windows.hash.word)
                try onItem(done, nil)
            case .failure(let failed):
                let failure = ItemFailure(item: entry.item, error: failed.error)
                failures.append(failure)
                try onItem(done, failure)
            }
        }
    }

    /// Adds an item.
    mutating func append(_ item: Item, _ map: [Float], contentWord: UInt64) {
        items.append(item)
        maps.append(map)
        contentWords.append(contentWord)
    }

    /// Number of items.
    public var count: Int { items.count }

    /// The items, each content once.
    func withoutCopies() -> MappedItems {
        var seen: Set<UInt64> = []
        return picked(items.indices.filter { seen.insert(contentWords[$0]).inserted })
    }

    /// The items at some places.
    func picked(_ indices: [Int]) -> MappedItems {
        var picked = MappedItems(shape: maps.shape)
        picked.items = indices.map { items[$0] }
        picked.maps = maps.picked(indices)
        picked.contentWords = indices.map { contentWords[$0] }
        return picked
    }

    /// The items without those whose file is also in another set, byte for byte.
    public func without(filesOf other: MappedItems) -> MappedItems {
        let words = Set(other.contentWords)
        return picked(items.indices.filter { !words.contains(contentWords[$0]) })
    }

    /// The class of each item; nil unless every one has a label.
    var labels: [String]? {
        let labels = items.compactMap(\.label)
        return labels.count == items.count && !items.isEmpty ? labels : nil
    }

    // MARK: Held-out items

    /// Sets about a fifth aside, to be held out.
    ///
    /// Which ones depends on the content of the files and the seed alone. Of each class a fifth, one at
    /// least where there are two; or, where items have groups (their first attribute), whole groups
    /// until a fifth is reached.
    ///
    /// - Parameters:
    ///   - byGroup: whether items of a group stay together
    ///   - seed: another seed gives another division
    /// - Returns: what is left, and what is held out
    /// - Throws: ``LatentError`` `.data` where nothing could be left or held out
    public func divided(
        byGroup: Bool, seed: UInt64
    ) throws(LatentError) -> (rest: MappedItems, heldOut: MappedItems) {
        let keys = contentWords.map { word in
            var generator = Generator(seed: seed, Stream.augmentationFigures.rawValue, 1, word)
            return generator.next()
        }
        var heldOut: Set<Int> = []
        if byGroup {
            let codes = try TrialParts.groups(of: items, at: 0)
            let groups = Dictionary(grouping: items.indices) { codes[$0] }
                .sorted {
                    ($0.value.map { keys[$0] }.min() ?? 0, $0.key)
                        < ($1.value.map { keys[$0] }.min() ?? 0, $1.key)
                }
            for (_, members) in groups.dropLast() where heldOut.count * 5 < count {
                heldOut.formUnion(members)
            }
        } else {
            for (_, members) in Dictionary(grouping: items.indices, by: { items[$0].label }) {
                let ranked = members.sorted { (keys[$0], $0) < (keys[$1], $1) }
                let number = Int((Double(members.count) / 5).rounded())
                heldOut.formUnion(ranked.prefix(members.count > 1 ? max(1, number) : 0))
            }
        }
        guard !heldOut.isEmpty, heldOut.count < count else {
            throw LatentError(
                .data,
                "the \(count) real files cannot be divided into files to train on and to hold out",
                hint: "name others by --holdout")
        }
        return (
            picked(items.indices.filter { !heldOut.contains($0) }), picked(heldOut.sorted())
        )
    }
}
