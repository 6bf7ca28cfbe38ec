import Torch

extension VAE {
    /// Windows whose scores are compared, at most.
    private static let comparedCount = 256
    /// Figures in the two precisions may differ by this share of their deviation over normal windows.
    private static let toleratedShare = 0.01

    /// Lets products of scoring be of bfloat16 where that changes no verdict.
    ///
    /// It must be what training used, and all that is computed of held-out windows by the same draws
    /// (the reconstruction probability, KL divergence, squared error, importance-weighted bound) must
    /// differ by no more than a hundredth of its own deviation over the windows, root mean square, from
    /// what float32 gives. What is chosen holds for the calibration too, and is kept in the model.
    ///
    /// - Parameters:
    ///   - models: all networks of a detector, each with its held-out windows
    ///   - trainingPrecision: of the run
    ///   - seed: of the draws
    /// - Returns: the precision, which all models then have
    /// - Throws: `TorchError` when a model cannot be run
    /// - Complexity: that of scoring 256 windows twice, by two draws
    static func chooseScoringPrecision(
        of models: [(model: VAE, heldOut: WindowSource)],
        trainingPrecision: TrainingConfiguration.Precision, seed: UInt64
    ) throws -> TrainingConfiguration.Precision {
        guard trainingPrecision == .bfloat16, Runtime.multipliesBFloat16 else { return .float32 }
        for (model, heldOut) in models {
            guard try model.agrees(in: .bfloat16, on: heldOut, seed: seed) else { return .float32 }
        }
        for (model, _) in models { model.scoringPrecision = .bfloat16 }
        return .bfloat16
    }

    private func agrees(
        in precision: TrainingConfiguration.Precision, on heldOut: WindowSource, seed: UInt64
    ) throws -> Bool {
        defer { scoringPrecision = .float32 }
        var usual: [[Double]] = [[], [], [], []]
        var faster = usual
        for (number, batch) in try heldOut.sample(limit: Self.comparedCount).enumerated() {
            let x = try self.batch(batch.flatMap(\.values))
            let condition = try self.condition(batch.map { heldOut.codes($0.item) })
            func figures(_ precision: TrainingConfiguration.Precision) throws -> [[Double]] {
                scoringPrecision = precision
                var noise = Generator(seed: seed, Stream.fittedScores.rawValue, UInt64(number), 1)
                let statistics = try statistics(of: x, condition: condition, drawCount: 2) {
                    _, draws in noise.normals(draws.count * noiseCount)
                }
                return [
                    statistics.reconstruction, statistics.klDivergence,
                    statistics.meanSquaredError, statistics.importanceBound,
                ]
            }
            for (index, values) in try figures(.float32).enumerated() { usual[index] += values }
            for (index, values) in try figures(precision).enumerated() { faster[index] += values }
        }
        guard usual[0].count >= 8 else { return false }
        return zip(usual, faster).allSatisfy { usual, faster in
            let squares = zip(usual, faster).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            let error = (squares / Double(usual.count)).squareRoot()
            return error <= Self.toleratedShare * usual.meanAndDeviation.deviation
        }
    }
}
