import Torch

/// A network, what it reads, and what is fitted to it: all that a score of a window needs.
struct DetectorView {
    let model: VAE
    let preprocessing: Preprocessing
    let aggregate: Aggregate
    var fitted = FittedScores()
}
