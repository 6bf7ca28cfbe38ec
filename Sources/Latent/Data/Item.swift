/// One file of a data set.
public struct Item: Sendable, Hashable {
    /// The path as the user would write it; the id of the item.
    public let path: String
    /// The class, from the folder or the manifest.
    public let label: String?
    /// `train`, `test`, … where the folders or the manifest say.
    public let split: String?
    /// Values of the attributes that were asked for, in that order; none where the inputs were read
    /// without.
    public let attributes: [String?]
    /// How much of the path's end lies below the folder that was named, in bytes.
    private let relativeByteCount: Int

    /// Makes an item; `relativePath` is the end of `path` that output trees keep.
    public init(
        path: String, relativePath: String, label: String?, split: String?,
        attributes: [String?] = []
    ) {
        self.path = path
        self.attributes = attributes
        self.label = label
        self.split = split
        relativeByteCount = relativePath.utf8.count
    }

    /// The path below the folder that was named, for output trees; the file's name otherwise.
    ///
    /// Kept as a length: of millions of items, one string each is enough.
    public var relativePath: String {
        String(decoding: path.utf8.suffix(relativeByteCount), as: UTF8.self)
    }

    /// The name of the attribute that a class folder or the column `label` gives.
    public static let className = "class"

    /// Folder names that mean a split and not a class.
    static let splitNames: Set<String> = ["train", "test", "val", "valid", "validation"]

    /// Makes the item of a file below a folder that was named: `[split/][class]/…/file`.
    ///
    /// Of the attributes that are asked for, only `class` is known: the label.
    init(
        path: String, componentsBelowRoot components: [Substring], attributeNames: [String] = []
    ) {
        var folders = components.dropLast()
        var split: String?
        if let first = folders.first, Self.splitNames.contains(first.lowercased()) {
            split = first.lowercased()
            folders = folders.dropFirst()
        }
        let label = folders.first.map(String.init)
        self.init(
            path: path, relativePath: components.joined(separator: "/"), label: label,
            split: split, attributes: attributeNames.map { $0 == Self.className ? label : nil })
    }
}
