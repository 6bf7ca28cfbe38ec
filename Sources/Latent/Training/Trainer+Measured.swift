import Torch

/// Steps without files, for benchmarks: what is timed is what training does.
extension Trainer {
    /// Makes a trainer whose windows are given to each step.
    package convenience init(
        of model: VAEConfiguration, _ configuration: TrainingConfiguration
    ) throws {
        let none = try WindowSource(
            [],
            preprocessing: Preprocessing(
                view: .pixels(PixelView(channelCount: model.channelCount)),
                windowing: Windowing(
                    mode: .whole, height: model.height, width: model.width, stride: 1)),
            threadCount: 1)
        try self.init(
            Job(
                configuration: configuration, model: model, training: none, heldOut: none,
                plan: "", checkpointPath: "", checkpointInterval: .infinity),
            device: .cpu, observer: Observer(onEvent: { _ in }))
    }

    /// Takes the next step.
    ///
    /// - Parameters:
    ///   - windows: of one batch, [B, C, H, W] in 0…1
    ///   - progress: the share of the steps that are done, 0…1
    /// - Returns: the loss in nats for each window
    /// - Throws: ``NotFinite`` before the weights are touched
    package func step(on windows: [Float], progress: Double) throws -> Double {
        let count = windows.count / job.model.elementCount
        let before = state.sums.loss
        try step(
            .bound,
            batch: WindowBatch(
                values: windows, count: count, wholeCount: count,
                positions: Array(0..<count), items: [Int](repeating: 0, count: count),
                keys: (0..<count).map { (contentWord: 0, window: $0) }),
            progress: progress)
        try average?.update(step: state.step)
        state.step += 1
        return (state.sums.loss - before) / Double(count)
    }
}
