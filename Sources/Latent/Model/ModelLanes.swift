import Torch

/// A model on several threads, each of which takes its part of the work through the whole network by
/// serial operations; the weights are in memory once.
///
/// With one thread it is the calling one, whose operations are divided among threads.
struct ModelLanes {
    /// The model whose weights all have.
    let model: VAE
    private let crew: Crew?
    private let lanes: [Lane]

    /// A thread's model.
    ///
    /// Its weights are those of the others, and none of them is written to while the crew
    /// runs; its gradients are touched by its own thread while it does, and by the caller while it does
    /// not. Hence unchecked.
    private struct Lane: @unchecked Sendable {
        let model: VAE
    }

    /// Starts as many threads as operations have, but not more than `limit`; one where the model is on another
    /// device.
    init(of model: VAE, limit: Int = .max) throws {
        let isOnProcessor = model.device == .cpu
        try self.init(of: model, size: isOnProcessor ? min(limit, Runtime.threadCount) : 1)
    }

    /// Starts threads.
    init(of model: VAE, size: Int) throws {
        self.model = model
        crew = size > 1 ? Crew(size: size) : nil
        lanes = size > 1 ? try (0..<size).map { _ in Lane(model: try model.sharing()) } : []
    }

    /// Number of threads.
    var size: Int { crew?.size ?? 1 }

    /// The models that the threads have besides ``model``; none where one thread does it all.
    var copies: [VAE] { lanes.map(\.model) }

    /// Applies a function to jobs and the model of the thread that is free; results are in the order of the
    /// jobs.
    ///
    /// - Throws: what the function threw first
    func map<Job: Sendable, Result: Sendable>(
        _ jobs: [Job], _ apply: @escaping @Sendable (VAE, Job) throws -> Result
    ) throws -> [Result] {
        guard let crew else { return try jobs.map { try apply(model, $0) } }
        takeScale()
        return try crew.map(jobs) { [lanes] lane, job in try apply(lanes[lane].model, job) }
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
        guard let crew else { return [try apply(0, model) { $0 }] }
        takeScale()
        return try crew.map(Array(lanes.indices)) { [lanes] _, part in
            try apply(part, lanes[part].model) { try crew.sum([$0], of: part)[0] }
        }
    }

    /// The one number of a model that is not among its weights.
    private func takeScale() {
        for lane in lanes { lane.model.sharedLogScale = model.sharedLogScale }
    }
}
