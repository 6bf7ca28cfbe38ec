import Foundation
import Torch

/// What a model's flow is of, and how it came about; in the record of its file.
public struct FlowConfiguration: Codable, Sendable, Equatable {
    /// D, latent dimensions; of several stochastic layers those of the topmost.
    public var dimensionCount: Int
    /// Layers, each of which reads the dimensions in the other direction than the one before.
    public var layerCount = 5
    /// Hidden units of each layer.
    public var width = 128
    /// Steps of training that were asked for.
    public var stepCount: Int
    /// Steps that were taken: after so many, windows that a trial left out were likeliest.
    public var keptStepCount: Int
    /// Windows that it was fitted to, of each class or combination of labels.
    public var windowCounts: [Int]
    /// E_q[log p(z)] of held-out windows, in nats for a window, a mean; nil where there are none.
    public var heldOutNats: Double?
    /// The same of the mixtures of ``LatentSampling/density``, at the same draws of z.
    public var mixtureHeldOutNats: Double?

    /// What `latent inspect` and training say of it.
    public var sentence: String {
        func figure(_ nats: Double?) -> String { nats.map { String(format: "%.2f", $0) } ?? "-" }
        return "\(layerCount) layers of \(width) units, \(keptStepCount) of \(stepCount) steps"
            + (heldOutNats == nil
                ? ""
                : "; held out \(figure(heldOutNats)) nats a window, the mixtures "
                    + "\(figure(mixtureHeldOutNats))")
    }

    /// Latent dimensions that a flow is of, at most: drawing takes as many passes for each layer.
    static let dimensionLimit = 256

    init(dimensionCount: Int, stepCount: Int, windowCounts: [Int]) {
        self.dimensionCount = dimensionCount
        self.stepCount = stepCount
        keptStepCount = stepCount
        self.windowCounts = windowCounts
    }

    /// Numbers of the flow in a model file, with labels of that length.
    func weightCount(labelCount: Int) -> Int {
        2 * dimensionCount + layerCount
            * AutoregressiveLayer.weightCount(
                dimensionCount: dimensionCount, width: width, labelCount: labelCount)
    }

    /// Checks what a file may have got wrong.
    func validate(_ record: ModelRecord) throws(LatentError) {
        let groupCount = LatentDensity.groups(of: record)?.combinations.count ?? 1
        guard dimensionCount == record.configuration.latentCount,
            (1...Self.dimensionLimit).contains(dimensionCount), (1...16).contains(layerCount),
            (1...512).contains(width), stepCount >= 1, (0...stepCount).contains(keptStepCount),
            windowCounts.count == groupCount, windowCounts.allSatisfy({ $0 >= 0 }),
            windowCounts.contains(where: { $0 > 0 })
        else {
            throw LatentError(
                .model,
                "the record's flow of \(layerCount) layers of \(width) units over "
                    + "\(dimensionCount) dimensions and \(windowCounts.count) classes does not fit "
                    + "the model", hint: "train the model again")
        }
    }
}

/// A density of the latents of the training files: a chain of invertible maps that makes them
/// independent and normal, given the class or the labels.
///
/// log p(z|y) = log N(u; 0, I) + Σ log |det|, with u what all layers make of z, which is standardised
/// first. A draw goes the other way, from normal u, one dimension after the other.
///
/// Source: Papamakarios, Pavlakou & Murray, "Masked autoregressive flow for density estimation", NeurIPS
/// 2017: five layers, the order reversed between them, conditional as in its section 3.4. Differs:
/// without the batch normalisation between layers, and as in ``AutoregressiveLayer``.
final class LatentFlow {
    /// What it is of.
    var configuration: FlowConfiguration
    /// The labels that it is told; nil where all files are of one kind.
    let groups: Conditioning?
    let parameters: Parameters
    private let layers: [AutoregressiveLayer]
    /// Mean and deviation of each latent dimension, D each.
    fileprivate let location, scale: [Float]

    private static let name = "flow"

    /// Makes a flow that standardises and nothing else; on the processor, where all its operations can
    /// be repeated to the last bit.
    ///
    /// - Parameters:
    ///   - configuration: the layers
    ///   - groups: as of ``LatentDensity/groups(of:)``
    ///   - location: mean of each dimension, D
    ///   - scale: deviation of each dimension above 0, D
    ///   - seed: equal seeds give equal weights
    /// - Throws: `TorchError` when there is no memory
    init(
        _ configuration: FlowConfiguration, groups: Conditioning?, location: [Float],
        scale: [Float], seed: UInt64
    ) throws(TorchError) {
        self.configuration = configuration
        self.groups = groups
        self.location = location
        self.scale = scale
        parameters = Parameters(
            device: .cpu, generator: Generator(seed: seed, Stream.latentFlow.rawValue))
        var layers: [AutoregressiveLayer] = []
        for index in 0..<configuration.layerCount {
            layers.append(
                try AutoregressiveLayer(
                    parameters.root[Self.name]["\(index)"],
                    dimensionCount: configuration.dimensionCount, width: configuration.width,
                    labelCount: groups?.count ?? 0, isReversed: index % 2 == 1))
        }
        self.layers = layers
    }

    /// One-hot labels of codes, [N, Y]; nil without labels.
    func labels(_ codes: [[Int]]) throws(TorchError) -> Tensor? {
        guard let groups else { return nil }
        return try Tensor(groups.oneHot(codes), shape: [codes.count, groups.count])
    }

    /// z → u, [N, D], and log |∂u/∂z| of each row, [N].
    func normalised(
        _ z: Tensor, labels: Tensor?
    ) throws(TorchError) -> (u: Tensor, logDeterminant: Tensor) {
        let shape = [1, configuration.dimensionCount]
        var u = try (z - Tensor(location, shape: shape)) / Tensor(scale, shape: shape)
        var logDeterminant = try Tensor.full(
            -scale.reduce(0) { $0 + log(Double($1)) }, shape: [z.shape[0]])
        for layer in layers {
            let (next, part) = try layer(u, labels: labels)
            (u, logDeterminant) = (next, try logDeterminant + part)
        }
        return (u, logDeterminant)
    }

    /// log p(z|labels) of each row in nats, [N].
    func logDensity(of z: Tensor, labels: Tensor?) throws(TorchError) -> Tensor {
        let (u, logDeterminant) = try normalised(z, labels: labels)
        let constant = Double(configuration.dimensionCount) * log(2 * Double.pi)
        return try (u.squared().sum(axes: [1]) + constant) * -0.5 + logDeterminant
    }

    /// u → z, [N, D].
    ///
    /// - Complexity: D passes of each layer
    func latents(of u: Tensor, labels: Tensor?) throws(TorchError) -> Tensor {
        let shape = [1, configuration.dimensionCount]
        var z = u
        for layer in layers.reversed() { z = try layer.inverse(z, labels: labels) }
        return try z * Tensor(scale, shape: shape) + Tensor(location, shape: shape)
    }

    /// One draw for each of a list of labels, [N, D] on the processor.
    ///
    /// - Parameters:
    ///   - codes: N, of the labels
    ///   - noise: standard normal numbers times the spread, [N, noiseCount]; the first D of a row are
    ///     used
    ///   - noiseCount: D or more
    /// - Returns: z of the top layer
    /// - Throws: `TorchError` when the shapes do not fit
    func draws(codes: [[Int]], noise: [Float], noiseCount: Int) throws(TorchError) -> Tensor {
        let u = try Tensor(noise, shape: [codes.count, noiseCount])
            .narrowed(axis: 1, start: 0, length: configuration.dimensionCount)
        return try latents(of: u, labels: labels(codes))
    }
}

// MARK: - The model file

extension LatentFlow {
    private static let locationPath = name + ".location"
    private static let scalePath = name + ".scale"

    /// Whether a path of a model file is of a flow, not of the network that scores.
    static func owns(_ path: String) -> Bool { path.hasPrefix(name + ".") }

    /// All weights under their paths in a model file.
    func tensors() throws(TorchError) -> [String: HostTensor] {
        var tensors = try parameters.values()
        tensors[Self.locationPath] = HostTensor(shape: [location.count], values: location)
        tensors[Self.scalePath] = HostTensor(shape: [scale.count], values: scale)
        return tensors
    }

    /// Takes the weights of a model file; nil where it has none.
    ///
    /// - Throws: ``LatentError`` with code `.model` when they do not fit together
    convenience init?(_ file: ModelFile) throws {
        func broken(_ what: String) -> LatentError {
            LatentError(.model, "the latent flow \(what)", hint: "train the model again")
        }
        let weights = file.weights.filter { Self.owns($0.key) }
        guard let configuration = file.record.flow else {
            guard weights.isEmpty else { throw broken("has weights, but no record") }
            return nil
        }
        let groups = LatentDensity.groups(of: file.record)
        let expected = configuration.weightCount(labelCount: groups?.count ?? 0)
        let found = weights.values.reduce(0) { $0 + $1.values.count }
        guard found == expected else {
            throw broken("has \(found) numbers, expected \(expected)")
        }
        guard weights.values.allSatisfy({ $0.values.allSatisfy(\.isFinite) }) else {
            throw broken("has numbers that are not finite")
        }
        let count = configuration.dimensionCount
        guard let location = weights[Self.locationPath], location.shape == [count],
            let scale = weights[Self.scalePath], scale.shape == [count],
            scale.values.allSatisfy({ $0 > 0 })
        else { throw broken("has no location and scale of \(count) dimensions") }
        try self.init(
            configuration, groups: groups, location: location.values, scale: scale.values, seed: 0)
        do {
            try parameters.load(weights)
        } catch {
            throw broken("does not fit its record: \(error.message)")
        }
    }
}
