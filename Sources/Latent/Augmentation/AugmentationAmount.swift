/// How many new items of which class.
public enum AugmentationAmount: Sendable, Equatable {
    /// So many in all; the real items, or the classes that the model knows, take turns.
    case total(Int)
    /// So many of each class.
    case perClass(Int)
    /// What the real items of each class lack of a number; of nil, of the largest class.
    case fill(to: Int?)
    /// So many of the classes that are named, in lists such as `cat=100,dog=20`.
    case counts([String])
    /// So many for each real item.
    case multiple(Int)

    /// More files than any folder should hold.
    public static let limit = 100_000_000

    /// Whether the classes of real items are counted, so that there must be some.
    public var countsRealItems: Bool {
        switch self {
        case .fill, .multiple: true
        case .total, .perClass, .counts: false
        }
    }

    /// Whether fewer may be made than are asked for: not where it is said how many of which class there are to
    /// be.
    public var isLimit: Bool {
        switch self {
        case .total, .perClass, .multiple: true
        case .fill, .counts: false
        }
    }

    /// Fewer, in proportion: of each class at least one.
    ///
    /// - Parameters:
    ///   - ratio: new items for each real one, at most
    ///   - realCount: real items
    ///   - newCount: new items that are asked for
    /// - Returns: the amount; the same where it is no more than that, or no limit
    public func limited(to ratio: Int, of realCount: Int, from newCount: Int) -> Self {
        guard newCount > ratio * realCount else { return self }
        let share = Double(ratio * realCount) / Double(newCount)
        switch self {
        case .total(let count): return .total(max(1, Int((Double(count) * share).rounded())))
        case .perClass(let count):
            return .perClass(max(1, Int((Double(count) * share).rounded())))
        case .multiple(let factor): return .multiple(min(factor, ratio))
        case .fill, .counts: return self
        }
    }

    /// The words that a run is compared by.
    var description: String {
        switch self {
        case .total(let count): "\(count) in all"
        case .perClass(let count): "\(count) of each class"
        case .fill(let target): "filled to " + (target.map { "\($0)" } ?? "the largest")
        case .counts(let lists): lists.joined(separator: ",")
        case .multiple(let factor): "\(factor) for each real item"
        }
    }

    /// Reads a list such as `cat=100,dog=20`.
    ///
    /// A name may hold commas and equals signs: a name that is known is taken whole, the longest
    /// first; any other ends before the first `=` that a number follows, and the list goes on after a
    /// comma.
    ///
    /// - Parameters:
    ///   - list: as on the command line
    ///   - known: names of classes
    /// - Returns: names with their numbers, in order
    /// - Throws: ``LatentError`` `.usage` for what is no such list
    public static func counts(
        in list: String, known: [String]
    ) throws(LatentError) -> [(name: String, count: Int)] {
        var counts: [(name: String, count: Int)] = []
        var rest = list[...]
        repeat {
            let names = known.filter { rest.hasPrefix($0 + "=") }.sorted { $0.count > $1.count }
            guard
                let entry = names.lazy.compactMap({ Self.entry(of: rest, nameCount: $0.count) })
                    .first ?? Self.firstEntry(of: rest)
            else {
                throw LatentError(
                    .usage, "--counts \"\(list)\": expected class=count, found \"\(rest)\"",
                    hint: "write them as cat=100,dog=20, with 1 to \(limit) each")
            }
            counts.append((entry.name, entry.count))
            rest = entry.rest
        } while !rest.isEmpty
        return counts
    }

    private typealias Entry = (name: String, count: Int, rest: Substring)

    /// The entry whose name is the first that a number follows.
    private static func firstEntry(of text: Substring) -> Entry? {
        text.indices.lazy.filter { text[$0] == "=" && $0 > text.startIndex }.compactMap {
            entry(of: text, nameCount: text.distance(from: text.startIndex, to: $0))
        }.first
    }

    /// The entry at the start whose name has so many characters; nil where no number follows it, up to a
    /// comma or the end.
    private static func entry(of text: Substring, nameCount: Int) -> Entry? {
        let name = text.prefix(nameCount)
        let digits = text.dropFirst(nameCount + 1).prefix { $0.isASCII && $0.isNumber }
        let after = text[digits.endIndex...]
        guard let count = Int(digits), (1...limit).contains(count),
            after.isEmpty || after.hasPrefix(",") && after.count > 1
        else { return nil }
        return (String(name), count, after.dropFirst())
    }
}
