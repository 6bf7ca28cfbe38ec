import Torch

@testable import Latent

extension Posterior {
    /// Posteriors of rows of numbers.
    static func of(mean: [[Float]], logVariance: [[Float]]) throws -> Posterior {
        let shape = [mean.count, mean[0].count]
        return Posterior(
            mean: try Tensor(mean.flatMap { $0 }, shape: shape),
            logVariance: try Tensor(logVariance.flatMap { $0 }, shape: shape))
    }
}

extension LatentLayer {
    /// A layer whose z is the posterior's mean.
    static func at(_ posterior: Posterior) -> LatentLayer {
        LatentLayer(posterior: posterior, z: posterior.mean, prior: StandardNormal())
    }
}

extension TrainingPass {
    /// What one step gives an objective, alone in its process.
    static func of(
        _ layers: [LatentLayer], reconstruction: [Float], drawCount: Int = 1, klWeight: Double = 1,
        freeNats: Double = 0, progress: Double = 1, windowCount: Int = 100, weights: [Float]? = nil,
        normals: @escaping ([Int]) throws -> Tensor = { try Tensor.zeros(shape: $0) }
    ) throws -> TrainingPass {
        TrainingPass(
            layers: layers, divergences: try layers.map { try $0.divergence() },
            reconstruction: try Tensor(reconstruction, shape: [reconstruction.count]),
            drawCount: drawCount, klWeight: klWeight, freeNats: freeNats, progress: progress,
            windowCount: windowCount,
            weights: try weights.map { try Tensor($0, shape: [$0.count]) },
            reducer: BatchReducer(batchSize: Double(reconstruction.count / drawCount)) { $0 },
            normals: normals)
    }
}
