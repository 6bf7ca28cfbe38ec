import Foundation
import Torch

/// A mixture of K Gaussians with full covariances over latents of D dimensions.
///
/// It is fitted to posteriors q(z|x), not to points: it maximises Σₓ log Σₖ πₖ exp E_q[log Nₖ(z)], a
/// lower bound of the expected log-density, so that it is as wide as draws of z are, without noise.
///
/// Source: Ghosh et al., "From variational to deterministic autoencoders", ICLR 2020, who fit ten
/// components to points after training; the prior that is best for the evidence lower bound is the
/// aggregate posterior (Hoffman & Johnson 2016). Covariances are shrunk as by Fraley & Raftery 2007,
/// but are a mean of what is seen and what is expected: the mode that they take is too narrow where
/// items are few.
struct GaussianMixture: Sendable, Equatable {
    /// πₖ, K of them; their sum is 1.
    let weights: [Float]
    /// [K, D].
    let means: [Float]
    /// Lower triangular Lₖ with Σₖ = Lₖ·Lₖᵀ, [K, D, D].
    let factors: [Float]
    /// D.
    let dimensionCount: Int

    private static let roundLimit = 100
    /// Nats for an item by which a round has to gain.
    private static let tolerance = 1e-3
    /// The least variance of a direction, as a share of the mean of all.
    private static let floor = 1e-4

    /// Takes numbers from a model file; nil where they do not fit together.
    init?(weights: [Float], means: [Float], factors: [Float], dimensionCount: Int) {
        guard !weights.isEmpty, means.count == weights.count * dimensionCount,
            factors.count == means.count * dimensionCount,
            weights.allSatisfy({ $0 >= 0 }), abs(weights.reduce(0, +) - 1) < 1e-3,
            means.allSatisfy(\.isFinite), factors.allSatisfy(\.isFinite)
        else { return nil }
        self.weights = weights
        self.means = means
        self.factors = factors
        self.dimensionCount = dimensionCount
    }

    /// Fits K components by expectation and maximisation.
    ///
    /// - Parameters:
    ///   - posterior: means and log-variances, [N, D]; N at least 1
    ///   - componentCount: K, at most N
    ///   - expected: the covariance that a single component is expected to have, [D, D]
    ///   - generator: chooses the items that components begin at
    /// - Throws: `TorchError` for numbers that are not finite
    /// - Complexity: at most 100 rounds of N·K·D²; memory for N·(K + D) numbers
    init(
        fittedTo posterior: Posterior, componentCount: Int, expected: Tensor,
        using generator: inout Generator
    ) throws {
        try self.init(
            fittedTo: posterior, expected: expected,
            responsibilities: Self.firstResponsibilities(
                of: posterior.mean, componentCount: componentCount, using: &generator))
    }

    /// Fits anew, from a mixture that was fitted to some of the items: a few rounds where it is right.
    init(
        fittedTo posterior: Posterior, startingAt start: GaussianMixture, expected: Tensor
    ) throws {
        let logs = try start.components(on: posterior.mean.device)
            .logDensities(of: posterior.mean, variance: posterior.variance())
        try self.init(
            fittedTo: posterior, expected: expected,
            responsibilities: (logs - logs.logSumExp(axis: 0).reshaped([1, -1])).exp())
    }

    /// - Parameters:
    ///   - posterior: as above
    ///   - expected: as above
    ///   - responsibilities: the share of each component in each item at first, [K, N]
    /// - Throws: `TorchError` for numbers that are not finite
    private init(
        fittedTo posterior: Posterior, expected: Tensor, responsibilities: Tensor
    ) throws {
        let (count, dimensions) = (posterior.mean.shape[0], posterior.mean.shape[1])
        let componentCount = responsibilities.shape[0]
        // Components share the spread: each is smaller by as much (Fraley & Raftery, section 3).
        let share = pow(Double(componentCount), -2 / Double(dimensions))
        // As good as so many observations.
        let strength = Double(dimensions + 2)
        let prior = try expected * (share * strength)
        let variance = try posterior.variance()
        let diagonal = try Tensor.identity(dimensions, device: posterior.mean.device)
        var responsibilities = responsibilities

        func maximised() throws -> Components {
            let sizes = try responsibilities.sum(axes: [1]) + 1e-6  // [K]
            let means = try responsibilities.matmul(posterior.mean) / sizes.reshaped([-1, 1])
            let scatter = try Tensor.concatenated(
                (0..<componentCount).map { index in
                    let centred = try posterior.mean - means.row(index)
                    let shares = try responsibilities.row(index).reshaped([count, 1])
                    return try (centred * shares).transposed(0, 1).matmul(centred)
                }
            ).reshaped([componentCount, dimensions, dimensions])
            let width = try responsibilities.matmul(variance)
                .reshaped([componentCount, 1, dimensions])
            let covariance =
                try (scatter + width * diagonal + prior)
                / (sizes.reshaped([componentCount, 1, 1]) + strength)
            // Points on a sheet vary in few directions: what rounding takes from the others is less.
            let floor =
                try (covariance * diagonal).sum(axes: [1, 2]) * (Self.floor / Double(dimensions))
            return Components(
                logWeights: try sizes.log() - Foundation.log(Double(count)), means: means,
                factors: try (covariance + floor.reshaped([componentCount, 1, 1]) * diagonal)
                    .cholesky())
        }

        var components = try maximised()
        var previous = -Double.infinity
        for _ in 0..<Self.roundLimit {
            let logs = try components.logDensities(of: posterior.mean, variance: variance)
            let evidence = try logs.logSumExp(axis: 0)  // [N]
            let level = try evidence.mean().item()
            if level - previous < Self.tolerance { break }
            previous = level
            responsibilities = try (logs - evidence.reshaped([1, count])).exp()
            components = try maximised()
        }
        let shares = try components.logWeights.exp().floats()
        let sum = shares.reduce(0, +)
        weights = shares.map { $0 / sum }
        means = try components.means.floats()
        factors = try components.factors.floats()
        dimensionCount = dimensions
    }

    /// The bound of E_q[log p(z)] of each posterior, in nats, [N].
    func expectedLogDensity(of posterior: Posterior) throws -> [Float] {
        try components(on: posterior.mean.device)
            .logDensities(of: posterior.mean, variance: posterior.variance())
            .logSumExp(axis: 0).floats()
    }

    private func components(on device: Device) throws -> Components {
        let shape = [weights.count, dimensionCount]
        return Components(
            logWeights: try Tensor(weights, shape: [weights.count]).to(device).log(),
            means: try Tensor(means, shape: shape).to(device),
            factors: try Tensor(factors, shape: shape + [dimensionCount]).to(device))
    }

    /// One draw of z, [D].
    ///
    /// - Parameters:
    ///   - noise: D standard normal numbers, times the spread where it is not 1
    ///   - choice: a uniform number in 0…1, which chooses the component
    /// - Returns: m + L·noise of the component
    func sample(noise: some Collection<Float>, choice: Float) -> [Float] {
        var component = 0
        var passed = weights[0]
        while passed <= choice, component + 1 < weights.count {
            component += 1
            passed += weights[component]
        }
        let noise = Array(noise)
        return (0..<dimensionCount).map { row in
            let place = component * dimensionCount + row
            var value = means[place]
            for column in 0...row {
                value += factors[place * dimensionCount + column] * noise[column]
            }
            return value
        }
    }

    /// Each item belongs to the nearest of K items that lie apart, [K, N].
    ///
    /// Source: Arthur & Vassilvitskii, "k-means++", SODA 2007.
    private static func firstResponsibilities(
        of mean: Tensor, componentCount: Int, using generator: inout Generator
    ) throws -> Tensor {
        let (count, width) = (mean.shape[0], mean.shape[1])
        let values = try mean.floats()
        var nearest = [Float](repeating: .infinity, count: count)
        var owner = [Int](repeating: 0, count: count)
        var centre = Int(generator.next() % UInt64(count))
        for index in 0..<componentCount {
            for row in 0..<count {
                var distance: Float = 0
                for column in 0..<width {
                    let step = values[row * width + column] - values[centre * width + column]
                    distance += step * step
                }
                if distance < nearest[row] { (nearest[row], owner[row]) = (distance, index) }
            }
            var left = generator.uniform() * nearest.reduce(0, +)
            centre =
                nearest.firstIndex { distance in
                    left -= distance
                    return left < 0
                } ?? count - 1
        }
        var belongs = [Float](repeating: 0, count: componentCount * count)
        for row in 0..<count { belongs[owner[row] * count + row] = 1 }
        return try Tensor(belongs, shape: [componentCount, count]).to(mean.device)
    }
}

/// The parameters of a mixture as tensors.
private struct Components {
    /// [K].
    let logWeights: Tensor
    /// [K, D].
    let means: Tensor
    /// [K, D, D], lower triangular.
    let factors: Tensor

    /// log πₖ + E_q[log Nₖ(z)] in nats, [K, N], of means μ and variances s, [N, D].
    ///
    /// With z ~ N(μ, diag s) and P = Σₖ⁻¹ = Wᵀ·W: E[(z - m)ᵀP(z - m)] = |W(μ - m)|² + Σ s·diag P.
    /// One component after the other: [N, D] stays in a cache, and all of [K, N, D] would not.
    func logDensities(of points: Tensor, variance: Tensor) throws -> Tensor {
        let (components, width) = (means.shape[0], means.shape[1])
        let diagonal = try Tensor.identity(width, device: means.device)
        let whitening = try factors.solvedLowerTriangular(diagonal)  // W, [K, D, D]
        let distance = try Tensor.concatenated(
            (0..<components).map { index in
                try (points - means.row(index))
                    .matmul(whitening.row(index).reshaped([width, width]).transposed(0, 1))
                    .squared().sum(axes: [1]).reshaped([1, -1])
            })  // [K, N]
        let precision = try whitening.squared().sum(axes: [1])  // diag P, [K, D]
        let spread = try precision.matmul(variance.transposed(0, 1))  // [K, N]
        let logDeterminant = try (factors * diagonal).sum(axes: [2]).log().sum(axes: [1])
        let constant = Double(width) * 0.5 * Foundation.log(2 * Double.pi)
        return try (distance + spread) * -0.5
            + (logWeights - logDeterminant - constant).reshaped([components, 1])
    }
}

extension Posterior {
    /// σ² of each element, [B, D]; 0 for a point.
    func variance() throws -> Tensor {
        isPoint
            ? try Tensor.zeros(shape: mean.shape, device: mean.device) : try logVariance.exp()
    }
}

extension Tensor {
    /// One row, its axis kept.
    fileprivate func row(_ index: Int) throws -> Tensor {
        try narrowed(axis: 0, start: index, length: 1)
    }

    /// The unit matrix, [n, n].
    static func identity(_ count: Int, device: Device) throws -> Tensor {
        var values = [Float](repeating: 0, count: count * count)
        for index in 0..<count { values[index * count + index] = 1 }
        return try Tensor(values, shape: [count, count]).to(device)
    }
}
