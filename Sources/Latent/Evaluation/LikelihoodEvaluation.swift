import Foundation
import Torch

/// log p(x) of one file, as far as a model tells.
public struct ItemLikelihood: Sendable {
    /// The importance-weighted bound of log p(x) in nats, the mean over the file's windows.
    public let logLikelihood: Double
    /// Number of windows.
    public let windowCount: Int
}

/// Estimates log p(x) of files by the importance-weighted bound
/// log (1/L) Σ p(x, z) / q(z|x), which rises to log p(x) with L.
///
/// Source: Burda, Grosse & Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, section 3;
/// the practice of L = 5,000 is that of Tomczak & Welling 2018.
public final class LikelihoodEvaluation {
    /// How it is done.
    public struct Configuration: Sendable {
        /// L, draws of z for each window.
        public var drawCount = 5_000
        /// The source of the draws.
        public var seed: UInt64 = 0
        /// Threads that read files ahead.
        public var readerCount = 2
        /// Labels that all files are taken to have, by attribute, instead of their own.
        public var assignments: [String: String] = [:]

        /// Makes the defaults.
        public init() {}
    }

    /// The mean over files.
    public struct Summary: Sendable {
        /// Files that were evaluated.
        public let itemCount: Int
        /// Mean of the files' bounds, in nats.
        public let meanNats: Double
        /// Its standard error over files; nil for one file.
        public let standardErrorNats: Double?
    }

    private let model: VAE
    private let configuration: Configuration
    private let preprocessing: Preprocessing
    /// Whether a Bernoulli model of grey values is evaluated on black and white ones.
    public let binarises: Bool

    /// Makes an evaluation; the model stays on the calling thread.
    ///
    /// - Throws: ``LatentError`` `.usage` for a model whose objective gives no likelihood
    public init(
        file: ModelFile, model: VAE, configuration: Configuration
    ) throws(LatentError) {
        let objective = file.record.configuration.objective
        guard objective.kind.objective(objective).boundsLikelihood else {
            throw LatentError(
                .usage,
                "a model trained with --objective \(objective.kind.rawValue) has no "
                    + "likelihood of x: it has no prior",
                hint: "train with --objective vae, iwae or vamp")
        }
        self.model = model
        self.configuration = configuration
        var preprocessing = file.record.preprocessing
        var binarises = false
        // p(x|z) of a Bernoulli is of 0 and 1; cross-entropy of grey values bounds nothing.
        if file.record.configuration.likelihood == .bernoulli,
            case .pixels(var view) = preprocessing.view, !view.binarises
        {
            view.binarises = true
            preprocessing.view = .pixels(view)
            binarises = true
        }
        self.preprocessing = preprocessing
        self.binarises = binarises
    }

    /// Bits for each value of a window.
    ///
    /// A density of 8-bit values in 0…1 is turned into probabilities of their steps by the width of
    /// a step, 1/256, as is customary; recordings are left as densities.
    public func bitsPerDimension(_ nats: Double) -> Double {
        let bits = -nats / log(2) / Double(model.configuration.elementCount)
        let isDensity = !model.configuration.likelihood.family.isDiscrete
        let isPixels = preprocessing.domain == .image && preprocessing.transform == nil
        return bits + (isDensity && isPixels ? 8 : 0)
    }

    /// Evaluates items and hands each result on in their order.
    ///
    /// - Parameters:
    ///   - items: consumed lazily, on reader threads
    ///   - emit: called once for each item, on the calling thread; throwing ends the run
    /// - Returns: the mean over the items that could be read
    /// - Throws: what `emit` throws, and `TorchError` when the model cannot be run
    /// - Complexity: L decoder passes for each window: 5,000 draws of one file take as long as scoring
    ///   300 files
    public func callAsFunction(
        _ items: some Sequence<Item>,
        emit: (Item, Result<ItemLikelihood, ItemFailed>) throws -> Void
    ) throws -> Summary {
        let reader = try ItemReader(
            preprocessings: [preprocessing], conditioning: model.configuration.conditioning,
            assignments: configuration.assignments
        )(items, threadCount: configuration.readerCount, capacity: 16)
        var count = 0.0
        var mean = 0.0
        var squares = 0.0
        while let entry = reader.next() {
            switch entry.content {
            case .success(let content):
                let likelihood = try evaluate(content.views[0], codes: content.codes)
                // Welford's update.
                count += 1
                let change = likelihood.logLikelihood - mean
                mean += change / count
                squares += change * (likelihood.logLikelihood - mean)
                try emit(entry.item, .success(likelihood))
            case .failure(let failed):
                try emit(entry.item, .failure(failed))
            }
        }
        return Summary(
            itemCount: Int(count), meanNats: mean,
            standardErrorNats: count > 1 ? (squares / (count - 1) / count).squareRoot() : nil)
    }

    private func evaluate(_ windows: ItemWindows, codes: [Int]) throws -> ItemLikelihood {
        var total = 0.0
        for window in 0..<windows.count {
            let statistics = try model.statistics(
                of: model.batch(windows.values(window..<window + 1)),
                condition: model.condition([codes]), drawCount: configuration.drawCount
            ) { _, draws in noise(windows.hash, window: window, draws: draws) }
            total += statistics.importanceBound[0]
        }
        return ItemLikelihood(
            logLikelihood: total / Double(windows.count), windowCount: windows.count)
    }

    /// The noise of some draws of a window, [draws, D].
    private func noise(_ hash: ContentHash, window: Int, draws: Range<Int>) -> [Float] {
        var noise: [Float] = []
        noise.reserveCapacity(draws.count * model.noiseCount)
        for draw in draws {
            var generator = Generator(
                seed: configuration.seed, Stream.evaluation.rawValue, hash.word, UInt64(window),
                UInt64(draw))
            noise += generator.normals(model.noiseCount)
        }
        return noise
    }
}
