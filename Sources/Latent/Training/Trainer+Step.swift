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
        let figures = try slopes(
            of: rows, wholeCount: batch.wholeCount, phase, progress: progress
        ).summed(over: job.team)
        guard figures.loss.isFinite else {
            try optimizer.clearGradients()
            throw NotFinite("the loss", figures.loss)
        }
        try job.team.sumGradients(model.parameters.tensors(under: phase.paths))
        let norm = try optimizer.clipGradientNorm(maximum: job.configuration.gradientClip)
        guard norm.isFinite else {
            try optimizer.clearGradients()
            throw NotFinite("the gradient", norm)
        }
        try optimizer.step(
            learningRate: job.configuration.learningRate(at: progress) * state.learningRateScale)

        let count = Double(batch.wholeCount)
        state.sums.windowCount += batch.wholeCount
        state.sums.loss += figures.loss * count
        state.sums.distortion += figures.distortion * count
        state.sums.rate += figures.rate * count
    }

    /// Gives the model the gradients of rows of a batch, and their share of its figures.
    private func slopes(
        of rows: StepLoss.Rows, wholeCount: Int, _ phase: Phase, progress: Double
    ) throws -> StepLoss.Figures {
        let loss = stepLoss(phase, progress: progress, step: state.step)
        if lanes.size > 1, rows.count >= lanes.size * ModelLanes.smallestShare {
            return try lanes.slopes(of: rows, by: loss)
        }
        return try loss(
            of: rows, by: model,
            reducer: BatchReducer(batchSize: Double(wholeCount)) { value in
                try self.job.team.sum([value])[0]
            })
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

    /// The objective on the held-out part, noise keyed by the items.
    func evaluate(_ phase: Phase) throws -> Evaluation {
        let team = objective.couplesWindows ? Team.alone : job.team
        let pass = job.heldOut.batches(
            shuffledBy: nil, batchSize: job.configuration.batchSize, team: team)
        let measure = stepLoss(phase, progress: 1, step: nil)
        let drawCount = phase == .bound ? objective.drawCount : 1
        let sharesScale = phase == .bound && job.model.likelihood.family.hasSharedScale
        var sums = HeldOutSums(of: model)
        while let batches = try pass.next(lanes.size) {
            let rows = batches.map { heldOutRows($0, of: job.heldOut, drawCount: drawCount) }
            if team.size == 1 {
                let parts = try lanes.threads().map(rows) { model, rows in
                    try measure.heldOutSums(of: rows, by: model) { try $0.mean().item() }
                }
                for part in parts { sums += part }
                continue
            }
            for (batch, rows) in zip(batches, rows) {
                guard rows.count > 0 else {
                    // The others wait for this process's share of the error.
                    if sharesScale { _ = try team.sum([0]) }
                    continue
                }
                sums += try measure.heldOutSums(of: rows, by: model) {
                    try team.sum([$0.mean().item() * Double(rows.count)])[0]
                        / Double(batch.wholeCount)
                }
            }
        }
        return try sums.summed(over: team).evaluation
    }

    /// Rows of a batch whose noise is keyed by the items.
    private func heldOutRows(
        _ batch: WindowBatch, of source: WindowSource, drawCount: Int = 1
    ) -> StepLoss.Rows {
        let noise = batch.keys.flatMap { key in
            var generator = Generator(
                seed: job.configuration.seed, Stream.heldOutNoise.rawValue, key.contentWord,
                UInt64(key.window))
            return generator.normals(drawCount * model.noiseCount)
        }
        return StepLoss.Rows(
            values: batch.values, positions: batch.positions, codes: codes(batch, of: source),
            noise: noise)
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
        let measure = stepLoss(.bound, progress: 1, step: nil)
        let pass = job.training.batches(
            shuffledBy: nil, batchSize: job.configuration.batchSize, team: job.team,
            of: job.training.spread(limit: Self.scaledCount))
        var total = 0.0
        var count = 0
        while let batches = try pass.next(lanes.size) {
            let rows = batches.filter { $0.count > 0 }.map { heldOutRows($0, of: job.training) }
            let errors = try lanes.threads().map(rows) { model, rows in
                try measure.scaleError(of: rows, by: model)
            }
            total += errors.reduce(0, +)
            count += rows.reduce(0) { $0 + $1.count }
        }
        let sums = try job.team.sum([total, Double(count)])
        let floor = job.model.likelihood.family.scaleFloor
        return log(max(sums[0] / max(1, sums[1]), floor))
    }
}
