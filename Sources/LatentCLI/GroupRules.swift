import Latent

/// By what the files of each group are judged, and all others.
struct GroupRules: Sendable {
    /// How some files are judged.
    struct Rule {
        /// The group whose calibration it is; nil for that of all files.
        let group: String?
        let calibration: Calibration
        /// Nil where there are none, or not yet.
        var verdicts: Verdicts?
    }

    /// The verdicts of a group that is large enough to have its own.
    enum OwnVerdicts {
        case known(Verdicts)
        /// They wait for all files.
        case later

        fileprivate var verdicts: Verdicts? {
            if case .known(let verdicts) = self { verdicts } else { nil }
        }
    }

    /// The rule of files without a group of their own.
    private(set) var pooled: Rule
    /// What tells the group of a file; nil for a model without groups.
    private let attribute: String?
    private let reader: GroupReader?
    private let known: Set<String>
    private var ruleOfGroup: [String: Rule]
    private var saysUnknown = true

    /// Makes rules.
    ///
    /// - Parameters:
    ///   - pooled: of files without a group of their own
    ///   - groups: what the model keeps of groups
    ///   - attributeNames: those that inputs are read with
    ///   - verdicts: gives a group's rule its verdicts; nil for a group that is too small
    init(
        pooled: Rule, groups: GroupedCalibration? = nil, attributeNames: [String] = [],
        verdicts: (Calibration) -> OwnVerdicts? = { _ in nil }
    ) {
        self.pooled = pooled
        attribute = groups?.attribute
        known = Set(groups?.groups.keys.map(\.self) ?? [])
        reader = groups.map {
            GroupReader(
                attribute: $0.attribute, attributeNames: attributeNames, known: Set($0.groups.keys))
        }
        ruleOfGroup = [:]
        for (name, calibration) in groups?.groups ?? [:] {
            guard let own = verdicts(calibration) else { continue }
            ruleOfGroup[name] = Rule(group: name, calibration: calibration, verdicts: own.verdicts)
        }
    }

    /// Whether there are groups to tell apart.
    var hasGroups: Bool { reader != nil }

    /// The rule of a file.
    func rule(of item: Item) -> Rule {
        guard let reader, let group = reader.group(of: item) else { return pooled }
        return ruleOfGroup[group] ?? pooled
    }

    /// A sentence about the first file whose group the model does not know; nil for all others.
    mutating func noteOfUnknown(_ item: Item) -> String? {
        guard saysUnknown, let reader, let attribute else { return nil }
        let group = reader.group(of: item)
        if let group, known.contains(group) { return nil }
        saysUnknown = false
        let what =
            group.map { "\(attribute) \($0) is not known" } ?? "nothing tells its \(attribute)"
        return "\(item.path): \(what): the threshold of all files holds for such ones (said once)"
    }

    /// A sentence about the groups that are too small to have a threshold of their own.
    var noteOfSmall: String? {
        let small = known.subtracting(ruleOfGroup.keys)
            .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        guard let attribute, !small.isEmpty else { return nil }
        let named = small.prefix(8).joined(separator: ", ")
        let more = small.count > 8 ? " and \(small.count - 8) more" : ""
        return
            "\(attribute) \(named)\(more): too few calibration scores of their own, the threshold "
            + "of all files holds"
    }

    /// The fewest calibration scores of a kind that a rule goes by.
    func smallestCount(_ kind: ScoreKind) -> Int {
        ruleOfGroup.values.reduce(pooled.calibration.scores(kind).count) {
            min($0, $1.calibration.scores(kind).count)
        }
    }

    /// Gives every rule its verdicts.
    mutating func decide(_ verdicts: (Calibration) -> Verdicts) {
        pooled.verdicts = verdicts(pooled.calibration)
        for (name, rule) in ruleOfGroup { ruleOfGroup[name]?.verdicts = verdicts(rule.calibration) }
    }
}
