import Torch

/// What is measured of a model on the held-out part, as sums over windows.
struct HeldOutSums: Sendable {
    /// Number of windows.
    private(set) var count = 0.0
    /// The objective, KL term in full, in nats.
    private(set) var loss = 0.0
    /// KL of each layer from the top, in nats.
    private(set) var rates: [Double]
    /// Means of the posterior, of all layers, and their squares.
    private(set) var means, squares: [Double]

    /// A mean that varies less than this over the data carries nothing (Burda 2016: 0.01).
    private static let activeVariance = 0.01

    /// Sums over no window.
    init(of model: VAE) {
        rates = [Double](repeating: 0, count: model.configuration.layerCount)
        means = [Double](repeating: 0, count: model.noiseCount)
        squares = means
    }

    /// All sums in one row, and back.
    private(set) var values: [Double] {
        get { [count, loss] + rates + means + squares }
        set {
            (count, loss) = (newValue[0], newValue[1])
            rates = Array(newValue[2...].prefix(rates.count))
            means = Array(newValue[(2 + rates.count)...].prefix(means.count))
            squares = Array(newValue.suffix(squares.count))
        }
    }

    /// Adds those of other windows.
    static func += (sums: inout HeldOutSums, other: HeldOutSums) {
        sums.values = zip(sums.values, other.values).map(+)
    }

    /// Those of the windows of all processes.
    func summed(over team: Team) throws -> HeldOutSums {
        guard team.size > 1 else { return self }
        var sums = self
        sums.values = try team.sum(values)
        return sums
    }

    /// Means over the windows.
    var evaluation: Trainer.Evaluation {
        let total = max(1, count)
        let active = zip(means, squares).filter { mean, square in
            square / total - (mean / total) * (mean / total) > Self.activeVariance
        }
        return Trainer.Evaluation(
            loss: loss / total, activeUnitCount: active.count,
            layerRates: rates.map { $0 / total })
    }

    /// Adds what a model makes of rows.
    ///
    /// - Parameters:
    ///   - rows: of a batch
    ///   - inference: what the model infers from them
    ///   - pass: what a loss is made of, without weights
    ///   - loss: of a window, in nats
    /// - Throws: `TorchError` when a figure cannot be worked out
    mutating func add(
        _ rows: StepLoss.Rows, _ inference: VAE.Inference, _ pass: TrainingPass, loss: Double
    ) throws {
        let size = Double(rows.count)
        count += size
        self.loss += size * loss
        var start = 0
        for (index, layer) in inference.layers.enumerated() {
            rates[index] +=
                size * (try pass.mean(pass.meanOverDraws(pass.divergences[index])).item())
            let width = layer.z.shape[1]
            for (place, mean) in try layer.posterior.mean.floats().enumerated()
            where place / width % pass.drawCount == 0 {
                means[start + place % width] += Double(mean)
                squares[start + place % width] += Double(mean) * Double(mean)
            }
            start += width
        }
    }
}

extension StepLoss {
    /// Measures a model on rows of the held-out part, without gradients and with all of the KL term.
    ///
    /// - Parameters:
    ///   - rows: of a batch
    ///   - model: is run in the precision of training
    ///   - mean: over all elements of a batch, of which others may hold rows
    /// - Returns: sums over the rows
    /// - Throws: what `mean` throws, and `TorchError` when the model cannot be run
    func heldOutSums(
        of rows: Rows, by model: VAE, mean: (Tensor) throws -> Double
    ) throws -> HeldOutSums {
        try withoutGradients {
            let x = try model.batch(rows.values)
            let drawCount = phase == .bound ? objective.drawCount : 1
            let inference = try withBFloat16(usesBFloat16) {
                try model.infer(
                    x, condition: model.condition(rows.codes), noise: noise(of: rows, for: model),
                    drawCount: drawCount)
            }
            let target = drawCount == 1 ? x : try x.repeatedInterleaved(drawCount)
            let likelihood =
                phase == .bound
                ? try model.optimalLikelihood(of: inference.output, for: target, mean: mean)
                : try model.likelihood(of: inference.output, z: inference.z)
            let pass = try self.pass(
                inference.layers, likelihood: likelihood.logProbability(of: target),
                drawCount: drawCount, weights: nil,
                reducer: BatchReducer(batchSize: Double(rows.count)) { $0 }, device: model.device)
            var sums = HeldOutSums(of: model)
            try sums.add(
                rows, inference, pass,
                loss: phase == .bound
                    ? objective.loss(of: pass).item()
                    : (pass.distortion() + pass.rate()).item())
            return sums
        }
    }

    /// Sums over rows the error that the shared scale is the mean of, one draw of each.
    func scaleError(of rows: Rows, by model: VAE) throws -> Double {
        try withoutGradients {
            let x = try model.batch(rows.values)
            let output = try withBFloat16(usesBFloat16) {
                try model.infer(
                    x, condition: model.condition(rows.codes), noise: noise(of: rows, for: model)
                ).output
            }
            let family = model.configuration.likelihood.family
            return try family.scaleError(of: output, at: x).mean().item() * Double(rows.count)
        }
    }
}
