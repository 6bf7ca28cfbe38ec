/// A threshold that was chosen on files of which it is known whether they are anomalous.
///
/// It promises nothing of new files but what the counts on those files say, and these are a little
/// too good: the threshold was chosen on the same files.
public struct LabelledThreshold: Codable, Sendable, Equatable {
    /// What the threshold is best at.
    public enum Goal: Codable, Sendable, Equatable {
        /// The largest F1 = 2 tp / (2 tp + fp + fn) (van Rijsbergen 1979).
        case bestF1
        /// The least miss · fn + alarm · fp: what a missed anomalous file costs, and a false alarm.
        case cost(miss: Double, alarm: Double)
        /// The most alarms that false ones may be on average, at so many files.
        case maxAlarms(perDay: Double, filesPerDay: Double)

        /// Where thresholds of this goal are said to come from.
        public var kind: ThresholdKind {
            switch self {
            case .bestF1: .bestF1
            case .cost: .cost
            case .maxAlarms: .maxAlarms
            }
        }
    }

    /// What it is best at.
    public let goal: Goal
    /// The score that it is a threshold of.
    public let scoreKind: ScoreKind
    /// The score above which items are flagged.
    public let threshold: Double
    /// Normal items that it was chosen on.
    public let normalCount: Int
    /// Anomalous items that it was chosen on.
    public let anomalyCount: Int
    /// Of the normal ones those that it flags, fp.
    public let falseAlarmCount: Int
    /// Of the anomalous ones those that it flags, tp.
    public let detectionCount: Int

    /// Chooses a threshold.
    ///
    /// Of several that are as good it is the one that flags the fewest. The threshold for F1 and for
    /// cost is halfway between the lowest score that is flagged and the highest that is not; that for
    /// alarms is the conformal one of the normal items at the rate perDay / filesPerDay.
    ///
    /// - Parameters:
    ///   - goal: with finite numbers above 0
    ///   - kind: the score
    ///   - normal: scores of normal items, finite, at least one
    ///   - anomalous: scores of anomalous items, finite, at least one
    /// - Throws: ``LatentError`` `.usage` for more alarms than files, and where there are too few
    ///   normal items for so few alarms
    /// - Complexity: one sort
    public init(
        _ goal: Goal, kind: ScoreKind, normal: [Double], anomalous: [Double]
    ) throws(LatentError) {
        let threshold: Double
        switch goal {
        case .bestF1:
            threshold = Self.best(normal, anomalous) { found, alarms in
                2 * Double(found) / Double(found + alarms + anomalous.count)
            }
        case .cost(let miss, let alarm):
            threshold = Self.best(normal, anomalous) { found, alarms in
                -miss * Double(anomalous.count - found) - alarm * Double(alarms)
            }
        case .maxAlarms(let perDay, let filesPerDay):
            threshold = try Self.threshold(normal, rate: perDay / filesPerDay)
        }
        self.goal = goal
        scoreKind = kind
        self.threshold = threshold
        normalCount = normal.count
        anomalyCount = anomalous.count
        falseAlarmCount = normal.count { $0 > threshold }
        detectionCount = anomalous.count { $0 > threshold }
    }

    /// The threshold of the largest worth, which is of anomalous and of normal items flagged.
    private static func best(
        _ normal: [Double], _ anomalous: [Double], worth: (_ found: Int, _ alarms: Int) -> Double
    ) -> Double {
        let items = (normal.map { ($0, false) } + anomalous.map { ($0, true) })
            .sorted { $0.0 > $1.0 }
        // To flag nothing is a choice too: above the highest score.
        var best = (worth: worth(0, 0), threshold: items[0].0)
        var (found, alarms, index) = (0, 0, 0)
        while index < items.count {
            let lowest = items[index].0
            while index < items.count, items[index].0 == lowest {
                if items[index].1 { found += 1 } else { alarms += 1 }
                index += 1
            }
            let worth = worth(found, alarms)
            guard worth > best.worth else { continue }
            let next = index < items.count ? items[index].0 : lowest.nextDown
            let middle = next + (lowest - next) / 2
            best = (worth, middle < lowest ? middle : next)
        }
        return best.threshold
    }

    private static func threshold(
        _ normal: [Double], rate: Double
    ) throws(LatentError) -> Double {
        guard rate < 1 else {
            throw LatentError(
                .usage, "so many false alarms are allowed as there are files, or more",
                hint: "allow fewer with --max-alarms, or check --rate")
        }
        let calibration = Calibration(scores: [.mse: normal], falseAlarmRate: rate)
        guard let threshold = calibration.threshold(.mse) else {
            throw LatentError(
                .usage,
                "so few alarms are a false-alarm rate of \(rate), which needs "
                    + "\(Calibration.neededCount(rate: rate)) normal files, there are "
                    + "\(normal.count)",
                hint: "give more, or allow more alarms: at least "
                    + "\(Calibration.smallestRate(count: normal.count)) of all files")
        }
        return threshold
    }

    /// Whether it is one that can be chosen.
    var isValid: Bool {
        let counts =
            (0...normalCount).contains(falseAlarmCount)
            && (0...anomalyCount).contains(detectionCount)
        guard threshold.isFinite, normalCount > 0, anomalyCount > 0, counts else { return false }
        switch goal {
        case .bestF1: return true
        case .cost(let miss, let alarm):
            return [miss, alarm].allSatisfy { $0 > 0 && $0.isFinite }
        case .maxAlarms(let perDay, let filesPerDay):
            return perDay > 0 && perDay < filesPerDay && filesPerDay.isFinite
        }
    }

    // MARK: Figures

    /// Precision tp / (tp + fp), with its exact interval; nil where nothing is flagged.
    public var precision: DetectionEvaluation.Figure? {
        let count = detectionCount + falseAlarmCount
        guard count > 0 else { return nil }
        let ends = BinomialInterval(count: detectionCount, of: count)
        return .init(
            .precision, Double(detectionCount) / Double(count), (ends.low, ends.high),
            .clopperPearson)
    }

    /// What the goal is counted in: cost for a file, or false alarms for a day; nil for F1.
    ///
    /// Cost is that of files of which as many are anomalous as were here. The false alarms of a day
    /// are those of ``Guarantee``, on average and given these normal items.
    public var outcome: DetectionEvaluation.Figure? {
        switch goal {
        case .bestF1: return nil
        case .cost(let miss, let alarm):
            let total =
                miss * Double(anomalyCount - detectionCount) + alarm * Double(falseAlarmCount)
            return .init(.cost, total / Double(normalCount + anomalyCount))
        case .maxAlarms(let perDay, let filesPerDay):
            let promise = Guarantee(count: normalCount, rate: perDay / filesPerDay, threshold: nil)
            guard let share = promise.expectedShare, let interval = promise.interval else {
                return nil
            }
            return .init(
                .falseAlarmsPerDay, share * filesPerDay,
                (interval.lowerBound * filesPerDay, interval.upperBound * filesPerDay), .beta)
        }
    }

    /// All figures, each class of anomalous items apart.
    ///
    /// - Parameter evaluation: of the items that it was chosen on, with its verdicts
    /// - Returns: the threshold, what the goal comes to, and the shares that are flagged
    public func figures(_ evaluation: DetectionEvaluation) -> [DetectionEvaluation.Figure] {
        let kept: Set<DetectionEvaluation.Metric> = [
            .normalCount, .anomalyCount, .f1, .falseAlarmRate, .detectionRate,
        ]
        return [.init(.threshold, threshold)] + [outcome, precision].compactMap(\.self)
            + evaluation.figures().filter { kept.contains($0.metric) }
    }
}

extension Verdicts {
    /// Verdicts by a threshold that a model keeps.
    public init(_ stored: LabelledThreshold) {
        self.init(threshold: stored.threshold, kind: stored.goal.kind)
    }
}
