import Torch

/// The fitted scores of a model, by kind.
struct FittedScores {
    private let scores: [ScoreKind: any FittedScore]

    /// None.
    init() { scores = [:] }

    private static var types: [ScoreKind: any FittedScore.Type] {
        [
            .neighbours: NeighbourDistance.self, .residual: ResidualDistance.self,
            .latent: LatentDistance.self, .mixture: MixtureError.self,
            .masked: MaskedError.self,
        ]
    }

    /// Those that there can be.
    static var kinds: Set<ScoreKind> { Set(types.keys) }

    /// Those that are fitted though nobody asks for them: `masked` takes as long as the model does,
    /// and is better than the others for some recordings alone.
    static let usualKinds = kinds.subtracting([.masked])

    /// Those that depend on the network: each member has its own, all else is of the windows.
    static let networkKinds: Set<ScoreKind> = [.residual, .latent]

    /// Those that there are.
    var kinds: Set<ScoreKind> { Set(scores.keys) }

    /// Whether there is one of that kind.
    func has(_ kind: ScoreKind) -> Bool { scores.keys.contains(kind) }

    /// Windows that they are fitted to, at most.
    private static func windowLimit(elementCount: Int) -> Int {
        max(1, min(8192, NeighbourDistance.valueLimit / elementCount))
    }

    /// Held-out windows by which a score is kept or not, at most.
    private static let heldOutLimit = 512

    /// Fits those of some kinds to a sample of the training windows, and keeps those that are of use
    /// for a sample of the held-out ones.
    init(
        _ kinds: Set<ScoreKind>, fittedTo model: VAE, training: WindowSource,
        heldOut: WindowSource, drawCount: Int, seed: UInt64
    ) throws {
        let shape = model.configuration.window
        func sample(_ source: WindowSource, limit: Int) throws -> ScoredWindows? {
            var parts: [ScoredWindows] = []
            try source.forEachBatch(ofSample: limit) { batch in
                var noise = Generator(seed: seed, Stream.fittedScores.rawValue, UInt64(parts.count))
                let x = try model.batch(batch.flatMap(\.values))
                let statistics = try model.statistics(
                    of: x, condition: model.condition(batch.map { source.codes($0.item) }),
                    drawCount: drawCount
                ) { _, draws in noise.normals(draws.count * model.noiseCount) }
                parts.append(try ScoredWindows(x, statistics, shape: shape))
            }
            return parts.isEmpty ? nil : try withoutGradients { try ScoredWindows(joining: parts) }
        }
        let limit = Self.windowLimit(elementCount: shape.elementCount)
        guard var windows = try sample(training, limit: limit) else {
            scores = [:]
            return
        }
        windows.seed = seed
        let unseen = try sample(heldOut, limit: Self.heldOutLimit)
        // Patches are of many kinds anyway, and too many to be looked at by many networks.
        let types = Self.types.filter {
            kinds.contains($0.key)
                && ($0.key != .mixture || training.preprocessing.windowing.mode != .grid)
        }
        var scores: [ScoreKind: any FittedScore] = [:]
        for (kind, type) in types {
            guard let score = try type.init(fittedTo: windows),
                try unseen.map({ try score.isUseful(for: $0) }) ?? true
            else { continue }
            scores[kind] = score
        }
        self.scores = scores
    }

    private static func prefix(_ kind: ScoreKind) -> String { "score.\(kind.rawValue)." }

    /// Takes those that a model file has.
    init(
        weights: [String: HostTensor], of configuration: VAEConfiguration, on device: Device
    ) throws {
        var scores: [ScoreKind: any FittedScore] = [:]
        for (kind, type) in Self.types {
            let prefix = Self.prefix(kind)
            let tensors = weights.filter { $0.key.hasPrefix(prefix) }
            guard !tensors.isEmpty else { continue }
            let named = Dictionary(
                uniqueKeysWithValues: tensors.map {
                    (String($0.key.dropFirst(prefix.count)), $0.value)
                })
            guard
                let score = try type.init(
                    tensors: named, shape: configuration.window,
                    latentCount: configuration.latentCount, on: device)
            else {
                throw LatentError(
                    .model, "the numbers of the score \(kind.rawValue) do not fit together",
                    hint: "train the model again")
            }
            scores[kind] = score
        }
        self.scores = scores
    }

    /// 1 / σ² of each element of the residual, [E]; nil where it was not fitted.
    var residualPrecision: Tensor? { (scores[.residual] as? ResidualDistance)?.precision }

    /// The training windows that are kept to compare with, [N, E]; nil where there are none.
    var keptWindows: Tensor? { (scores[.neighbours] as? NeighbourDistance)?.kept }

    /// All numbers under their paths in a model file.
    func tensors() throws -> [String: HostTensor] {
        var tensors: [String: HostTensor] = [:]
        for (kind, score) in scores {
            for (name, tensor) in try score.tensors() {
                tensors[Self.prefix(kind) + name] = tensor
            }
        }
        return tensors
    }

    /// Those of the fitted scores that a model file lacks the numbers of.
    static func missing(in weights: [String: HostTensor]) -> Set<ScoreKind> {
        Set(types.keys.filter { kind in !weights.keys.contains { $0.hasPrefix(prefix(kind)) } })
    }

    /// Whether a path of a model file is of a score, not of the network.
    static func owns(_ path: String) -> Bool { path.hasPrefix("score.") }

    /// The scores of a batch of windows, by kind, [B] each; all, or those that depend on the draws.
    func values(
        of windows: ScoredWindows, onlyDrawn: Bool = false
    ) throws -> [ScoreKind: [Double]] {
        let wanted = onlyDrawn ? scores.filter { $0.key.drawDependence != .none } : scores
        return try withoutGradients { try wanted.mapValues { try $0.values(of: windows) } }
    }
}

extension ScoredWindows {
    /// Windows [B, C, H, W] and what the model made of them.
    init(_ x: Tensor, _ statistics: VAE.Statistics, shape: WindowShape) throws {
        self.init(
            x: try x.reshaped([x.shape[0], -1]), posteriorMean: statistics.posteriorMean,
            reconstructed: statistics.reconstructed, shape: shape)
    }

    /// Batches of windows as one, in their order; at least one.
    init(joining parts: [ScoredWindows]) throws {
        self.init(
            x: try Tensor.concatenated(parts.map(\.x)),
            posteriorMean: try Tensor.concatenated(parts.map(\.posteriorMean)),
            reconstructed: try Tensor.concatenated(parts.map(\.reconstructed)),
            shape: parts[0].shape)
    }
}
