/// Calibration scores of each group of items, such as those of one camera, beside those of all.
///
/// A group with enough scores for a rate has a threshold of its own, so that the promise of
/// ``Guarantee`` is kept within it, and not only by all groups together. Others share the threshold
/// of all.
///
/// Source: class-conditional (Mondrian) conformal prediction; Vovk, "Conditional validity of
/// inductive conformal predictors", ACML 2012, section 4.
public struct GroupedCalibration: Codable, Sendable, Equatable {
    /// What tells the group of an item: `class`, or a column of manifests.
    public let attribute: String
    /// The calibration of each group.
    public let groups: [String: Calibration]

    /// Makes a grouped calibration.
    public init(attribute: String, groups: [String: Calibration]) {
        self.attribute = attribute
        self.groups = groups
    }

    /// The names of the groups, in the order of their bytes.
    public var names: [String] {
        groups.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}

/// Tells which group an item is of.
public struct GroupReader: Sendable {
    private let attribute: String
    private let index: Int?
    private let known: Set<String>

    /// Makes a reader.
    ///
    /// - Parameters:
    ///   - attribute: `class`, or a column of manifests
    ///   - attributeNames: those that the inputs were read with
    ///   - known: the groups that there are; empty where they are still to be found
    public init(attribute: String, attributeNames: [String], known: Set<String> = []) {
        self.attribute = attribute
        index = attributeNames.firstIndex(of: attribute)
        self.known = known
    }

    /// The group of an item; nil where nothing tells it.
    ///
    /// A class is the item's label. Where that is none of the known groups, as of paths on standard
    /// input, it is the nearest folder of the path that is; or, while no group is known, the folder
    /// that holds the file.
    public func group(of item: Item) -> String? {
        let value = index.flatMap { $0 < item.attributes.count ? item.attributes[$0] : nil }
        guard attribute == Item.className else { return value }
        if let value, known.isEmpty || known.contains(value) { return value }
        let folders = item.path.split(separator: "/").dropLast().map(String.init)
        if known.isEmpty { return folders.last { $0 != "." && $0 != ".." } }
        return folders.last(where: known.contains) ?? value
    }
}
