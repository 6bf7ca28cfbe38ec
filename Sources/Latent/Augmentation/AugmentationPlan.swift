/// Which class each new item is of, and what it starts from: decided before the first is made.
///
/// New items have places, from 0: **slots**. What is made in a slot depends on the plan, the seed and the
/// slot alone, so that a part of the slots, or those that an interrupted run left, come out as they do
/// among all. Where classes have numbers of their own, the slots of a class are consecutive, in the
/// sorted order of the classes.
public struct AugmentationPlan: Sendable {
    /// What there is and will be of a class.
    public struct Share: Sendable, Equatable {
        /// The class; nil for items without one.
        public let label: String?
        /// Real items that were named.
        public let realCount: Int
        /// Those of them that a part copies, where it does.
        public let originalCount: Int
        /// New items.
        public internal(set) var newCount: Int
    }

    /// Consecutive slots that take turns among the same real items, or combinations of labels.
    struct Group: Sendable {
        /// Number of slots.
        let count: Int
        /// Indices of real items, as they come in turn.
        let parents: [Int]
        /// Codes of labels, as they come in turn; one empty list where the model is told none.
        let combinations: [[Int]]
        /// Which of the plan's labels a slot is of, as they come in turn.
        let labels: [Int]
        /// The turns of a round that are of each label, and the place of each turn among its own.
        private let turnsOfLabel: [Int: [Int]]
        private let ranks: [Int]

        init(
            count: Int, parents: [Int] = [], combinations: [[Int]] = [[]], labels: [Int]
        ) {
            self.count = count
            self.parents = parents
            self.combinations = combinations
            self.labels = labels
            var turnsOfLabel: [Int: [Int]] = [:]
            var ranks: [Int] = []
            for (turn, label) in labels.enumerated() {
                ranks.append(turnsOfLabel[label]?.count ?? 0)
                turnsOfLabel[label, default: []].append(turn)
            }
            self.turnsOfLabel = turnsOfLabel
            self.ranks = ranks
        }

        /// Whose turn a further draw of a slot is: of the slot's label, so that what is refused leaves
        /// the classes as many as they were to be; from ``classAttemptLimit`` draws on anybody's.
        func turn(ofAttempt attempt: Int, from turn: Int) -> Int {
            let place = turn % labels.count
            guard attempt < AugmentationPlan.classAttemptLimit, labels.count == parents.count,
                let turns = turnsOfLabel[labels[place]]
            else { return turn + attempt }
            return turns[(ranks[place] + attempt) % turns.count]
        }
    }

    /// What a slot is to become.
    struct Slot: Sendable {
        /// Its place among all.
        let index: Int
        /// Its place among those of its group.
        let turn: Int
        let group: Group
        /// The labels that it is decoded with, where no parent says them.
        var codes: [Int] { group.combinations[turn % group.combinations.count] }
    }

    /// Draws of a slot that start from parents of its class, before those that start from any.
    static let classAttemptLimit = Augmenter.attemptLimit / 2

    /// The real items.
    public let items: [Item]
    /// The class of each real item.
    let classes: [String?]
    private let labels: [String?]
    private let groups: [Group]
    /// The first slot of each group, and at the end their number.
    private let starts: [Int]
    let schedule: ParentSchedule

    init(
        items: [Item], classes: [String?], labels: [String?], groups: [Group],
        schedule: ParentSchedule
    ) throws(LatentError) {
        self.items = items
        self.classes = classes
        self.labels = labels
        self.groups = groups
        self.schedule = schedule
        var starts = [0]
        for group in groups { starts.append(starts[starts.count - 1] + group.count) }
        self.starts = starts
        guard slotCount <= AugmentationAmount.limit else {
            throw LatentError(
                .usage,
                "\(slotCount) new files; at most \(AugmentationAmount.limit) are written at once",
                hint: "ask for fewer")
        }
    }

    /// Number of new items.
    public var slotCount: Int { starts[starts.count - 1] }

    /// Number of new items of a part.
    public func slotCount(of shard: Shard?) -> Int { shard?.itemCount(of: slotCount) ?? slotCount }

    /// What becomes of a slot.
    func slot(_ index: Int) -> Slot {
        // The last group that begins at or before it; empty ones begin where the next does.
        var (low, high) = (0, groups.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= index { low = middle } else { high = middle }
        }
        return Slot(index: index, turn: index - starts[low], group: groups[low])
    }

    /// One of the draws that may become the item of a slot, from 0.
    func draw(_ attempt: Int, of slot: Slot) -> ParentSchedule.Draw {
        schedule.draw(
            attempt, ofSlot: slot.index, of: slotCount,
            turn: slot.group.turn(ofAttempt: attempt, from: slot.turn), among: slot.group.parents)
    }

    /// Whether a draw of that number may have become the item of a slot.
    func isDraw(_ number: Int, ofSlot index: Int) -> Bool {
        let step = schedule.step(of: slotCount)
        return number >= index && (number - index) % step == 0
    }

    /// Real and new items by class, sorted, those without class last.
    ///
    /// - Parameter shard: the part whose new items and copies are counted
    /// - Returns: the classes of real items, and of new ones
    public func shares(of shard: Shard?) -> [Share] {
        var real: [String?: (all: Int, part: Int)] = [:]
        for (index, label) in classes.enumerated() {
            real[label, default: (0, 0)].all += 1
            if shard?.contains(index) ?? true { real[label, default: (0, 0)].part += 1 }
        }
        var counts = [Int](repeating: 0, count: labels.count)
        for place in 0..<slotCount(of: shard) {
            let slot = slot(shard?.place(ofItem: place) ?? place)
            counts[slot.group.labels[slot.turn % slot.group.labels.count]] += 1
        }
        var shares: [String?: Share] = [:]
        for (label, count) in real {
            shares[label] = Share(
                label: label, realCount: count.all, originalCount: count.part, newCount: 0)
        }
        for (label, count) in zip(labels, counts) where count > 0 {
            let none = Share(label: label, realCount: 0, originalCount: 0, newCount: 0)
            shares[label, default: none].newCount += count
        }
        return shares.values.sorted { Self.precedes($0.label, $1.label) }
    }

    /// The order of classes: as bytes, those without one last.
    static func precedes(_ first: String?, _ second: String?) -> Bool {
        guard let first else { return false }
        guard let second else { return true }
        return first.utf8.lexicographicallyPrecedes(second.utf8)
    }
}

extension Augmenter {
    /// Decides which class each new item is of.
    ///
    /// - Parameter items: real items, which methods start from, or whose classes are counted
    /// - Returns: what is made
    /// - Throws: ``LatentError`` `.usage` when a class cannot be made, or real items are missing; `.data`
    ///   for one of a class that a conditional model does not know, where classes are counted
    public func plan(for items: [Item]) throws(LatentError) -> AugmentationPlan {
        let method = configuration.method
        let conditioning =
            method.movesPosteriors
            ? labelling.conditioning : file?.record.configuration.conditioning
        // Which class an item is of, and which a new one is that starts from it.
        var classes: [String?] = []
        var results: [String?] = []
        var unknown: LatentError?
        for item in items {
            guard let conditioning else {
                classes.append(item.label)
                results.append(item.label)
                continue
            }
            do throws(LatentError) {
                let codes = try conditioning.codes(of: item)
                classes.append(conditioning.label(of: codes))
                results.append(conditioning.label(of: labelling.codes(parent: codes)))
            } catch {
                let failure = LatentError(
                    error.code, path: item.path, error.message, hint: error.hint)
                // In turn among all it is reported when it comes to be read.
                guard case .total = configuration.amount else { throw failure }
                unknown = unknown ?? failure
                classes.append(nil)
                results.append(nil)
            }
        }
        if let unknown, labelMeans != nil, results.allSatisfy({ $0 == nil }) {
            let names = conditioning?.names.joined(separator: " and ") ?? ""
            throw LatentError(
                unknown.code, path: unknown.path,
                "has no \(names) that the model knows, to be moved from, nor has another file",
                hint: "put files into class folders, or name a manifest with \(names)")
        }
        let schedule = try ParentSchedule(
            method.parentCount > 0 ? items : [], classes: classes, method: method,
            seed: configuration.seed)
        let maker = ClassMaker(
            method: method, model: file?.record, labelling: labelling, schedule: schedule,
            results: results)
        if case .total(let count) = configuration.amount {
            return try AugmentationPlan(
                items: items, classes: classes, labels: maker.labels,
                groups: [maker.all(count: count)], schedule: schedule)
        }
        // Of each class also of those that cannot be drawn, to say so.
        let missing =
            configuration.assignments.isEmpty ? file?.labelsNotFitted(for: method) ?? [] : []
        let wanted = try Self.wanted(
            configuration.amount, real: classes, results: results,
            known: maker.labels + missing)
        var groups: [AugmentationPlan.Group] = []
        for (index, (label, count)) in wanted.enumerated() {
            groups.append(try maker.group(of: label, index: index, count: count))
        }
        return try AugmentationPlan(
            items: items, classes: classes, labels: wanted.map(\.label), groups: groups,
            schedule: schedule)
    }

    /// Classes with the number of new items of each, in order.
    private static func wanted(
        _ amount: AugmentationAmount, real: [String?], results: [String?], known: [String?]
    ) throws(LatentError) -> [(label: String?, count: Int)] {
        func sorted(_ labels: Set<String?>) -> [String?] {
            labels.sorted(by: AugmentationPlan.precedes)
        }
        // Beside classes, files without one are none.
        let named = Set((results.isEmpty ? known : results).compactMap(\.self))
        let classes = named.isEmpty ? [nil] : sorted(Set(named.map(Optional.some)))
        switch amount {
        case .total: return []
        case .perClass(let count):
            return classes.map { ($0, count) }
        case .fill(let target):
            var counts: [String?: Int] = [:]
            for label in real where label != nil || named.isEmpty {
                counts[label, default: 0] += 1
            }
            let size = target ?? counts.values.max() ?? 0
            return classes.map { ($0, max(0, size - counts[$0, default: 0])) }
        case .counts(let lists):
            let names = Set(known + results).compactMap(\.self)
            var counts: [String: Int] = [:]
            for list in lists {
                for (name, count) in try AugmentationAmount.counts(in: list, known: names) {
                    guard counts.updateValue(count, forKey: name) == nil else {
                        throw LatentError(
                            .usage, "--counts names class \(name) twice", hint: "name it once")
                    }
                }
            }
            return sorted(Set(counts.keys.map(Optional.some))).map { label in
                (label, label.flatMap { counts[$0] } ?? 0)
            }
        case .multiple(let factor):
            var counts: [String?: Int] = [:]
            for label in results { counts[label, default: 0] += factor }
            return sorted(Set(counts.keys)).map { ($0, counts[$0] ?? 0) }
        }
    }
}

/// What the items of a class can be made of, by a method.
private struct ClassMaker {
    let method: LatentSampling
    /// What is known of the model; nil where there is none.
    let model: ModelRecord?
    let labelling: Labelling
    let schedule: ParentSchedule
    /// The class of what starts from each real item.
    let results: [String?]

    /// The class of what no label is known of.
    private var onlyLabel: String? { model?.labels.count == 1 ? model?.labels.first : nil }

    /// The classes that can be made without real items, or that real items lead to.
    var labels: [String?] {
        if method.parentCount > 0 { return Set(results).sorted(by: AugmentationPlan.precedes) }
        guard let conditioning = labelling.conditioning else { return [onlyLabel] }
        return labelling.combinations.map { conditioning.label(of: $0) }
    }

    /// All that there is, in turn.
    func all(count: Int) -> AugmentationPlan.Group {
        let labels = labels
        guard method.parentCount > 0 else {
            return .init(
                count: count,
                combinations: labelling.conditioning == nil ? [[]] : labelling.combinations,
                labels: Array(labels.indices))
        }
        let places = Dictionary(
            uniqueKeysWithValues: labels.enumerated().map { ($0.element, $0.offset) })
        return .init(
            count: count, parents: schedule.order,
            labels: schedule.order.map { places[results[$0]] ?? 0 })
    }

    /// The items of a class.
    ///
    /// - Throws: ``LatentError`` `.usage` when there are to be some and none can be made
    func group(of label: String?, index: Int, count: Int) throws(LatentError)
        -> AugmentationPlan.Group
    {
        guard count > 0 else { return .init(count: 0, labels: [index]) }
        guard method.parentCount > 0 else {
            return .init(count: count, combinations: [try codes(of: label)], labels: [index])
        }
        let parents = schedule.order.filter { results[$0] == label }
        guard parents.isEmpty else { return .init(count: count, parents: parents, labels: [index]) }
        let name = label.map { "class \($0)" } ?? "what is of no class"
        let found = results.count { $0 == label }
        throw found > 0
            ? LatentError(
                .usage,
                "\(name) has \(found) real item, and --method \(method.rawValue) needs "
                    + "\(method.parentCount)",
                hint: "name more of it, or use --method posterior")
            : LatentError(
                .usage,
                "\(name) has no real items, which --method \(method.rawValue) starts from",
                hint: "there are \(Self.list(labels)); name files of it"
                    + (model == nil ? "" : ", or use --method density"))
    }

    /// Codes of a class that is drawn without real items.
    private func codes(of label: String?) throws(LatentError) -> [Int] {
        guard labelling.conditioning != nil else {
            guard label == onlyLabel || label == nil else {
                throw LatentError(
                    .usage,
                    "files of class \(label ?? "") cannot be drawn by --method \(method.rawValue): "
                        + "the model does not tell classes apart",
                    hint: "use --method posterior with files of it, or train with --condition class"
                )
            }
            return []
        }
        // Files without class are of the only one there is.
        let place = labels.firstIndex(of: label)
        guard let place = place ?? (label == nil && labels.count == 1 ? 0 : nil) else {
            let isTrained = label.map { model?.labels.contains($0) ?? false } ?? false
            throw LatentError(
                .usage,
                (label.map { "class \($0)" } ?? "what is of no class")
                    + " cannot be drawn by --method \(method.rawValue): "
                    + (isTrained
                        ? "the files were too few to fit to" : "the model knows none of it"),
                hint: "it knows \(Self.list(labels)); or use --method posterior with files of it")
        }
        return labelling.combinations[place]
    }

    private static func list(_ labels: [String?]) -> String {
        let names = labels.compactMap(\.self)
        if names.isEmpty { return "files without class" }
        return names.prefix(20).joined(separator: ", ")
            + (names.count > 20 ? " and \(names.count - 20) more" : "")
    }
}
