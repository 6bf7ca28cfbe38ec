import Torch

/// A plain autoencoder: z is the encoder's mean, and only the reconstruction counts.
///
/// It has neither prior nor likelihood of x: what it scores is log p(x|z) at one z, and new items
/// need a density fitted to its codes.
struct AutoencoderObjective: Objective {
    static let summary = "a plain autoencoder"

    var boundsLikelihood: Bool { false }

    func latents(_ site: BuildingSite) throws -> any LatentStructure {
        try FlatLatents(site, isDeterministic: true, hasLabelPrior: false)
    }

    func loss(of pass: TrainingPass) throws -> Tensor { try pass.distortion() }
}

extension AutoencoderObjective {
    init(_ configuration: ObjectiveConfiguration) { self.init() }
}
