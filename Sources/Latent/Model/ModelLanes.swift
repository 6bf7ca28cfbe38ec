import Torch

/// A model on several threads, each of which takes its part of the work through the whole network by
/// serial operations; the weights are in memory once, and nobody writes to them meanwhile.
///
/// With one thread it is the calling one, whose operations are divided among threads.
struct ModelLanes {
    /// The model whose weights all have.
    let model: VAE
    private let lanes: Lanes<VAE>

    /// Starts as many threads as operations have, but not more than `limit`; one where the model is on another
    /// device.
    init(of model: VAE, limit: Int = .max) throws {
        let isOnProcessor = model.device == .cpu
        try self.init(of: model, size: isOnProcessor ? min(limit, Runtime.threadCount) : 1)
    }

    /// Starts threads.
    init(of model: VAE, size: Int) throws {
        self.model = model
        lanes = Lanes(size > 1 ? try (0..<size).map { _ in try model.sharing() } : [model])
    }

    /// Number of threads.
    var size: Int { lanes.workers.count }

    /// The models that the threads have besides ``model``; none where one thread does it all.
    var copies: [VAE] { size > 1 ? lanes.workers : [] }

    /// Applies a function to jobs and the model of the thread that is free; results are in the order of the
    /// jobs.
    ///
    /// - Throws: what the function threw first
    func map<Job: Sendable, Result: Sendable>(
        _ jobs: [Job], _ apply: @escaping @Sendable (VAE, Job) throws -> Result
    ) throws -> [Result] {
        takeScale()
        return try lanes.map(jobs, apply)
    }

    /// Applies a function once on each thread, all at the same time.
    ///
    /// - Parameter apply: gets the number of its part, the model, and what sums a number over all parts, as often
    ///   in each
    /// - Returns: the results of the parts
    /// - Throws: what the function threw first
    func together<Result: Sendable>(
        _ apply:
            @escaping @Sendable (
                _ part: Int, VAE, _ sum: @escaping (Double) throws -> Double
            ) throws -> Result
    ) throws -> [Result] {
        takeScale()
        return try lanes.together(apply)
    }

    /// The one number of a model that is not among its weights.
    private func takeScale() {
        for copy in copies { copy.sharedLogScale = model.sharedLogScale }
    }
}
