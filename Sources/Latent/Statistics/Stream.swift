import Torch

/// What random numbers are for; keeps the streams of one seed apart.
///
/// The numbers are part of what a seed means: a new one gets the next, and none is used again.
enum Stream: UInt64 {
    case weights = 1
    case split = 2
    case order = 3
    case trainingNoise = 4
    case heldOutNoise = 5
    case scoring = 6
    case augmentation = 7
    case parents = 8
    case phases = 9
    case evaluation = 10
    case inputAugmentation = 11
    case priorNoise = 12
    case pseudoInputs = 13
    case fixedLatents = 14
    case fittedScores = 15
    case resampling = 16
    case latentDensity = 17
    case members = 18
    case classifier = 19
    case augmentationFigures = 20
    case transforms = 21
    case neighbours = 22
    case deformation = 23
    case augmentationTrial = 24
    case latentFlow = 25

    /// The seed of one of several networks, its weights and all that is drawn to fit it; that of the first is
    /// the run's own.
    static func seed(ofMember index: Int, of seed: UInt64) -> UInt64 {
        guard index > 0 else { return seed }
        var generator = Generator(seed: seed, Self.members.rawValue, UInt64(index))
        return generator.next()
    }
}
