import Torch

/// Threads that divide each batch of a run among them: each takes its rows through the network and back, and
/// the sum of their gradients is that of the batch.
///
/// A step has the same result as on one thread but for the rounding of sums.
struct TrainingLanes {
    private let crew: Crew
    private let lanes: [Lane]

    /// Rows that a thread takes, at least: with fewer, reading the weights takes longer than the arithmetic.
    static let smallestShare = 16

    /// A thread's model.
    ///
    /// Its weights are those of the others, and none of them is written to while the crew
    /// runs; its gradients are touched by its own thread while it does, and by the caller while it does
    /// not. Hence unchecked.
    private struct Lane: @unchecked Sendable {
        let model: VAE
    }

    /// Starts as many threads as operations have; nil where a batch is too small for two.
    init?(of model: VAE, batchSize: Int) throws {
        let size = min(Runtime.threadCount, batchSize / Self.smallestShare)
        guard size > 1 else { return nil }
        try self.init(of: model, size: size)
    }

    /// Starts threads.
    init(of model: VAE, size: Int) throws {
        crew = Crew(size: size)
        lanes = try (0..<size).map { _ in Lane(model: try model.sharing()) }
    }

    /// Number of threads.
    var size: Int { crew.size }

    /// Gives a model the gradients of rows, which are a whole batch.
    ///
    /// - Parameters:
    ///   - rows: at least one for each thread
    ///   - loss: what is done with them
    ///   - model: the one whose weights are shared
    /// - Returns: the figures of the batch
    /// - Throws: what `loss` throws
    func slopes(
        of rows: StepLoss.Rows, by loss: StepLoss, to model: VAE
    ) throws -> [Double] {
        for lane in lanes { lane.model.sharedLogScale = model.sharedLogScale }
        let parts = lanes.indices.map {
            rows[rows.count * $0 / size..<rows.count * ($0 + 1) / size]
        }
        let batchSize = Double(rows.count)
        let figures = try crew.map(Array(lanes.indices)) {
            [crew, lanes] _, place in
            try loss(
                of: parts[place], by: lanes[place].model,
                reducer: BatchReducer(batchSize: batchSize) {
                    try crew.sum([$0], of: place)[0]
                })
        }
        for lane in lanes {
            try Tensor.moveGradients(
                of: lane.model.parameters.tensors(under: loss.phase.paths),
                to: model.parameters.tensors(under: loss.phase.paths))
        }
        return figures.dropFirst().reduce(figures[0].values) { total, part in
            zip(total, part.values).map(+)
        }
    }
}
