import Torch

/// Workers on threads of their own, whose operations are serial; or one on the calling thread, whose
/// operations are divided among threads.
///
/// A worker has tensors. While the crew runs, one thread at a time runs it: that of its number, or
/// the one that took its part; the caller touches it only when it does not. Hence unchecked.
struct Lanes<Worker>: @unchecked Sendable {
    /// One for each thread.
    let workers: [Worker]
    private let crew: Crew?

    /// Starts as many threads as there are workers; none for one.
    init(_ workers: [Worker]) {
        self.workers = workers
        crew = workers.count > 1 ? Crew(size: workers.count) : nil
    }

    /// Applies a function to jobs and the worker of the thread that is free; results are in the order of the
    /// jobs.
    ///
    /// - Throws: what the function threw first
    func map<Job: Sendable, Result: Sendable>(
        _ jobs: [Job], _ apply: @escaping @Sendable (Worker, Job) throws -> Result
    ) throws -> [Result] {
        guard let crew else { return try jobs.map { try apply(workers[0], $0) } }
        return try crew.map(jobs) { lane, job in try apply(workers[lane], job) }
    }

    /// Applies a function once to each worker, all at the same time.
    ///
    /// - Parameter apply: gets the number of its part, its worker, and what sums a number over all parts, as often
    ///   in each
    /// - Returns: the results of the parts
    /// - Throws: what the function threw first
    func together<Result: Sendable>(
        _ apply:
            @escaping @Sendable (
                _ part: Int, Worker, _ sum: @escaping (Double) throws -> Double
            ) throws -> Result
    ) throws -> [Result] {
        guard let crew else { return [try apply(0, workers[0]) { $0 }] }
        return try crew.map(Array(workers.indices)) { _, part in
            try apply(part, workers[part]) { try crew.sum([$0], of: part)[0] }
        }
    }
}
