import Torch

/// What a step does with rows of a batch: their share of the loss, and of its gradients.
struct StepLoss: Sendable {
    let phase: Trainer.Phase
    let configuration: TrainingConfiguration
    let objective: any Objective
    /// Share of the steps that are done, 0…1.
    let progress: Double
    /// Number of the step; nil where something is measured on the held-out part.
    let step: Int?
    /// Windows of the training part.
    let windowCount: Int

    /// Rows of a batch, on the host.
    struct Rows: Sendable {
        /// What is to be decoded to, [B, C, H, W].
        var values: [Float]
        /// What the encoder reads instead, where that differs.
        var inputs: [Float]?
        /// Places of the rows in the whole batch.
        var positions: [Int]
        /// Labels of each row, where the model is told them.
        var codes: [[Int]]
        /// Standard normal numbers, [B·L, D].
        var noise: [Float]
        /// What each row weighs; nil for 1.
        var weights: [Float]?

        var count: Int { positions.count }

        /// Some of the rows.
        subscript(range: Range<Int>) -> Rows {
            func part(_ numbers: [Float]) -> [Float] {
                let length = numbers.count / max(1, count)
                return Array(numbers[range.lowerBound * length..<range.upperBound * length])
            }
            return Rows(
                values: part(values), inputs: inputs.map(part),
                positions: Array(positions[range]), codes: Array(codes[range]),
                noise: part(noise), weights: weights.map(part))
        }
    }

    /// What rows add to the figures of their batch, in nats for each window.
    struct Figures: Sendable {
        let loss, distortion, rate: Double

        static func + (first: Figures, second: Figures) -> Figures {
            Figures(
                loss: first.loss + second.loss, distortion: first.distortion + second.distortion,
                rate: first.rate + second.rate)
        }

        /// Those of the rows of all processes.
        func summed(over team: Team) throws -> Figures {
            let sums = try team.sum([loss, distortion, rate])
            return Figures(loss: sums[0], distortion: sums[1], rate: sums[2])
        }
    }

    /// Works out the loss of rows, varied as training has it, and adds its gradients to those of a model.
    ///
    /// - Parameters:
    ///   - rows: of a batch
    ///   - model: gets the gradients
    ///   - reducer: sums over the rows of the batch that others hold
    /// - Returns: what the rows add to the figures of the batch; their gradients are no numbers where these
    ///   are none
    /// - Throws: what `reducer` throws, and `TorchError` when the model cannot be run
    func callAsFunction(
        of rows: Rows, by model: VAE, reducer: BatchReducer
    ) throws -> Figures {
        var rows = rows
        if let augmentation = configuration.augmentation, phase == .bound, let step {
            augmentation.vary(
                &rows, window: model.configuration.window, seed: configuration.seed, step: step)
        }
        let x = try model.batch(rows.inputs ?? rows.values)
        let target = try rows.inputs == nil ? x : model.batch(rows.values)
        let condition = try model.condition(rows.codes)
        let noise = try noise(of: rows, for: model)
        let weights = try rows.weights.map {
            try Tensor($0, shape: [rows.count]).to(model.device)
        }
        let pass: TrainingPass
        let loss: Tensor
        switch phase {
        case .bound:
            let drawCount = objective.drawCount
            let inference = try withBFloat16(usesBFloat16) {
                try model.infer(x, condition: condition, noise: noise, drawCount: drawCount)
            }
            let repeated = drawCount == 1 ? target : try target.repeatedInterleaved(drawCount)
            let likelihood = try model.optimalLikelihood(of: inference.output, for: repeated) {
                let perWindow = try $0.reshaped([rows.count, -1]).mean(axes: [1])
                let weighted = try weights.map { try perWindow * $0 } ?? perWindow
                return try reducer.sum(weighted.sum().item()) / reducer.batchSize
            }
            pass = try self.pass(
                inference.layers, likelihood: likelihood.logProbability(of: repeated),
                drawCount: drawCount,
                weights: weights, reducer: reducer, device: model.device)
            loss = try objective.loss(of: pass)
        case .variance:
            // Encoder and mean are done: only the variances get gradients.
            let inference = try withoutGradients {
                try model.infer(x, condition: condition, noise: noise)
            }
            let likelihood = try model.likelihood(of: inference.output, z: inference.z)
            pass = try self.pass(
                inference.layers, likelihood: likelihood.logProbability(of: target), drawCount: 1,
                weights: weights, reducer: reducer, device: model.device)
            loss = try pass.distortion() + pass.rate()
        }
        let figures = try withoutGradients {
            Figures(
                loss: try loss.item(), distortion: try pass.distortion().item(),
                rate: try unweightedRate(pass, device: model.device).item())
        }
        // Of the size of one element, so that clipping and Adam's epsilon mean the same everywhere.
        try (loss * (1 / Double(model.configuration.elementCount))).backward()
        return figures
    }

    /// Whether products are of bfloat16: not those of the variances, a small network on a frozen one.
    var usesBFloat16: Bool { phase == .bound && configuration.precision == .bfloat16 }

    /// The noise of rows as a model takes it, [B·L, D].
    func noise(of rows: Rows, for model: VAE) throws -> Tensor {
        try Tensor(
            rows.noise, shape: [rows.noise.count / model.noiseCount, model.noiseCount]
        ).to(model.device)
    }

    /// What the objective makes its loss of.
    ///
    /// - Parameters:
    ///   - layers: the stochastic layers
    ///   - likelihood: log p(x|z) of each draw in nats, [B·L]
    ///   - drawCount: L
    ///   - weights: of each window; nil for 1
    ///   - reducer: sums over the batch
    ///   - device: where numbers are drawn to
    /// - Returns: what a loss is made of
    /// - Throws: `TorchError` when the divergences cannot be worked out
    func pass(
        _ layers: [LatentLayer], likelihood: Tensor, drawCount: Int, weights: Tensor?,
        reducer: BatchReducer, device: Device
    ) throws -> TrainingPass {
        let isEvaluation = step == nil
        return TrainingPass(
            layers: layers, divergences: try layers.map { try $0.divergence() },
            reconstruction: likelihood,
            drawCount: drawCount, klWeight: isEvaluation ? 1 : configuration.klWeight(at: progress),
            freeNats: isEvaluation ? 0 : configuration.freeNats(at: progress), progress: progress,
            windowCount: windowCount, weights: weights, reducer: reducer
        ) { [step, seed = configuration.seed] shape in
            var generator = Generator(
                seed: seed, Stream.priorNoise.rawValue, step.map(UInt64.init) ?? .max)
            return try Tensor(generator.normals(shape.reduce(1, *)), shape: shape).to(device)
        }
    }

    /// The KL term as it is, whatever the objective makes of it.
    private func unweightedRate(_ pass: TrainingPass, device: Device) throws -> Tensor {
        var total = try Tensor.zeros(shape: [], device: device)
        for divergence in pass.divergences {
            total = try total + pass.mean(pass.meanOverDraws(divergence))
        }
        return total
    }
}
