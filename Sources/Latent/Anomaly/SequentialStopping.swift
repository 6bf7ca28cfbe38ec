/// Fewer draws for files whose verdict is certain.
///
/// Draws of z are taken in rounds: 4, 8, 16 … in all, up to L. The score that the verdict is read from
/// is a mean over draws, or rises with such means as ``Ensemble`` does. After each round but the last,
/// the mean over all L draws lies within
///
///     m ± t · s · √((L - l) / (L · l))
///
/// of the l draws so far, m their mean, s their standard deviation and t the quantile of Student's
/// distribution of l - 1 degrees of freedom. Where the threshold is outside of it, the verdict is
/// certain, and the file has no further draws. The error is divided evenly among the rounds, and the
/// means that a score is made of, so that it is that of all of them together (Bonferroni).
///
/// That is exact where the figures of draws are normally distributed, as sums over many elements
/// nearly are, and then at most the error for each file, wherever its threshold lies. Of 1,798 images and
/// recordings by six models, each with its threshold where it is worst, two to five in ten thousand
/// changed their verdict at an error of one in a thousand; of the file with the most skewed draws
/// (skewness 1.8) by itself three in a thousand. With thresholds where they are, few files are near.
///
/// Source: the prediction interval of the mean of further observations, Hahn & Meeker, "Statistical
/// intervals", 1991, chapter 4, of which the mean over all is a part; for looks at a sample that
/// grows, Jennison & Turnbull, "Group sequential methods", 2000, of which an even division is the
/// simplest.
public struct SequentialStopping: Sendable {
    /// The score that verdicts are read from.
    public let kind: ScoreKind
    /// The share of files whose verdict may be other than that of all draws.
    public let errorRate: Double
    /// The score above which an item is flagged; nil for one that takes all draws.
    let threshold: @Sendable (Item) -> Double?

    /// Draws of the first round, beyond which there have to be some.
    ///
    /// Of two or three the deviation is known so badly that most files would need further rounds.
    public static let firstCount = 4

    /// Makes the rule.
    ///
    /// - Parameters:
    ///   - kind: the score that verdicts are read from
    ///   - errorRate: above 0 and below 1
    ///   - threshold: the score above which an item is flagged; nil for one that takes all draws
    public init(
        kind: ScoreKind, errorRate: Double, threshold: @escaping @Sendable (Item) -> Double?
    ) {
        self.kind = kind
        self.errorRate = errorRate
        self.threshold = threshold
    }
}

/// The rounds in which draws are taken, and what is certain after each.
struct DrawRounds {
    /// A figure that moves the score and depends on the draws.
    struct Figure: Equatable {
        let view: Int
        let kind: ScoreKind
        /// The figure of each draw that it is the mean of, but for what does not depend on draws.
        let drawn: ScoreKind
    }

    /// The draws of each round.
    let rounds: [Range<Int>]
    /// What the score is made of.
    let figures: [Figure]
    private let stopping: SequentialStopping
    private let ensemble: Ensemble?
    /// Of one round, and one figure.
    private let errorRate: Double
    /// Those of one mean, which most files are, after each round.
    private let factors: [Int: Double]

    /// Makes the rounds of L draws.
    ///
    /// - Throws: ``LatentError`` `.usage` for a score that is no mean over draws, or too few draws
    init(
        _ stopping: SequentialStopping, ensemble: Ensemble?, drawCount: Int
    ) throws(LatentError) {
        guard drawCount > SequentialStopping.firstCount else {
            throw LatentError(
                .usage,
                "verdicts are certain after \(SequentialStopping.firstCount) draws at the earliest, "
                    + "and \(drawCount) in all are no more",
                hint: "take more draws, or leave --stop-early out")
        }
        var figures: [Figure] = []
        let members =
            stopping.kind == .ensemble
            ? ensemble?.members.map { ($0.view, $0.kind) } ?? [] : [(0, stopping.kind)]
        for (view, kind) in members {
            switch kind.drawDependence {
            case .none: break
            case .mean(let drawn): figures.append(Figure(view: view, kind: kind, drawn: drawn))
            case .other:
                let part = stopping.kind == .ensemble ? ", a part of this model's ensemble," : ""
                throw LatentError(
                    .usage,
                    "the score \(kind.rawValue)\(part) is no mean over draws: no verdict by it is "
                        + "certain before the last",
                    hint: "rank by reconstruction-probability, elbo or mse"
                        + (part.isEmpty ? ", or ensemble" : "") + ", or leave --stop-early out")
            }
        }
        self.figures = figures
        self.stopping = stopping
        self.ensemble = ensemble
        let rounds = Self.rounds(drawCount: drawCount)
        let errorRate =
            stopping.errorRate / Double((rounds.count - 1) * max(1, figures.count))
        factors = Dictionary(
            uniqueKeysWithValues: rounds.dropLast().map {
                (
                    $0.upperBound,
                    DrawInterval.factor($0.upperBound, of: drawCount, errorRate: errorRate)
                )
            })
        (self.rounds, self.errorRate) = (rounds, errorRate)
    }

    /// As many draws again as were taken so far, up to L.
    static func rounds(drawCount: Int) -> [Range<Int>] {
        var rounds: [Range<Int>] = []
        var taken = 0
        while taken < drawCount {
            let next = min(drawCount, max(SequentialStopping.firstCount, 2 * taken))
            rounds.append(taken..<next)
            taken = next
        }
        return rounds
    }

    /// The first draws of an item: all where nothing could be certain.
    func first(for item: Item) -> Range<Int> {
        stopping.threshold(item) == nil ? 0..<drawCount : rounds[0]
    }

    /// The draws after so many; nil after all.
    func next(after taken: Int) -> Range<Int>? { rounds.first { $0.lowerBound == taken } }

    private var drawCount: Int { rounds.last?.upperBound ?? 0 }

    /// Whether all draws would hardly give another verdict.
    ///
    /// - Parameters:
    ///   - item: the file
    ///   - taken: its draws so far, those of a round and all before, but not all
    ///   - scores: its scores by the draws so far, of each view
    ///   - windows: of a figure, what it is for each window, and for each window of each draw
    ///   - views: how windows are aggregated, of each view
    /// - Returns: false too where a figure is not a number
    func isCertain(
        _ item: Item, after taken: Int, scores: [[ScoreKind: Double]],
        windows: (Figure) -> (values: [Double], draws: [[Double]]), views: [Aggregate]
    ) -> Bool {
        guard let threshold = stopping.threshold(item) else { return false }
        var (lowest, highest) = (scores, scores)
        for figure in figures {
            let (values, draws) = windows(figure)
            let aggregate = views[figure.view]
            let interval = DrawInterval(
                of: values, draws: draws, by: aggregate,
                factor: factor(
                    after: taken,
                    meanCount: DrawInterval.meanCount(of: aggregate, windowCount: values.count)))
            lowest[figure.view][figure.kind] = interval.low
            highest[figure.view][figure.kind] = interval.high
        }
        guard let low = score(lowest), let high = score(highest) else { return false }
        return low > threshold || high <= threshold
    }

    /// Half the interval of one mean among several, in standard deviations of its draws.
    private func factor(after taken: Int, meanCount: Int) -> Double {
        if meanCount == 1, let factor = factors[taken] { return factor }
        return DrawInterval.factor(
            taken, of: drawCount, errorRate: errorRate / Double(meanCount))
    }

    private func score(_ scores: [[ScoreKind: Double]]) -> Double? {
        stopping.kind == .ensemble ? ensemble?.value(of: scores) : scores[0][stopping.kind]
    }
}

extension ScoreKind {
    /// How a score of a window depends on the draws of z.
    enum DrawDependence: Equatable {
        /// Not at all.
        case none
        /// As the mean over the draws of this kind's figure, to which it adds what does not depend on
        /// them.
        case mean(of: ScoreKind)
        /// Otherwise; or as its members do.
        case other
    }

    /// How a score of a window depends on the draws of z.
    var drawDependence: DrawDependence {
        switch self {
        case .reconstructionProbability, .elbo, .kl, .mse: .mean(of: self)
        case .probabilityLessComplexity, .probabilityLessBias:
            .mean(of: .reconstructionProbability)
        case .elboLessComplexity, .elboLessBias: .mean(of: .elbo)
        case .latent, .neighbours, .mixture, .masked: .none
        case .iwBound, .iwBoundLessComplexity, .iwBoundLessBias, .residual, .likelihoodRatio,
            .regret, .ensemble:
            .other
        }
    }
}
