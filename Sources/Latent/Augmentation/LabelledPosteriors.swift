import Torch

/// Posteriors of windows with the labels of their items, on the processor.
struct LabelledPosteriors {
    /// q(z|x) of the top layer, [N, D].
    let posterior: Posterior
    /// Which combination of labels each window is of, N.
    let groups: [Int]
    private let means, deviations: [Float]

    /// Elements [N, D] that are kept, at most.
    private static let elementLimit = 1 << 20

    /// Takes posteriors as they are.
    init(_ posterior: Posterior, groups: [Int]) throws {
        self.posterior = posterior
        self.groups = groups
        means = try posterior.mean.floats()
        deviations = try posterior.variance().squareRoot().floats()
    }

    /// Encodes the windows of a source, evenly spread where they are too many; nil without windows.
    ///
    /// - Parameters:
    ///   - source: windows without the labels of `groups` are left out
    ///   - model: of several stochastic layers the topmost counts
    ///   - labels: as of ``LatentDensity/groups(of:)``
    /// - Throws: ``LatentError`` when files cannot be read any more
    init?(of source: WindowSource, by model: VAE, labels: Conditioning?) throws {
        var groups: [Int] = []
        var means: [Tensor] = []
        var logVariances: [Tensor] = []
        var isPoint = false
        try withoutGradients {
            let limit = Self.elementLimit / model.configuration.latentCount
            try source.forEachBatch(ofSample: limit) { batch in
                let found = batch.map {
                    LatentDensity.group(of: $0.item, in: source, groups: labels)
                }
                let known = found.indices.filter { found[$0] != nil }
                guard !known.isEmpty else { return }
                let part = try model.topPosterior(
                    of: model.batch(batch.flatMap(\.values)),
                    condition: model.condition(batch.map { source.codes($0.item) })
                ).rows(known)
                groups += found.compactMap(\.self)
                means.append(try part.mean.to(.cpu))
                logVariances.append(try part.logVariance.to(.cpu))
                isPoint = part.isPoint
            }
        }
        guard !groups.isEmpty else { return nil }
        try self.init(
            Posterior(
                mean: Tensor.concatenated(means), logVariance: Tensor.concatenated(logVariances),
                isPoint: isPoint), groups: groups)
    }

    /// Number of windows.
    var count: Int { groups.count }

    /// A draw of z ~ q(z|x) for each of some windows, [rows, D].
    func draws(_ rows: [Int], using generator: inout Generator) throws(TorchError) -> Tensor {
        let width = means.count / count
        let noise = generator.normals(rows.count * width)
        var values: [Float] = []
        values.reserveCapacity(noise.count)
        for (place, row) in rows.enumerated() {
            for column in 0..<width {
                let index = row * width + column
                values.append(means[index] + deviations[index] * noise[place * width + column])
            }
        }
        return try Tensor(values, shape: [rows.count, width])
    }

    /// Mean and deviation of draws in each dimension, D each.
    func standard() throws -> (location: [Float], scale: [Float]) {
        let mean = try posterior.mean.mean(axes: [0])
        let variance =
            try (posterior.mean - mean).squared().mean(axes: [0])
            + posterior.variance().mean(axes: [0])
        // A dimension that never varies still has a width.
        return (try mean.floats(), try (variance + 1e-8).squareRoot().floats())
    }
}
