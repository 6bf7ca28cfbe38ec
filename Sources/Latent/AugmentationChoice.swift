/// Which way of making new files was chosen, by what it did for a classifier of the real ones: what
/// ``AugmentationTrial`` finds.
public struct AugmentationChoice: Codable, Sendable, Equatable {
    /// A way of making new files.
    public struct Way: Codable, Sendable, Equatable {
        /// How they are drawn; nil for no new files.
        public let method: LatentSampling?
        /// What is done to them, as ``Transform/list(_:domain:)`` reads it; nil for nothing.
        public let transforms: String?

        /// Makes a way.
        public init(_ method: LatentSampling?, _ transforms: String? = nil) {
            self.method = method
            self.transforms = transforms
        }

        /// No new files.
        public static let real = Self(nil)
        /// Real files varied by classic transforms.
        public static let classic = Self(.transform, "classic")

        /// For people: `real`, `classic`, `deform`, `deform, classic`.
        public var name: String {
            guard let method else { return "real" }
            let words = [method == .transform ? nil : method.rawValue, transforms]
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
        /// That less what classic transforms give.
        public let overClassic: Gain

        /// Makes a row.
        public init(_ way: Way, balancedAccuracy: Double, overReal: Gain, overClassic: Gain) {
            self.way = way
            self.balancedAccuracy = balancedAccuracy
            self.overReal = overReal
            self.overClassic = overClassic
        }
    }

    /// What decided.
    public enum Ground: String, Codable, Sendable {
        /// It is better than the better of real and classic, beyond doubt.
        case better
        /// Nothing is, and classic transforms are no worse than real files alone.
        case classic
        /// Nothing is, and classic transforms are worse than real files alone.
        case real
        /// Nothing could be tried.
        case untried
    }

    /// The way that is taken.
    public let chosen: Way
    /// Why.
    public let ground: Ground
    /// What was tried; empty where nothing could be.
    ///
    /// The first is real files alone, the second classic transforms.
    public let rows: [Row]
    /// Ways that could not be tried, and why, in words; or why nothing could.
    public let remarks: [String]

    /// Takes what is usual where nothing is tried.
    ///
    /// - Parameters:
    ///   - way: what is taken
    ///   - reason: why nothing was tried, in words
    public init(untried way: Way, because reason: String) {
        (chosen, ground, rows, remarks) = (way, .untried, [], [reason])
    }

    /// Decides.
    ///
    /// The better of real and classic is the floor. The most accurate of the others whose gain over it has
    /// an interval above 0 is taken, or else the floor itself; of equals the first. The intervals have to
    /// hold for all of the others at once, as the best of several is the luckiest of them.
    ///
    /// - Parameters:
    ///   - rows: real files alone, classic transforms, and the others
    ///   - remarks: what could not be tried
    init(rows: [Row], remarks: [String] = []) {
        precondition(
            rows.count > 1 && rows[0].way == .real && rows[1].way == .classic, "no floor")
        self.rows = rows
        self.remarks = remarks
        let isClassic = rows[1].balancedAccuracy >= rows[0].balancedAccuracy
        var best: Row?
        for row in rows.dropFirst(2) where (isClassic ? row.overClassic : row.overReal).low > 0 {
            if row.balancedAccuracy > best?.balancedAccuracy ?? 0 { best = row }
        }
        chosen = best?.way ?? (isClassic ? .classic : .real)
        ground = best != nil ? .better : isClassic ? .classic : .real
    }

    /// The row of what is taken; nil where nothing was tried.
    public var chosenRow: Row? { rows.first { $0.way == chosen } }
}
