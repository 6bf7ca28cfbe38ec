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

    init(_ group: ProcessGroup) {
        self.init(
            rank: group.rank, size: group.size, sum: { try group.sum($0) },
            sumGradients: { try group.sumGradients(of: $0) })
    }

    private init(
        rank: Int, size: Int, sum: @escaping ([Double]) throws -> [Double],
        sumGradients: @escaping ([Tensor]) throws -> Void
    ) {
        self.rank = rank
        self.size = size
        self.sum = sum
        self.sumGradients = sumGradients
    }

    static var alone: Team { Team(rank: 0, size: 1, sum: { $0 }, sumGradients: { _ in }) }
}
