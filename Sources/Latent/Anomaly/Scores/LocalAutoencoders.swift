import Foundation
import Torch

/// K small VAEs of one shape, computed together: each is fitted to its own cluster of vectors [Q].
///
/// Encoder and decoder have one hidden layer of 64 with SiLU; z has 10 dimensions. The loss is
/// Q/2 · log(mean squared error) + KL, a Gaussian of the variance that fits best (Rybkin et al.,
/// "Simple and effective VAE training with calibrated decoders", ICML 2021).
struct LocalAutoencoders {
    private let parameters: Parameters
    private let encoder: (hidden: BatchedLinear, posterior: BatchedLinear)
    private let decoder: (hidden: BatchedLinear, mean: BatchedLinear)
    /// The draws of ε by which all errors are taken, [L, D].
    private let noise: HostTensor

    private static let hiddenCount = 64
    private static let latentCount = 10
    private static let drawCount = 8
    static let stepCount = 250
    private static let batchSize = 32
    private static let logVarianceRange = -8.0...4.0

    /// Fits to vectors [N, Q]; equal vectors and seeds give equal networks.
    ///
    /// - Complexity: 250 steps of 32·K vectors
    init(fittedTo x: Tensor, stepCount: Int = Self.stepCount, seed: UInt64 = 0) throws {
        let clusters = try OverlappingClusters(of: x, seed: seed)
        let values = try x.floats()
        let width = x.shape[1]
        let count = clusters.members.count
        var generator = Generator(seed: seed, Stream.fittedScores.rawValue, UInt64(count))
        try self.init(
            count: count, width: width, device: try x.device, seed: seed,
            noise: HostTensor(
                shape: [Self.drawCount, Self.latentCount],
                values: generator.normals(Self.drawCount * Self.latentCount)))
        var schedule = TrainingConfiguration(
            windowCount: Self.batchSize, stepCount: stepCount, batchSize: Self.batchSize,
            epochCount: stepCount, patience: 0)
        schedule.learningRate = 3e-3
        let optimizer = try AdamW(parameters.tensors())
        for step in 0..<stepCount {
            var batch: [Float] = []
            batch.reserveCapacity(count * Self.batchSize * width)
            for members in clusters.members {
                for _ in 0..<Self.batchSize {
                    let row = members[Int.random(in: members.indices, using: &generator)]
                    batch += values[row * width..<(row + 1) * width]
                }
            }
            let windows = try Tensor(batch, shape: [count, Self.batchSize, width]).to(x.device)
            let draws = try Tensor(
                generator.normals(count * Self.batchSize * Self.latentCount),
                shape: [count, Self.batchSize, Self.latentCount]
            ).to(x.device)
            let progress = Double(step) / Double(stepCount)
            try loss(of: windows, draws: draws, klWeight: schedule.klWeight(at: progress))
                .backward()
            try optimizer.step(learningRate: schedule.learningRate(at: progress))
        }
    }

    private init(
        count: Int, width: Int, device: Device, seed: UInt64 = 0, noise: HostTensor
    ) throws {
        parameters = Parameters(
            device: device,
            generator: Generator(seed: seed, Stream.fittedScores.rawValue, UInt64(count), 1))
        let scope = parameters.root
        func layer(_ name: String, _ inputs: Int, _ outputs: Int) throws -> BatchedLinear {
            try BatchedLinear(scope[name], count: count, inputs: inputs, outputs: outputs)
        }
        let (hidden, latents) = (Self.hiddenCount, Self.latentCount)
        encoder = (
            try layer("encoder.0", width, hidden), try layer("encoder.1", hidden, 2 * latents)
        )
        decoder = (try layer("decoder.0", latents, hidden), try layer("decoder.1", hidden, width))
        self.noise = noise
    }

    /// Nil where the numbers do not fit vectors of that width.
    init?(tensors: [String: HostTensor], width: Int, on device: Device) throws {
        guard let noise = tensors["noise"], noise.shape.count == 2, noise.shape[0] > 0,
            noise.shape[1] == Self.latentCount, let first = tensors["encoder.0.weight"],
            first.shape.count == 3, first.shape[0] > 0,
            first.shape == [first.shape[0], width, Self.hiddenCount]
        else { return nil }
        try self.init(count: first.shape[0], width: width, device: device, noise: noise)
        do { try parameters.load(tensors) } catch { return nil }
    }

    func tensors() throws -> [String: HostTensor] {
        try parameters.values().merging(["noise": noise]) { $1 }
    }

    /// Mean and log-variance of q(z|x) in each network: [K or 1, B, Q] → two of [K, B, D].
    private func posterior(of x: Tensor) throws -> (mean: Tensor, logVariance: Tensor) {
        let both = try encoder.posterior(encoder.hidden(x).silu())
        return (
            try both.narrowed(axis: 2, start: 0, length: Self.latentCount),
            try both.narrowed(axis: 2, start: Self.latentCount, length: Self.latentCount)
                .clamped(to: Self.logVarianceRange)
        )
    }

    /// The sum over networks of what training minimises; x [K, B, Q], draws [K, B, D].
    private func loss(of x: Tensor, draws: Tensor, klWeight: Double) throws -> Tensor {
        let (mean, logVariance) = try posterior(of: x)
        let z = try mean + draws * (logVariance * 0.5).exp()
        let rebuilt = try decoder.mean(decoder.hidden(z).silu())
        let errors = try (rebuilt - x).squared().mean(axes: [1, 2])  // [K]
        let divergence =
            try (mean.squared() + logVariance.exp() - logVariance - 1)
            .sum(axes: [2]).mean(axes: [1]) * 0.5
        return try ((errors + 1e-12).log() * (0.5 * Double(x.shape[2])) + divergence * klWeight)
            .sum()
    }

    /// Vectors [B, Q] → of each the smallest mean squared error over the networks, [B].
    ///
    /// - Complexity: K·B·L products of a decoder
    func smallestErrors(of x: Tensor) throws -> [Double] {
        try withoutGradients {
            let batch = try x.reshaped([1, x.shape[0], x.shape[1]])
            let (mean, logVariance) = try posterior(of: batch)
            let deviation = try (logVariance * 0.5).exp()
            var sum: Tensor?
            for draw in 0..<noise.shape[0] {
                let start = draw * Self.latentCount
                let epsilon = try Tensor(
                    Array(noise.values[start..<start + Self.latentCount]),
                    shape: [1, 1, Self.latentCount]
                ).to(x.device)
                let rebuilt = try decoder.mean(decoder.hidden(mean + deviation * epsilon).silu())
                let errors = try (rebuilt - batch).squared().mean(axes: [2])  // [K, B]
                sum = try sum.map { try $0 + errors } ?? errors
            }
            let errors = try sum?.floats() ?? []
            let count = x.shape[0]
            return (0..<count).map { row in
                let smallest = stride(from: row, to: errors.count, by: count).reduce(
                    Float.infinity
                ) { min($0, errors[$1]) }
                return Double(smallest) / Double(noise.shape[0])
            }
        }
    }
}

/// K linear layers at once: [K or 1, B, inputs] → [K, B, outputs].
private struct BatchedLinear {
    private let weight: Tensor
    private let bias: Tensor

    init(_ scope: Parameters.Scope, count: Int, inputs: Int, outputs: Int) throws {
        let bound = 1 / Float(inputs).squareRoot()
        weight = try scope.uniform("weight", shape: [count, inputs, outputs], bound: bound)
        bias = try scope.uniform("bias", shape: [count, 1, outputs], bound: bound)
    }

    func callAsFunction(_ x: Tensor) throws -> Tensor { try x.matmul(weight) + bias }
}
