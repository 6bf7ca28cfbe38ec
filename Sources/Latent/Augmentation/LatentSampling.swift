/// The ways to draw latents for new items; one more is one more case and its branch in
/// ``Augmenter``.
public enum LatentSampling: String, Codable, Sendable, CaseIterable {
    /// z ~ p(z).
    case prior
    /// z from where the latents of the training files of a class lie: ``LatentDensity``.
    case density
    /// z from the same by a normalizing flow, where training fitted one: ``LatentFlow``.
    case flow
    /// z ~ q(z|u) of a pseudo-input u, drawn at random: ``VampPriorObjective``.
    ///
    /// Source: Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018.
    case vamp
    /// z ~ q(z|x) of a real item, its deviation times the spread.
    case posterior
    /// z on the way between the posterior means of two real items of one class.
    case interpolate
    /// z between the posterior mean of a real item and that of one of the nearest of its class.
    ///
    /// Source: Chawla et al., "SMOTE", JAIR 16, 2002, in the latent space instead of that of the data.
    case smote
    /// z beyond the posterior mean of a real item zᵢ, away from one of the nearest of its class zⱼ:
    /// zᵢ + λ · (zᵢ - zⱼ).
    ///
    /// Source: DeVries & Taylor, "Dataset augmentation in feature space", ICLR workshop 2017.
    case extrapolate
    /// No latents and no model: a real item as it is, for ``FileTransforms`` to change.
    case transform
    /// A real item, deformed as items of a class differ: ``DeformationDistribution``.
    case deform

    /// Real items that one draw needs.
    public var parentCount: Int {
        switch self {
        case .prior, .density, .flow, .vamp: 0
        case .posterior, .transform, .deform: 1
        case .interpolate, .smote, .extrapolate: 2
        }
    }

    /// Whether new items start from the posteriors of real ones, which can be moved to change an attribute.
    var movesPosteriors: Bool {
        [.posterior, .interpolate, .smote, .extrapolate].contains(self)
    }

    /// Whether the second parent is one of the nearest to the first, and how many those usually are: k of
    /// the papers.
    public var neighbourCount: Int? {
        switch self {
        case .smote: 5
        case .extrapolate: 10
        case .prior, .density, .flow, .vamp, .posterior, .interpolate, .transform, .deform: nil
        }
    }
}
