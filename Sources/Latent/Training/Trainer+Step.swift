import Foundation
import Torch

/// One step, and what is measured of a model between steps.
extension Trainer {
    /// Takes a step on a batch.
    ///
    /// - Throws: ``Trainer/NotFinite`` before the weights are touched
    func step(_ phase: Phase, batch: WindowBatch, progress: Double) throws {
        let rows = StepLoss.Rows(
            values: batch.values, positions: batch.positions,
            codes: codes(batch, of: job.training), noise: stepNoise(phase, batch: batch),
            weights: job.configuration.balance == .weight
                ? batch.items.map { job.training.balanceWeight($0) } : nil)
        let figures = try job.team.sum(
            slopes(of: rows, wholeCount: batch.wholeCount, phase, progress: progress))
        guard figures[0].isFinite else {
            try optimizer.clearGradients()
            throw NotFinite(reason: "the loss is \(figures[0])")
        }
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

    /// Gives the model the gradients of rows of a batch, and their share of its figures: loss, distortion
    /// and rate.
    private func slopes(
        of rows: StepLoss.Rows, wholeCount: Int, _ phase: Phase, progress: Double
    ) throws -> [Double] {
        let loss = stepLoss(phase, progress: progress, step: state.step)
        if let lanes, rows.count >= lanes.size * TrainingLanes.smallestShare {
            return try lanes.slopes(of: rows, by: loss, to: model)
        }
        return try loss(
            of: rows, by: model,
            reducer: BatchReducer(batchSize: Double(wholeCount)) { value in
                try self.job.team.sum([value])[0]
            }
        ).values
    }

    private func stepLoss(_ phase: Phase, progress: Double, step: Int?) -> StepLoss {
        StepLoss(
            phase: phase, configuration: job.configuration, objective: objective,
            progress: progress, step: step, windowCount: job.training.windowCount)
    }

    private func codes(_ batch: WindowBatch, of source: WindowSource) -> [[Int]] {
        batch.items.map { source.codes($0) }
    }

    /// Noise of a step, [B·L, D]: that of the whole batch, of which a process takes its rows.
    private func stepNoise(_ phase: Phase, batch: WindowBatch) -> [Float] {
        var generator = Generator(
            seed: job.configuration.seed, Stream.trainingNoise.rawValue, UInt64(phase.rawValue),
            UInt64(state.step))
        let drawCount = phase == .bound ? objective.drawCount : 1
        let length = drawCount * model.noiseCount
        let noise = generator.normals(batch.wholeCount * length)
        return batch.count < batch.wholeCount
            ? batch.positions.flatMap { noise[$0 * length..<($0 + 1) * length] } : noise
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
            let measure = stepLoss(phase, progress: 1, step: nil)
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
                let figures = try measure.pass(
                    inference.layers, likelihood: likelihood.logProbability(of: target),
                    drawCount: drawCount, weights: nil,
                    reducer: BatchReducer(batchSize: Double(batch.count)) { $0 },
                    device: model.device)
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
