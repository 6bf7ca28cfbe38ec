import Torch

/// Networks, what they read, and what is fitted to them: all that a score of a window needs.
struct DetectorView {
    /// A network, and the scores that are fitted to what it makes of windows.
    struct Member {
        let model: VAE
        let fitted: FittedScores
    }

    /// The first network, whose weights are those of a model that draws or is looked at.
    let model: VAE
    let preprocessing: Preprocessing
    let aggregate: Aggregate
    /// What is fitted to the first network, and to windows alone.
    var fitted = FittedScores()
    /// Networks of other seeds, each with the scores that depend on a network.
    var furtherMembers: [Member] = []

    /// All networks, the first of which is ``model``; a score of a window is the mean over those that
    /// give it.
    var members: [Member] { [Member(model: model, fitted: fitted)] + furtherMembers }

    /// The most members that a model has.
    static let memberLimit = 100

    /// The mean of each kind of score over the members that give it, window by window.
    static func mean(_ scores: [[ScoreKind: [Double]]]) -> [ScoreKind: [Double]] {
        guard scores.count > 1 else { return scores.first ?? [:] }
        var means: [ScoreKind: [Double]] = [:]
        for kind in Set(scores.flatMap(\.keys)) {
            let given = scores.compactMap { $0[kind] }
            means[kind] = given.dropFirst().reduce(given[0]) { zip($0, $1).map(+) }
                .map { $0 / Double(given.count) }
        }
        return means
    }
}
