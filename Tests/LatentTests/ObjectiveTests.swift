import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

/// What holds of every objective; the numbers of each are in its own tests.
@Suite("Objectives") struct ObjectiveTests {
    private static let shape = VAEConfiguration.tiny(
        height: 4, width: 4, architecture: .resnet, widths: [3, 2], latentCount: 2)

    private static func model(
        _ kind: ObjectiveKind, layerCount: Int = 1, shape: VAEConfiguration = shape
    ) throws -> VAE {
        var configuration = shape
        configuration.objective = ObjectiveConfiguration(kind)
        configuration.objective.drawCount = 3
        configuration.objective.componentCount = 4
        configuration.layerCount = layerCount
        let model = try VAE(configuration, device: .cpu, seed: 4)
        // Drawn weights, so that no block is closed.
        var generator = Generator(seed: 5)
        for entry in model.parameters.entries where entry.path != "prior.pseudo_inputs" {
            let values = generator.normals(entry.tensor.count).map { $0 * 0.3 }
            try entry.tensor.assign(Tensor(values, shape: entry.tensor.shape))
        }
        return model
    }

    /// The loss of a step on five windows.
    private static func loss(of model: VAE, draw: UInt64 = 0) throws -> Tensor {
        let configuration = model.configuration.objective
        let objective = configuration.kind.objective(configuration)
        var generator = Generator(seed: 6)
        let x = try model.batch((0..<5 * 16).map { _ in generator.uniform() })
        var noise = Generator(seed: 7, draw)
        let rows = 5 * objective.drawCount
        let inference = try model.infer(
            x,
            noise: Tensor(noise.normals(rows * model.noiseCount), shape: [rows, model.noiseCount]),
            drawCount: objective.drawCount)
        let target = try x.repeatedInterleaved(objective.drawCount)
        let likelihood = try model.optimalLikelihood(of: inference.output, for: target) {
            try $0.mean().item()
        }
        let logs = try likelihood.logProbability(of: target)
        let pass = TrainingPass(
            layers: inference.layers,
            divergences: try inference.layers.map { try $0.divergence() }, reconstruction: logs,
            drawCount: objective.drawCount,
            klWeight: 1, freeNats: 0, progress: 1, windowCount: 5, weights: nil,
            reducer: BatchReducer(batchSize: 5) { $0 },
            normals: { try Tensor(noise.normals($0.reduce(1, *)), shape: $0) })
        return try objective.loss(of: pass)
    }

    @Test("gradients reach every parameter", arguments: ObjectiveKind.allCases)
    func gradients(kind: ObjectiveKind) throws {
        let model = try Self.model(kind)
        try Self.loss(of: model).backward()
        for entry in model.parameters.entries {
            let gradient = try entry.tensor.gradient()?.floats() ?? []
            #expect(gradient.allSatisfy { $0.isFinite }, "\(entry.path)")
            #expect(gradient.contains { $0 != 0 }, "no gradient at \(entry.path)")
        }
    }

    @Test("steps lower the loss", arguments: ObjectiveKind.allCases)
    func descent(kind: ObjectiveKind) throws {
        let model = try Self.model(kind, shape: .tiny(height: 4, width: 4, latentCount: 2))
        let optimizer = try AdamW(model.parameters.tensors())
        func mean() throws -> Double {
            try withoutGradients {
                try (100..<110).reduce(0) { try $0 + Self.loss(of: model, draw: $1).item() / 10 }
            }
        }
        let before = try mean()
        for step in 0..<40 {
            try Self.loss(of: model, draw: UInt64(step)).backward()
            _ = try optimizer.clipGradientNorm(maximum: 10)
            try optimizer.step(learningRate: 1e-2)
        }
        #expect(try mean() < before - 1)
    }

    @Test(
        "an objective that allows several layers has a loss of them, and others refuse them",
        arguments: ObjectiveKind.allCases)
    func hierarchy(kind: ObjectiveKind) throws {
        let allows = kind.objective(ObjectiveConfiguration(kind)).allowsHierarchy
        #expect(allows == [.vae, .beta, .iwae].contains(kind))
        if allows {
            let model = try Self.model(kind, layerCount: 3)
            #expect(try Self.loss(of: model).isFinite())
        } else {
            let error = try #require(throws: LatentError.self) {
                try Self.model(kind, layerCount: 3)
            }
            #expect(error.code == .usage && error.description.contains(kind.rawValue))
        }
    }

    @Test("numbers out of range are refused")
    func validation() throws {
        let changes: [(text: String, change: (inout ObjectiveConfiguration) -> Void)] = [
            ("--beta", { $0.weight = -1 }), ("--beta", { $0.weight = .nan }),
            ("--capacity", { $0.capacity = -0.5 }), ("draws", { $0.drawCount = 0 }),
            ("components", { $0.componentCount = 0 }),
        ]
        for (text, change) in changes {
            var configuration = ObjectiveConfiguration(.beta)
            #expect(throws: Never.self) { try configuration.validate() }
            change(&configuration)
            let changed = configuration
            let error = try #require(throws: LatentError.self) { try changed.validate() }
            #expect(error.code == .usage && error.description.contains(text))
        }
    }
}
