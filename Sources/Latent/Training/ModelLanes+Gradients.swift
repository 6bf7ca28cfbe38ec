import Torch

/// Gradients of a batch that is divided among threads: those of the batch, but for the rounding of sums.
extension ModelLanes {
    /// Rows that a thread takes, at least: with fewer, reading the weights takes longer than the arithmetic.
    static let smallestShare = 16

    /// Gives the model the gradients of rows, which are a whole batch.
    ///
    /// - Parameters:
    ///   - rows: at least one for each thread
    ///   - loss: what is done with them
    /// - Returns: the figures of the batch
    /// - Throws: what `loss` throws
    func slopes(of rows: StepLoss.Rows, by loss: StepLoss) throws -> StepLoss.Figures {
        let parts = (0..<size).map {
            rows[rows.count * $0 / size..<rows.count * ($0 + 1) / size]
        }
        let batchSize = Double(rows.count)
        let figures = try threads().together { part, model, sum in
            try loss(
                of: parts[part], by: model,
                reducer: BatchReducer(batchSize: batchSize, sum: sum))
        }
        for copy in copies {
            try Tensor.moveGradients(
                of: copy.parameters.tensors(under: loss.phase.paths),
                to: model.parameters.tensors(under: loss.phase.paths))
        }
        return figures.dropFirst().reduce(figures[0], +)
    }
}
