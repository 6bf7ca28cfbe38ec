/// Parts of the real files that ``AugmentationTrial`` and ``FileLabeller`` leave out in turn.
struct TrialParts {
    /// The part of each item, from 0.
    let parts: [Int]
    /// Number of parts.
    let count: Int
    /// The group of each item, from 0; nil where each stands for itself.
    let groups: [Int]?
    private let labels: [String]
    private let wantedCount: Int

    /// Divides items: of each class as many in each part as far as that goes, and of each group all in one.
    ///
    /// Groups are taken by falling size, and each joins the part in which its classes have the fewest
    /// items so far. With fewer groups than parts, each is one.
    ///
    /// - Parameters:
    ///   - labels: the class of each item; items of a class in random order
    ///   - groups: the group of each, from 0; nil where each stands for itself
    ///   - wanted: number of parts, where there are as many groups
    init(labels: [String], groups: [Int]?, count wanted: Int) {
        self.labels = labels
        self.groups = groups
        wantedCount = wanted
        guard let groups else {
            var parts = [Int](repeating: 0, count: labels.count)
            var place = 0
            for (_, members) in Dictionary(grouping: labels.indices, by: { labels[$0] })
                .sorted(by: { $0.key < $1.key })
            {
                for index in members {
                    parts[index] = place % wanted
                    place += 1
                }
            }
            (self.parts, count) = (parts, wanted)
            return
        }
        let members = Dictionary(grouping: labels.indices) { groups[$0] }
            .sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }
        let count = min(wanted, members.count)
        var parts = [Int](repeating: 0, count: labels.count)
        var sizes = [[String: Int]](repeating: [:], count: count)
        for (_, items) in members {
            let own = Dictionary(grouping: items) { labels[$0] }.mapValues(\.count)
            // What it would add to the sum of squares of the numbers of items of a class in a part.
            let costs = sizes.map { size in
                own.reduce(0) { $0 + $1.value * ($1.value + 2 * size[$1.key, default: 0]) }
            }
            let part = costs.indices.min { costs[$0] < costs[$1] } ?? 0
            sizes[part].merge(own) { $0 + $1 }
            for item in items { parts[item] = part }
        }
        (self.parts, self.count) = (parts, count)
    }

    /// Items in a part, or in the others.
    func places(_ part: Int, isLeftOut: Bool) -> [Int] {
        parts.indices.filter { (parts[$0] == part) == isLeftOut }
    }

    /// Why nothing can be tried, in words.
    ///
    /// - Parameter names: the classes that there are to be
    /// - Returns: nil where it can
    func lack(of names: [String]) -> String? {
        guard Set(labels).count > 1 else {
            return names.count > 1 ? tooFew(names) : "the files are of one class"
        }
        if let few = tooFew(names) { return few }
        guard groups != nil else { return nil }
        guard count > 1 else { return "the files are of one group" }
        for name in names {
            let found = Set(labels.indices.filter { labels[$0] == name }.map { parts[$0] })
            if found.count < 2 { return "files of class \(name) are of too few groups" }
        }
        return nil
    }

    /// Two of each class in each part are needed.
    private func tooFew(_ names: [String]) -> String? {
        let counts = Dictionary(grouping: labels) { $0 }.mapValues(\.count)
        let smallest = 2 * wantedCount
        guard
            let least = names.map({ (count: counts[$0] ?? 0, name: $0) })
                .min(by: { ($0.count, $0.name) < ($1.count, $1.name) }),
            least.count < smallest
        else { return nil }
        return "class \(least.name) has \(least.count) different files that can be read, and "
            + "\(smallest) of each are needed"
    }

    /// The group of each item, as a number.
    ///
    /// - Parameters:
    ///   - items: real files
    ///   - index: which of their attributes says it
    /// - Returns: from 0, in the order of the names
    /// - Throws: ``LatentError`` `.data` for an item without
    static func groups(of items: [Item], at index: Int) throws(LatentError) -> [Int] {
        var names: [String] = []
        for item in items {
            guard index < item.attributes.count, let name = item.attributes[index] else {
                throw LatentError(
                    .data, path: item.path, "has no value in the column that --group names",
                    hint: "name a manifest (.csv, .ndjson) with that column, or leave --group out")
            }
            names.append(name)
        }
        let numbers = Dictionary(
            uniqueKeysWithValues: Set(names).sorted().enumerated().map { ($1, $0) })
        return names.map { numbers[$0] ?? 0 }
    }
}
