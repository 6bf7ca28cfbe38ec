import Torch

/// What training minimises, and what it needs of the model beside encoder and decoder.
///
/// One more objective is one more file in `Objectives/`, its case in ``ObjectiveKind`` and a test. An
/// objective with latents of its own (discrete codes, say) brings them by ``latents(_:)``, and
/// registers its own parameters there.
protocol Objective: Sendable {
    /// What is minimised, in a few words.
    static var summary: String { get }

    /// The numbers of the configuration that it reads.
    static var numbers: Set<ObjectiveConfiguration.Number> { get }

    /// ``ObjectiveConfiguration/weight`` where none is given.
    static var defaultWeight: Double { get }

    /// Takes its numbers.
    init(_ configuration: ObjectiveConfiguration)

    /// Draws of z for each window of a step.
    var drawCount: Int { get }

    /// Whether the loss of a window depends on the others of its batch, so that a batch cannot be
    /// divided among processes.
    var couplesWindows: Bool { get }

    /// Whether it is defined for several stochastic layers.
    var allowsHierarchy: Bool { get }

    /// Whether p(z) and q(z|x) are such that the evidence lower bound bounds log p(x).
    var boundsLikelihood: Bool { get }

    /// Makes encoder, decoder, prior and posterior.
    func latents(_ site: BuildingSite) throws -> any LatentStructure

    /// The loss of a step, a scalar: nats for each window.
    func loss(of pass: TrainingPass) throws -> Tensor
}

extension Objective {
    static var numbers: Set<ObjectiveConfiguration.Number> { [] }
    static var defaultWeight: Double { 1 }
    var drawCount: Int { 1 }
    var couplesWindows: Bool { false }
    var allowsHierarchy: Bool { false }
    var boundsLikelihood: Bool { true }

    func latents(_ site: BuildingSite) throws -> any LatentStructure {
        site.configuration.layerCount > 1
            ? try LadderLatents(site) : try FlatLatents(site)
    }
}

/// Where a model's parts are made.
struct BuildingSite {
    let configuration: VAEConfiguration
    /// The root of the paths; encoder, decoder and prior are registered below those names.
    let root: Parameters.Scope
}

/// The objectives.
public enum ObjectiveKind: String, Codable, Sendable, CaseIterable {
    /// A plain autoencoder: no noise, no prior.
    case ae
    /// The evidence lower bound.
    case vae
    /// The bound with the KL term times β, or held at a capacity.
    case beta
    /// The bound with the total correlation times β.
    case betaTC = "beta-tc"
    /// The bound with the distance of the covariance of z to the unit matrix.
    case dip
    /// The importance-weighted bound of k draws.
    case iwae
    /// Reconstruction and the maximum mean discrepancy of the aggregate posterior to the prior.
    case mmd
    /// The bound with a mixture of posteriors as the prior.
    case vamp

    private var type: any Objective.Type {
        switch self {
        case .ae: AutoencoderObjective.self
        case .vae: EvidenceLowerBound.self
        case .beta: BetaObjective.self
        case .betaTC: TotalCorrelationObjective.self
        case .dip: DisentangledInferredPriorObjective.self
        case .iwae: ImportanceWeightedBound.self
        case .mmd: MaximumMeanDiscrepancyObjective.self
        case .vamp: VampPriorObjective.self
        }
    }

    func objective(_ configuration: ObjectiveConfiguration) -> any Objective {
        type.init(configuration)
    }

    /// What is minimised, in a few words.
    public var summary: String { type.summary }

    /// The numbers of a configuration that matter to it.
    public var numbers: Set<ObjectiveConfiguration.Number> { type.numbers }

    /// ``ObjectiveConfiguration/weight`` where none is given.
    public var defaultWeight: Double { type.defaultWeight }
}

/// An objective and its numbers; saved in the model.
public struct ObjectiveConfiguration: Codable, Sendable, Equatable {
    /// One of the numbers.
    public enum Number: Sendable {
        case weight, capacity, drawCount, componentCount
    }

    /// Which one.
    public var kind: ObjectiveKind
    /// The factor of what the objective adds to the reconstruction: β, λ.
    public var weight: Double
    /// What the KL term rises to and is held at, in nats; nil for a plain factor.
    public var capacity: Double?
    /// k, draws of z for each window.
    public var drawCount = 8
    /// Components of the prior.
    public var componentCount = 200

    /// Makes an objective with its default numbers.
    public init(_ kind: ObjectiveKind) {
        self.kind = kind
        weight = kind.defaultWeight
    }

    func validate() throws(LatentError) {
        guard weight >= 0, weight <= 1e6 else {
            throw LatentError(.usage, "--beta is \(weight); expected 0 to 1000000")
        }
        if let capacity {
            guard capacity >= 0, capacity <= 1e6 else {
                throw LatentError(.usage, "--capacity is \(capacity) nats; expected 0 to 1000000")
            }
        }
        guard (1...1000).contains(drawCount) else {
            throw LatentError(.usage, "\(drawCount) importance draws; expected 1 to 1000")
        }
        guard (1...10_000).contains(componentCount) else {
            throw LatentError(.usage, "\(componentCount) components; expected 1 to 10000")
        }
    }
}

/// What an objective makes its loss of: the draws of one step.
struct TrainingPass {
    /// The stochastic layers from the top; rows are windows, the draws of one together.
    let layers: [LatentLayer]
    /// KL(q ‖ p) of each layer in nats, [B·L].
    let divergences: [Tensor]
    /// log p(x|z) of each draw in nats, [B·L].
    let reconstruction: Tensor
    /// L.
    let drawCount: Int
    /// Share of the KL term that is in force, 0…1.
    let klWeight: Double
    /// Nats of each layer that cost nothing.
    let freeNats: Double
    /// Share of the run that is done, 0…1.
    let progress: Double
    /// Windows of the training part, N.
    let windowCount: Int
    /// A weight for each window of the batch, of mean 1 over the data; nil for 1.
    let weights: Tensor?
    /// Means over the batch, which may be divided among processes.
    let reducer: BatchReducer
    /// Standard normal numbers of this step, for objectives that compare with the prior.
    let normals: (_ shape: [Int]) throws -> Tensor

    /// The mean over the batch of a figure of each window, [B] → scalar.
    func mean(_ perWindow: Tensor) throws -> Tensor {
        let weighted = try weights.map { try perWindow * $0 } ?? perWindow
        return try weighted.sum() * (1 / reducer.batchSize)
    }

    /// The share of the batch that this process holds, 0…1.
    var batchShare: Double {
        Double(reconstruction.shape[0] / drawCount) / reducer.batchSize
    }

    /// The mean over the draws of each window, [B·L] → [B].
    func meanOverDraws(_ perDraw: Tensor) throws -> Tensor {
        drawCount == 1 ? perDraw : try perDraw.reshaped([-1, drawCount]).mean(axes: [1])
    }

    /// -E[log p(x|z)], a scalar.
    func distortion() throws -> Tensor { try -(mean(meanOverDraws(reconstruction))) }

    /// KL(q ‖ p) summed over the layers, a scalar; a layer below its free nats has no gradient.
    ///
    /// Source: Kingma et al., "Improved variational inference with inverse autoregressive flow",
    /// NeurIPS 2016, appendix C.8 (free bits).
    func rate() throws -> Tensor {
        var total: Tensor?
        for layer in divergences {
            let divergence = try mean(meanOverDraws(layer))
            let isFree = try freeNats > 0 && reducer.sum(divergence.item()) < freeNats
            let term = isFree ? try divergence.detached() : divergence
            total = try total.map { try $0 + term } ?? term
        }
        return try total ?? Tensor.zeros(shape: [], device: reconstruction.device)
    }
}

/// Sums over a batch, of which this process may hold a part.
struct BatchReducer {
    /// Windows of the whole batch.
    let batchSize: Double
    /// A number summed over all processes.
    let sum: (Double) throws -> Double
}
