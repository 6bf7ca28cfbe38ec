import Torch

/// How well scores tell anomalous items from normal ones, with intervals.
///
/// Intervals are 95 % percentile intervals of a bootstrap that draws normal and anomalous items apart
/// (Efron & Tibshirani 1993, chapter 13; strata as in Davison & Hinkley 1997, section 3.2), and exact
/// ones for shares of flagged items.
public struct DetectionEvaluation: Sendable {
    /// How it is done.
    public struct Configuration: Sendable {
        /// Resamples of the bootstrap; without intervals where there are none.
        public var resampleCount = 1_000
        /// The source of the resamples.
        public var seed: UInt64 = 0

        /// Makes the defaults.
        public init() {}
    }

    /// What is measured.
    public enum Metric: String, Sendable, CaseIterable {
        /// How many normal items there are.
        case normalCount = "normal_count"
        /// How many anomalous items there are.
        case anomalyCount = "anomaly_count"
        /// How many items have no score.
        case errorCount = "error_count"
        /// ``DetectionMetrics/auroc``.
        case auroc
        /// ``DetectionMetrics/averagePrecision``.
        case averagePrecision = "average_precision"
        /// ``DetectionMetrics/partialAUROC``.
        case partialAUROC = "partial_auroc_0.1"
        /// ``DetectionMetrics/recallAtOnePercent``.
        case recallAtOnePercent = "tpr_at_fpr_0.01"
        /// ``DetectionMetrics/recallAtFivePercent``.
        case recallAtFivePercent = "tpr_at_fpr_0.05"
        /// ``DetectionMetrics/bestF1``, which is chosen on these very items.
        case bestF1 = "best_f1"
        /// ``DetectionMetrics/bestF1Threshold``.
        case bestF1Threshold = "best_f1_threshold"
        /// F1 of the verdicts that were given with the scores.
        case f1
        /// The share of normal items that these verdicts flag.
        case falseAlarmRate = "false_alarm_rate"
        /// The share of anomalous items that these verdicts flag.
        case detectionRate = "detection_rate"
        /// The score above which these verdicts flag; see ``LabelledThreshold``.
        case threshold
        /// ``LabelledThreshold/precision``.
        case precision
        /// ``LabelledThreshold/outcome`` where it is a cost.
        case cost = "cost_per_file"
        /// ``LabelledThreshold/outcome`` where it is alarms.
        case falseAlarmsPerDay = "false_alarms_per_day"
        /// ``RegionOverlap/pixelAUROC``.
        case pixelAUROC = "pixel_auroc"
        /// ``RegionOverlap/aupro``.
        case aupro = "aupro_0.3"

        /// Whether it counts items.
        public var isCount: Bool { [.normalCount, .anomalyCount, .errorCount].contains(self) }
    }

    /// Where an interval comes from.
    public enum Interval: String, Sendable {
        /// Percentiles of resamples.
        case bootstrap
        /// ``BinomialInterval``.
        case clopperPearson = "clopper-pearson"
        /// Quantiles of the share of new normal items that is flagged; see ``Guarantee``.
        case beta
    }

    /// One number.
    public struct Figure: Sendable, Equatable {
        /// What it measures.
        public let metric: Metric
        /// The anomalous class that it is about, against all normal items; nil for all classes.
        public let className: String?
        /// The number.
        public let value: Double
        /// The lower end of its interval.
        public let low: Double?
        /// The upper end of its interval.
        public let high: Double?
        /// Where the interval comes from; nil for a number without.
        public let interval: Interval?

        init(
            _ metric: Metric, of className: String? = nil, _ value: Double,
            _ ends: (low: Double, high: Double)? = nil, _ interval: Interval = .bootstrap
        ) {
            self.metric = metric
            self.className = className
            self.value = value
            (low, high) = (ends?.low, ends?.high)
            self.interval = ends == nil ? nil : interval
        }
    }

    let ranking: Ranking
    /// Items that have no score.
    public let errorCount: Int
    /// The threshold of all verdicts, where it is one.
    public let threshold: Double?

    /// Ranks items.
    ///
    /// - Parameters:
    ///   - scores: larger is more anomalous
    ///   - classes: the class of each anomalous item, nil for a normal one
    ///   - verdicts: what was said of each item, where something was; none where nothing was
    ///   - threshold: the one that all verdicts come from
    ///   - errorCount: items that have no score
    /// - Throws: ``LatentError`` `.data` without normal or without anomalous items, and for a score
    ///   that is not a number
    public init(
        scores: [Double], classes: [String?], verdicts: [Bool?] = [], threshold: Double? = nil,
        errorCount: Int = 0
    ) throws(LatentError) {
        guard classes.count == scores.count, verdicts.isEmpty || verdicts.count == scores.count
        else {
            throw LatentError(
                .usage,
                "\(scores.count) scores, \(classes.count) classes and \(verdicts.count) "
                    + "verdicts are not of the same items")
        }
        let names = Set(classes.compactMap(\.self)).sorted {
            $0.utf8.lexicographicallyPrecedes($1.utf8)
        }
        let numbers = Dictionary(uniqueKeysWithValues: zip(names, names.indices))
        let entries = scores.indices.map { index in
            Ranking.Entry(
                score: scores[index], classIndex: classes[index].flatMap { numbers[$0] },
                verdict: verdicts.isEmpty ? nil : verdicts[index])
        }
        try self.init(entries, names, threshold: threshold, errorCount: errorCount)
    }

    init(
        _ entries: [Ranking.Entry], _ classNames: [String], threshold: Double?, errorCount: Int
    ) throws(LatentError) {
        if let index = entries.firstIndex(where: { $0.score.isNaN }) {
            throw LatentError(.data, "score \(index + 1) is not a number")
        }
        let anomalyCount = entries.count { $0.classIndex != nil }
        guard anomalyCount > 0, anomalyCount < entries.count else {
            throw LatentError(
                .data,
                "\(entries.count - anomalyCount) normal and \(anomalyCount) anomalous items: to "
                    + "tell them apart takes some of both")
        }
        ranking = Ranking(entries, classNames: classNames)
        self.threshold = threshold
        self.errorCount = errorCount
    }

    // MARK: Figures

    /// Measures all anomalous items, then each class of them against all normal ones.
    ///
    /// The same items, seed and number of resamples give the same figures.
    ///
    /// - Complexity: for each resample, as many random numbers as there are items, twice the anomalous
    ///   ones, and one pass over both
    public func figures(_ configuration: Configuration = .init()) -> [Figure] {
        var figures = [
            Figure(.normalCount, Double(ranking.normals.count)),
            Figure(.anomalyCount, Double(ranking.strata[0].count)),
            Figure(.errorCount, Double(errorCount)),
        ]
        // Resamples of some strata at a time: of thousands of classes, all would fill the memory.
        for start in stride(from: 0, to: ranking.strata.count, by: 256) {
            let range = start..<min(start + 256, ranking.strata.count)
            for (index, samples) in zip(range, resampled(range, configuration)) {
                figures += self.figures(of: index, samples)
            }
        }
        return figures
    }

    private func figures(of index: Int, _ samples: Samples) -> [Figure] {
        let stratum = ranking.strata[index]
        let name = stratum.className
        let metrics = DetectionMetrics(
            stratum, weights: stratum.ones, normalsBefore: ranking.before(ranking.normals),
            values: ranking.values)
        var figures: [Figure] = []
        if name != nil { figures.append(Figure(.anomalyCount, of: name, Double(stratum.count))) }
        for (metric, path) in Self.ranked where name == nil || Self.ofClasses.contains(metric) {
            figures.append(
                Figure(
                    metric, of: name, metrics[keyPath: path],
                    Self.ends(samples.metrics.map { $0[keyPath: path] })))
        }
        let normal = Verdicts(ranking.normals)
        let anomalous = Verdicts(stratum)
        if name == nil {
            if let f1 = Verdicts.f1(normal, anomalous) {
                figures.append(Figure(.f1, f1, Self.ends(samples.f1)))
            }
            figures += [normal.figure(.falseAlarmRate, of: nil)].compactMap(\.self)
        }
        return figures + [anomalous.figure(.detectionRate, of: name)].compactMap(\.self)
    }

    private static var ranked: [(Metric, KeyPath<DetectionMetrics, Double> & Sendable)] {
        [
            (.auroc, \.auroc), (.averagePrecision, \.averagePrecision),
            (.partialAUROC, \.partialAUROC), (.recallAtOnePercent, \.recallAtOnePercent),
            (.recallAtFivePercent, \.recallAtFivePercent), (.bestF1, \.bestF1),
            (.bestF1Threshold, \.bestF1Threshold),
        ]
    }

    private static let ofClasses: Set<Metric> = [
        .auroc, .averagePrecision, .recallAtOnePercent, .recallAtFivePercent,
    ]

    /// Counts of verdicts.
    private struct Verdicts {
        var flagged = 0
        var total = 0

        init() {}

        init(_ stratum: Ranking.Stratum) {
            for verdict in stratum.verdicts { add(verdict, 1) }
        }

        mutating func add(_ verdict: Bool?, _ weight: Int32) {
            guard let verdict else { return }
            total += Int(weight)
            if verdict { flagged += Int(weight) }
        }

        /// Nil where no item that counts as anomalous has a verdict.
        static func f1(_ normal: Verdicts, _ anomalous: Verdicts) -> Double? {
            guard anomalous.total > 0 else { return nil }
            return 2 * Double(anomalous.flagged)
                / Double(anomalous.flagged + normal.flagged + anomalous.total)
        }

        func figure(_ metric: Metric, of name: String?) -> Figure? {
            guard total > 0 else { return nil }
            let interval = BinomialInterval(count: flagged, of: total)
            return Figure(
                metric, of: name, Double(flagged) / Double(total), (interval.low, interval.high),
                .clopperPearson)
        }
    }

    // MARK: Bootstrap

    /// What resamples of a stratum gave.
    private struct Samples {
        var metrics: [DetectionMetrics] = []
        var f1: [Double] = []
    }

    private func resampled(_ range: Range<Int>, _ configuration: Configuration) -> [Samples] {
        var samples = [Samples](repeating: Samples(), count: range.count)
        var normalWeights = [Int32](repeating: 0, count: ranking.normals.count)
        for resample in 0..<max(0, configuration.resampleCount) {
            // Keyed by resample and stratum, so that no figure depends on what else is measured.
            var generator = Generator(
                seed: configuration.seed, Stream.resampling.rawValue, UInt64(resample))
            Self.draw(&normalWeights, &generator)
            let before = ranking.before(ranking.normals, weights: normalWeights)
            for (place, index) in range.enumerated() {
                let stratum = ranking.strata[index]
                var generator = Generator(
                    seed: configuration.seed, Stream.resampling.rawValue, UInt64(resample),
                    UInt64(index))
                var weights = stratum.ones
                Self.draw(&weights, &generator)
                samples[place].metrics.append(
                    DetectionMetrics(
                        stratum, weights: weights, normalsBefore: before, values: ranking.values))
                guard stratum.className == nil else { continue }
                var (normal, anomalous) = (Verdicts(), Verdicts())
                for (verdict, weight) in zip(ranking.normals.verdicts, normalWeights) {
                    normal.add(verdict, weight)
                }
                for (verdict, weight) in zip(stratum.verdicts, weights) {
                    anomalous.add(verdict, weight)
                }
                if let f1 = Verdicts.f1(normal, anomalous) { samples[place].f1.append(f1) }
            }
        }
        return samples
    }

    /// How often each of n items comes in n draws with replacement.
    static func draw(_ weights: inout [Int32], _ generator: inout Generator) {
        for index in weights.indices { weights[index] = 0 }
        let count = UInt64(weights.count)
        for _ in weights.indices {
            // The upper half of the product lies evenly in 0..<count, but for one part in 2⁶⁴ / count.
            weights[Int(generator.next().multipliedFullWidth(by: count).high)] += 1
        }
    }

    /// The percentiles that the share `level` lies between, usually the 2.5th and 97.5th, between
    /// neighbours in proportion; nil for no samples.
    static func ends(_ samples: [Double], level: Double = 0.95) -> (low: Double, high: Double)? {
        guard !samples.isEmpty else { return nil }
        let sorted = samples.sorted()
        func quantile(_ share: Double) -> Double {
            let place = share * Double(sorted.count - 1)
            let index = Int(place)
            let next = min(index + 1, sorted.count - 1)
            return sorted[index] + (sorted[next] - sorted[index]) * (place - Double(index))
        }
        return (quantile((1 - level) / 2), quantile((1 + level) / 2))
    }
}
