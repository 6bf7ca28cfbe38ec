import Torch

/// The processes that train one model together; one alone in most runs.
///
/// Each takes its rows of every batch; sums make losses and gradients those of the whole batch.
struct Team {
    let rank: Int
    let size: Int
    /// Adds numbers up over all processes.
    let sum: ([Double]) throws -> [Double]
    /// Adds the gradients of parameters up over all processes, in place.
    let sumGradients: ([Tensor]) throws -> Void

    static var alone: Team { Team(rank: 0, size: 1, sum: { $0 }, sumGradients: { _ in }) }
}
