import Torch

/// A network, what it reads, and what is fitted to it: all that a score of a window needs.
struct DetectorView {
    let model: VAE
    let preprocessing: Preprocessing
    let aggregate: Aggregate
    let fitted: FittedScores

    init(
        model: VAE, preprocessing: Preprocessing, aggregate: Aggregate,
        fitted: FittedScores = FittedScores()
    ) {
        self.model = model
        self.preprocessing = preprocessing
        self.aggregate = aggregate
        self.fitted = fitted
    }
}
