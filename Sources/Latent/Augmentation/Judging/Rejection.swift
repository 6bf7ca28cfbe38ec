/// What new files are refused for, and how readily.
public struct Filters: Sendable, Equatable {
    /// A reason to refuse a file.
    public enum Reason: String, Sendable, CaseIterable, Comparable {
        /// One colour, silence, or a recording cut off at full scale.
        case broken
        /// Stranger to the model than real files are.
        case offManifold = "off-manifold"
        /// Unlike its class to a classifier of the real files.
        case mislabelled
        /// Nearer to a real file than real files are to each other.
        case copies
        /// As near to another new file.
        case duplicates

        /// In the order in which they are looked for.
        public static func < (first: Reason, second: Reason) -> Bool {
            let order = allCases
            return (order.firstIndex(of: first) ?? 0) < (order.firstIndex(of: second) ?? 0)
        }

        /// The share of real files that it refuses, by itself; 0 for what is no question of degree.
        var usualRate: Double {
            switch self {
            case .broken: 0
            case .mislabelled: 0.02
            case .offManifold, .copies, .duplicates: 0.01
            }
        }

        /// Whether files are compared with real ones.
        var needsRealItems: Bool { self == .mislabelled || self == .copies }
    }

    /// The reasons that count, each with the share of real files that it would refuse.
    public let rates: [Reason: Double]

    /// All reasons, at their usual rates.
    public static let all = Filters(
        rates: Dictionary(uniqueKeysWithValues: Reason.allCases.map { ($0, $0.usualRate) }))
    /// All reasons but likeness to another new file, which a model of few latents cannot help.
    public static let usual = Filters(rates: all.rates.filter { $0.key != .duplicates })
    /// Those of ``usual`` that fit a method: what is made of one real item by changing it is meant to be near
    /// it, and there is nothing to judge real items by that are transformed without a model.
    ///
    /// - Parameters:
    ///   - method: how new files are drawn
    ///   - hasRealItems: whether there are any to compare with
    /// - Returns: what is refused where nobody says
    public static func usual(for method: LatentSampling, hasRealItems: Bool) -> Filters {
        switch method {
        case .transform: none
        case .posterior, .deform:
            Filters(rates: usual.rates.filter { $0.key != .copies })
        case .prior, .density, .flow, .vamp, .interpolate, .smote, .extrapolate:
            hasRealItems ? usual : usual.withoutRealItems
        }
    }
    /// No reason.
    public static let none = Filters(rates: [:])

    /// Those of the reasons that can be told without real files.
    public var withoutRealItems: Filters {
        Filters(rates: rates.filter { !$0.key.needsRealItems })
    }

    init(rates: [Reason: Double]) { self.rates = rates }

    /// Reads a list such as `off-manifold=0.01,copies`, or `all`, or `none`; nil for what is no such list.
    public init?(_ list: String) {
        if let whole = ["all": Filters.all, "none": Filters.none][list] {
            self = whole
            return
        }
        var rates: [Reason: Double] = [:]
        for part in list.split(separator: ",", omittingEmptySubsequences: false) {
            let words = part.split(separator: "=", omittingEmptySubsequences: false)
            guard (1...2).contains(words.count), let reason = Reason(rawValue: String(words[0])),
                rates[reason] == nil
            else { return nil }
            rates[reason] = reason.usualRate
            guard words.count == 2 else { continue }
            guard reason != .broken, let rate = Double(words[1]), rate > 0, rate <= 0.5 else {
                return nil
            }
            rates[reason] = rate
        }
        self.rates = rates
    }

    /// Whether none counts.
    public var isEmpty: Bool { rates.isEmpty }

    /// Whether a reason counts.
    public func has(_ reason: Reason) -> Bool { rates[reason] != nil }

    /// Whether files are compared with real ones.
    public var needsRealItems: Bool { rates.keys.contains(where: \.needsRealItems) }

    /// As it is read.
    public var description: String {
        rates.isEmpty
            ? "none"
            : rates.sorted { $0.key < $1.key }.map { reason, rate in
                reason.rawValue + (reason == .broken ? "" : "=\(rate)")
            }.joined(separator: ",")
    }
}

/// What is found of a file.
public struct Judgement: Sendable, Equatable {
    /// Why it is refused, in order; none where it is let through.
    public var reasons: [Filters.Reason] = []
    /// What is broken about it, in a word.
    public var flaw: String?
    /// The negative reconstruction probability, in nats: larger is stranger.
    public var score: Double?
    /// The share of real files that score as high.
    public var scorePValue: Double?
    /// The class that a classifier of the real files takes it for.
    public var predicted: String?
    /// The share of real files that are as unlike their class.
    public var labelPValue: Double?
    /// The distance to the nearest real file: root mean square over values 0…1 at 32×32.
    public var nearest: Double?
    /// The share of real files that are as near to another.
    public var nearestPValue: Double?
    /// The distance to the nearest new file of the same group.
    public var twin: Double?

    init() {}
}
