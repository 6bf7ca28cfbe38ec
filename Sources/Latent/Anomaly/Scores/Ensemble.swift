import Foundation

/// Several scores of a file as one: the weighted mean of their logarithms, each in deviations from its
/// mean over held-out normal files.
///
/// Scores are squared distances of one kind or another, so that their logarithms are near normal, and
/// a file that one score knows to be far away cannot be hidden by another as in a product of p-values.
/// Of recordings whose level is kept, which are steady sounds such as those of machines, the residual in units
/// of what it is in training is a member too, as in the baseline of the DCASE challenges (``ResidualDistance``):
/// what is wrong with a machine may be small in a band that hardly ever changes (drone motors: AUROC 0.992
/// instead of 0.990). Elsewhere it is not: of digits, clothes and words it ranks worse than the squared error.
/// In a model of one view, of whole files, the distance to neighbours weighs twice: among training files
/// clothes (AUROC 0.9762 to 0.9769) and digits (0.9929 to 0.9931) are told apart better so, spoken digits
/// hardly worse (0.9863 to 0.9857). Patches have neighbours anywhere, and weigh the same.
public struct Ensemble: Codable, Sendable, Equatable {
    /// A score and what it is on held-out normal files.
    public struct Member: Codable, Sendable, Equatable {
        /// Which one.
        public var kind: ScoreKind
        /// Of which view of the model, from 0.
        public var view: Int
        /// Mean of its logarithm.
        public var meanLog: Double
        /// Standard deviation of its logarithm.
        public var deviation: Double
        /// Above 0; nil, as in models of earlier versions, is 1.
        public var weight: Double?
    }

    /// The scores, at least one.
    public let members: [Member]

    /// Fewer held-out files say too little of a deviation.
    static let smallestCount = 8
    /// Of the distance to neighbours, in a model of one view, of whole files.
    static let neighbourWeight = 2.0
    private static let smallestScore = 1e-30

    /// Fits to the scores of held-out normal files; nil where there are too few.
    ///
    /// - Parameters:
    ///   - scores: of each file those of each view
    ///   - ofWholeFiles: whether there is one view, and its windows are whole files
    ///   - keepingLevel: whether they are recordings whose level is kept
    init?(
        fittedTo scores: [[[ScoreKind: Double]]], ofWholeFiles: Bool, keepingLevel: Bool = false
    ) {
        guard scores.count >= Self.smallestCount, let viewCount = scores.first?.count else {
            return nil
        }
        members = (0..<viewCount).flatMap { view in
            Self.kinds(of: scores[0][view], keepingLevel).compactMap { kind -> Member? in
                let logs = scores.compactMap { $0[view][kind].map(Self.logarithm) }
                guard logs.count == scores.count else { return nil }
                let (mean, deviation) = logs.meanAndDeviation
                return Member(
                    kind: kind, view: view, meanLog: mean, deviation: max(deviation, 1e-6),
                    weight: kind == .neighbours && ofWholeFiles ? Self.neighbourWeight : nil)
            }
        }
        if members.isEmpty { return nil }
    }

    /// A mixture is there only where it rebuilds better than the one network, and stands for it then.
    private static func kinds(
        of scores: [ScoreKind: Double], _ keepingLevel: Bool
    ) -> [ScoreKind] {
        [scores[.mixture] == nil ? .mse : .mixture] + (keepingLevel ? [.residual] : [])
            + [.neighbours]
    }

    private static func logarithm(_ score: Double) -> Double { log(max(score, smallestScore)) }

    /// The combined score of a file from those of each view; nil where one is missing.
    func value(of scores: [[ScoreKind: Double]]) -> Double? {
        var sum = 0.0
        var weights = 0.0
        for member in members {
            guard scores.indices.contains(member.view), let score = scores[member.view][member.kind]
            else { return nil }
            let weight = member.weight ?? 1
            sum += weight * (Self.logarithm(score) - member.meanLog) / member.deviation
            weights += weight
        }
        return sum / weights
    }
}
