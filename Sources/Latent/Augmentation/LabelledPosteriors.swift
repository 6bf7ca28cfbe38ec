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
    ///   - precision: numbers that products are made of; what rounding moves a mean by is far below its
    ///     deviation
    ///   - labels: as of ``LatentDensity/groups(of:)``
    /// - Throws: ``LatentError`` when files cannot be read any more
    init?(
        of source: WindowSource, by model: VAE,
        precision: TrainingConfiguration.Precision = .float32, labels: Conditioning?
    ) throws {
        let lanes = try ModelLanes(of: model)
        var groups: [Int] = []
        var means: [Float] = []
        var logVariances: [Float] = []
        var isPoint = false
        let limit = Self.elementLimit / model.configuration.latentCount
        let pass = source.batches(
            shuffledBy: nil, batchSize: Self.batchSize, of: source.spread(limit: limit))
        while let batches = try pass.next(lanes.size) {
            let rows = batches.map { Rows($0, of: source, labels: labels) }
            let parts = try lanes.threads().map(rows.filter { !$0.groups.isEmpty }) { model, rows in
                try rows.posterior(by: model, precision: precision)
            }
            groups += rows.flatMap(\.groups)
            for part in parts {
                means += part.means
                logVariances += part.logVariances
                isPoint = part.isPoint
            }
        }
        guard !groups.isEmpty else { return nil }
        let shape = [groups.count, means.count / groups.count]
        try self.init(
            Posterior(
                mean: Tensor(means, shape: shape), logVariance: Tensor(logVariances, shape: shape),
                isPoint: isPoint), groups: groups)
    }

    /// Windows that are encoded at a time, by one thread.
    private static let batchSize = 64

    /// Windows of a batch that have labels.
    private struct Rows: Sendable {
        var values: [Float] = []
        var codes: [[Int]] = []
        var groups: [Int] = []

        init(_ batch: WindowBatch, of source: WindowSource, labels: Conditioning?) {
            let length = batch.values.count / max(1, batch.count)
            for (place, item) in batch.items.enumerated() {
                guard let group = LatentDensity.group(of: item, in: source, groups: labels) else {
                    continue
                }
                values += batch.values[place * length..<(place + 1) * length]
                codes.append(source.codes(item))
                groups.append(group)
            }
        }

        /// q(z|x) of the windows, on the host.
        func posterior(
            by model: VAE, precision: TrainingConfiguration.Precision
        ) throws -> (means: [Float], logVariances: [Float], isPoint: Bool) {
            try withoutGradients {
                let posterior = try withBFloat16(precision == .bfloat16) {
                    try model.topPosterior(
                        of: model.batch(values), condition: model.condition(codes))
                }
                return (
                    try posterior.mean.widened().floats(),
                    try posterior.logVariance.widened().floats(), posterior.isPoint
                )
            }
        }
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
