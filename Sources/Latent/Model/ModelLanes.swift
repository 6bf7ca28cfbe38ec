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

    /// What runs functions on the threads, each with the model as it is now.
    ///
    /// Its scale is the one number that is not among the weights they share.
    func threads() -> Lanes<VAE> {
        for copy in copies { copy.sharedLogScale = model.sharedLogScale }
        return lanes
    }
}
