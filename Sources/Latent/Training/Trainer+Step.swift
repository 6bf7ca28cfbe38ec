import Foundation
import Torch

/// One step, and what is measured of a model between steps.
extension Trainer {
    /// Takes a step on a batch.
    ///
    /// - Throws: ``Trainer/NotFinite`` before the weights are touched
    func step(_ phase: Phase, batch: WindowBatch, progress: Double) throws {
        var varied = batch
        if let augmentation = job.configuration.augmentation, phase == .bound {
            augmentation.vary(
                &varied, window: job.model.window, seed: job.configuration.seed,
                step: state.step)
        }
        let x = try model.batch(varied.inputs ?? varied.values)
        let target = try varied.inputs == nil ? x : model.batch(varied.values)
        let condition = try model.condition(codes(batch, of: job.training))
        let noise = try stepNoise(phase, batch: batch)
        let reducer = BatchReducer(batchSize: Double(batch.wholeCount)) { value in
            try self.job.team.sum([value])[0]
        }
        let weights =
            job.configuration.balance == .weight
            ? try Tensor(
                batch.items.map { job.training.balanceWeight($0) }, shape: [batch.count]
            ).to(model.device) : nil

        let pass: TrainingPass
        let loss: Tensor
        switch phase {
        case .bound:
            let drawCount = objective.drawCount
            let inference = try withBFloat16(job.configuration.precision == .bfloat16) {
                try model.infer(x, condition: condition, noise: noise, drawCount: drawCount)
            }
            let repeated = drawCount == 1 ? target : try target.repeatedInterleaved(drawCount)
            let likelihood = try model.optimalLikelihood(of: inference.output, for: repeated) {
                let perWindow = try $0.reshaped([batch.count, -1]).mean(axes: [1])
                let weighted = try weights.map { try perWindow * $0 } ?? perWindow
                return try reducer.sum(weighted.sum().item()) / reducer.batchSize
            }
            pass = try trainingPass(
                inference.layers, likelihood.logProbability(of: repeated),
                drawCount: drawCount, progress: progress, weights: weights, reducer: reducer)
            loss = try objective.loss(of: pass)
        case .variance:
            // Encoder and mean are done: only the variances get gradients.
            let inference = try withoutGradients {
                try model.infer(x, condition: condition, noise: noise)
            }
            let likelihood = try model.likelihood(of: inference.output, z: inference.z)
            pass = try trainingPass(
                inference.layers, likelihood.logProbability(of: target), drawCount: 1,
                progress: 1, weights: weights, reducer: reducer)
            loss = try pass.distortion() + pass.rate()
        }
        let (distortion, rate) = try withoutGradients {
            (try pass.distortion().item(), try unweightedRate(pass).item())
        }
        let figures = try job.team.sum([
            try loss.item(), distortion, rate,
        ])
        guard figures[0].isFinite else { throw NotFinite(reason: "the loss is \(figures[0])") }
        // Of the size of one element, so that clipping and Adam's epsilon mean the same everywhere.
        try (loss * (1 / Double(job.model.elementCount))).backward()
        try job.team.sumGradients(model.parameters.tensors(under: phase.paths))
        let norm = try optimizer.clipGradientNorm(maximum: job.configuration.gradientClip)
        guard norm.isFinite else {
            try optimizer.clearGradients()
            throw NotFinite(reason: "the gradient is \(norm)")
        }
        try optimizer.step(
            learningRate: job.configuration.learningRate(at: progress) * state.learningRateScale)

        let count = Double(batch.wholeCount)
        state.sums.windowCount += batch.wholeCount
        state.sums.loss += figures[0] * count
        state.sums.distortion += figures[1] * count
        state.sums.rate += figures[2] * count
    }

    private func trainingPass(
        _ layers: [LatentLayer], _ reconstruction: Tensor, drawCount: Int, progress: Double,
        weights: Tensor?, reducer: BatchReducer, isEvaluation: Bool = false
    ) throws -> TrainingPass {
        let configuration = job.configuration
        return TrainingPass(
            layers: layers, divergences: try layers.map { try $0.divergence() },
            reconstruction: reconstruction, drawCount: drawCount,
            klWeight: isEvaluation ? 1 : configuration.klWeight(at: progress),
            freeNats: isEvaluation ? 0 : configuration.freeNats(at: progress),
            progress: progress, windowCount: job.training.windowCount, weights: weights,
            reducer: reducer
        ) { [state, model] shape in
            var generator = Generator(
                seed: configuration.seed, Stream.priorNoise.rawValue,
                isEvaluation ? .max : UInt64(state.step))
            return try Tensor(generator.normals(shape.reduce(1, *)), shape: shape).to(model.device)
        }
    }

    /// The KL term as it is, whatever the objective makes of it.
    private func unweightedRate(_ pass: TrainingPass) throws -> Tensor {
        var total = try Tensor.zeros(shape: [], device: model.device)
        for divergence in pass.divergences {
            total = try total + pass.mean(pass.meanOverDraws(divergence))
        }
        return total
    }

    private func codes(_ batch: WindowBatch, of source: WindowSource) -> [[Int]] {
        batch.items.map { source.codes($0) }
    }

    /// Noise of a step, [B·L, D]: that of the whole batch, of which a process takes its rows.
    private func stepNoise(_ phase: Phase, batch: WindowBatch) throws -> Tensor {
        var generator = Generator(
            seed: job.configuration.seed, Stream.trainingNoise.rawValue, UInt64(phase.rawValue),
            UInt64(state.step))
        let drawCount = phase == .bound ? objective.drawCount : 1
        let length = drawCount * model.noiseCount
        var noise = generator.normals(batch.wholeCount * length)
        if batch.count < batch.wholeCount {
            noise = batch.positions.flatMap { noise[$0 * length..<($0 + 1) * length] }
        }
        return try Tensor(noise, shape: [batch.count * drawCount, model.noiseCount])
            .to(model.device)
    }

    // MARK: Evaluation

    /// What is measured of a model on the held-out part.
    struct Evaluation {
        /// The objective, KL term in full.
        let loss: Double
        let activeUnitCount: Int
        /// KL of each layer from the top, nats for each window.
        let layerRates: [Double]
    }

    /// A mean that varies less than this over the data carries nothing (Burda 2016: 0.01).
    private static let activeVariance = 0.01

    /// The objective on the held-out part, noise keyed by the items; nil without one.
    func evaluate(_ phase: Phase) throws -> Evaluation? {
        guard !job.heldOut.items.isEmpty else { return nil }
        return try withoutGradients {
            var loss = 0.0
            var count = 0
            var rates: [Double] = []
            var sums = [Double](repeating: 0, count: model.noiseCount)
            var squares = sums
            let team = objective.couplesWindows ? Team.alone : job.team
            let pass = job.heldOut.batches(
                shuffledBy: nil, batchSize: job.configuration.batchSize, team: team)
            let drawCount = phase == .bound ? objective.drawCount : 1
            let sharesScale = phase == .bound && job.model.likelihood.family.hasSharedScale
            while let batch = try pass.next() {
                guard batch.count > 0 else {
                    // The others wait for this process's share of the error.
                    if sharesScale { _ = try team.sum([0]) }
                    continue
                }
                let x = try model.batch(batch.values)
                let inference = try model.infer(
                    x, condition: model.condition(codes(batch, of: job.heldOut)),
                    noise: keyedNoise(batch, drawCount: drawCount), drawCount: drawCount)
                let target = drawCount == 1 ? x : try x.repeatedInterleaved(drawCount)
                let likelihood =
                    phase == .bound
                    ? try model.optimalLikelihood(of: inference.output, for: target) {
                        try team.sum([$0.mean().item() * Double(batch.count)])[0]
                            / Double(batch.wholeCount)
                    } : try model.likelihood(of: inference.output, z: inference.z)
                let figures = try trainingPass(
                    inference.layers, likelihood.logProbability(of: target),
                    drawCount: drawCount, progress: 1, weights: nil,
                    reducer: BatchReducer(batchSize: Double(batch.count)) { $0 },
                    isEvaluation: true)
                let size = Double(batch.count)
                loss +=
                    size
                    * (phase == .bound
                        ? try objective.loss(of: figures).item()
                        : try (figures.distortion() + figures.rate()).item())
                count += batch.count
                if rates.isEmpty { rates = inference.layers.map { _ in 0 } }
                var start = 0
                for (index, layer) in inference.layers.enumerated() {
                    rates[index] +=
                        try figures.mean(figures.meanOverDraws(figures.divergences[index])).item()
                        * size
                    let means = try layer.posterior.mean.floats()
                    let width = layer.z.shape[1]
                    for (place, value) in means.enumerated()
                    where place / width % drawCount == 0 {
                        sums[start + place % width] += Double(value)
                        squares[start + place % width] += Double(value) * Double(value)
                    }
                    start += width
                }
            }
            if team.size > 1 {
                if rates.isEmpty { rates = [Double](repeating: 0, count: job.model.layerCount) }
                let all = try team.sum([loss, Double(count)] + rates + sums + squares)
                (loss, count) = (all[0], Int(all[1]))
                rates = Array(all[2..<2 + rates.count])
                sums = Array(all[(2 + rates.count)...].prefix(sums.count))
                squares = Array(all.suffix(squares.count))
            }
            let total = Double(max(1, count))
            let active = zip(sums, squares).filter { sum, square in
                square / total - (sum / total) * (sum / total) > Self.activeVariance
            }
            return Evaluation(
                loss: loss / total, activeUnitCount: active.count,
                layerRates: rates.map { $0 / total })
        }
    }

    private func keyedNoise(_ batch: WindowBatch, drawCount: Int = 1) throws -> Tensor {
        var noise: [Float] = []
        for key in batch.keys {
            var generator = Generator(
                seed: job.configuration.seed, Stream.heldOutNoise.rawValue, key.contentWord,
                UInt64(key.window))
            noise += generator.normals(drawCount * model.noiseCount)
        }
        return try Tensor(noise, shape: [batch.count * drawCount, model.noiseCount])
            .to(model.device)
    }

    /// Windows that the shared scale is worked out from, at most.
    ///
    /// Where their errors deviate from each other by as much as their mean, the scale is within 1.6 %
    /// of that of all windows; the bound of a window of n elements then loses n·0.016²/4 nats: 0.06 of
    /// 32×32 pixels.
    private static let scaledCount = 4_096

    /// The logarithm of the best shared scale over the training part, one draw each of windows spread
    /// over it.
    func sharedLogScale() throws -> Double {
        let family = job.model.likelihood.family
        return try withoutGradients {
            var total = 0.0
            var count = 0
            let pass = job.training.batches(
                shuffledBy: nil, batchSize: job.configuration.batchSize, team: job.team,
                of: job.training.spread(limit: Self.scaledCount))
            while let batch = try pass.next() {
                guard batch.count > 0 else { continue }
                let x = try model.batch(batch.values)
                let output = try model.infer(
                    x, condition: model.condition(codes(batch, of: job.training)),
                    noise: keyedNoise(batch)
                ).output
                total +=
                    try family.scaleError(of: output, at: x).mean().item()
                    * Double(batch.count)
                count += batch.count
            }
            let sums = try job.team.sum([total, Double(count)])
            return log(max(sums[0] / max(1, sums[1]), family.scaleFloor))
        }
    }
}
