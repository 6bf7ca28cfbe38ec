/// Which way of making new files was chosen, by what it did for a classifier of the real ones: what
/// ``AugmentationTrial`` finds.
public struct AugmentationChoice: Codable, Sendable, Equatable {
    /// A way of making new files.
    public struct Way: Codable, Sendable, Equatable {
        /// How they are drawn; nil for no new files.
        public let method: LatentSampling?
        /// What is done to them, as ``Transform/list(_:domain:)`` reads it; nil for nothing.
        public let transforms: String?
        /// New files for each real one; nil for as many as are asked for.
        public let ratio: Int?

        /// Makes a way.
        public init(_ method: LatentSampling?, _ transforms: String? = nil, ratio: Int? = nil) {
            self.method = method
            self.transforms = transforms
            self.ratio = ratio
        }

        /// The same with another number of new files.
        func with(ratio: Int?) -> Self { Self(method, transforms, ratio: ratio) }

        /// No new files.
        public static let real = Self(nil)
        /// Real files varied by classic transforms, as many as are asked for.
        public static let classic = Self(.transform, "classic")

        /// Whether a model has a part in it.
        public var drawsFromModel: Bool { method != nil && method != .transform }

        /// Whether it is real files alone, or transforms of them, as many as are asked for: what is taken
        /// unless something else is better.
        public var isPlain: Bool { method == nil || method == .transform && ratio == nil }

        /// For people: `real`, `classic`, `deform`, `deform, classic`, `classic, 4 for each`.
        public var name: String {
            guard let method else { return "real" }
            let words = [
                method == .transform ? nil : method.rawValue, transforms,
                ratio.map { "\($0) for each" },
            ]
            return words.compactMap(\.self).joined(separator: ", ")
        }
    }

    /// A difference of accuracies with the ends of its interval.
    public struct Gain: Codable, Sendable, Equatable {
        /// The difference, in 0…1.
        public let value: Double
        /// The lower end.
        public let low: Double
        /// The upper end.
        public let high: Double

        /// Makes a difference.
        public init(value: Double, low: Double, high: Double) {
            self.value = value
            self.low = low
            self.high = high
        }

        init(_ estimate: Usefulness.Estimate) {
            self.init(value: estimate.value, low: estimate.low, high: estimate.high)
        }
    }

    /// What a way came to.
    public struct Row: Codable, Sendable, Equatable {
        /// The way.
        public let way: Way
        /// The mean over classes of the share of held-out files whose class is found.
        public let balancedAccuracy: Double
        /// That less what real files alone give.
        public let overReal: Gain
        /// That less what ``AugmentationChoice/floor`` gives.
        public let overFloor: Gain

        /// Makes a row.
        public init(_ way: Way, balancedAccuracy: Double, overReal: Gain, overFloor: Gain) {
            self.way = way
            self.balancedAccuracy = balancedAccuracy
            self.overReal = overReal
            self.overFloor = overFloor
        }
    }

    /// What decided.
    public enum Ground: String, Codable, Sendable {
        /// What a model draws, or fewer files, are better than the floor, beyond doubt.
        case better
        /// Nothing is, and transforms are no worse than real files alone.
        case transforms
        /// Nothing is, and transforms are worse than real files alone.
        case real
        /// Nothing could be tried.
        case untried
    }

    /// The way that is taken.
    public let chosen: Way
    /// The most accurate plain way: real files alone, or a way of transforming them.
    public let floor: Way
    /// Why.
    public let ground: Ground
    /// What was tried; empty where nothing could be.
    ///
    /// The first is real files alone.
    public let rows: [Row]
    /// Ways that could not be tried to the end, and why, in sentences; or why nothing could.
    public let remarks: [String]

    /// Takes what is usual where nothing is tried.
    ///
    /// - Parameters:
    ///   - way: what is taken
    ///   - reason: why nothing was tried, in words
    public init(untried way: Way, because reason: String) {
        (chosen, floor, ground, rows, remarks) = (way, way, .untried, [], [reason])
    }

    /// Decides.
    ///
    /// Of ways that are not plain, the most accurate whose gain over the floor has an interval above 0 is
    /// taken, or else the floor itself; of equals the first. The intervals have to hold for all of these at
    /// once, as the best of several is the luckiest of them; and a model has seen what is left out, and
    /// fewer files are not what was asked for.
    ///
    /// - Parameters:
    ///   - rows: real files alone, and the others, with their gains over the floor
    ///   - floor: what ``floor(of:)`` gives of them
    ///   - remarks: what could not be tried
    init(rows: [Row], floor: Way, remarks: [String] = []) {
        precondition(rows.first?.way == .real, "no real files alone")
        self.rows = rows
        self.floor = floor
        self.remarks = remarks
        var best: Row?
        for row in rows where !row.way.isPlain && row.overFloor.low > 0 {
            if row.balancedAccuracy > best?.balancedAccuracy ?? 0 { best = row }
        }
        chosen = best?.way ?? floor
        ground = best != nil ? .better : floor == .real ? .real : .transforms
    }

    /// The place of the most accurate plain way, real files alone only where they are more
    /// accurate than all others.
    static func floor(of ways: [(way: Way, accuracy: Double)]) -> Int {
        var best = 0
        for (place, entry) in ways.enumerated() where entry.way.isPlain {
            let leader = ways[best]
            let isBetter =
                leader.way == .real
                ? entry.accuracy >= leader.accuracy : entry.accuracy > leader.accuracy
            if isBetter { best = place }
        }
        return best
    }

    /// The row of what is taken; nil where nothing was tried.
    public var chosenRow: Row? { rows.first { $0.way == chosen } }
}
