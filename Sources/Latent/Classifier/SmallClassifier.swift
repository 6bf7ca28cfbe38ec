import Foundation
import Torch

/// One small fixed network that tells classes of small maps apart, to measure other things with.
///
/// Two 3×3 convolutions of 16 and 32 channels, each with ReLU and the largest of 2×2, a layer of 64
/// features with ReLU, and one number a class; cross-entropy, AdamW (Loshchilov & Hutter 2019), the
/// learning rate falling to 0 along a cosine. Nothing is tuned to the data, and every training takes
/// the same number of steps however many maps there are, so that what differs between two trainings is
/// what they are trained on. Stays on one thread.
final class SmallClassifier {
    /// How it is trained.
    struct Configuration: Sendable {
        /// Steps of training.
        var stepCount = 600
        /// Maps of a step.
        var batchSize = 64
        /// The learning rate of the first step.
        var learningRate = 2e-3
        /// Decay of the weights; see `AdamW`.
        var weightDecay = 1e-2
        /// Equal seeds give equal first weights and draws, whatever is trained on.
        var seed: UInt64 = 0

        /// Makes the defaults.
        init() {}
    }

    /// Maps with their classes, to train on.
    struct Source: Sendable {
        let maps: SmallMaps
        /// The class of each map, from 0.
        let codes: [Int]
        /// The share of each batch that is drawn from here.
        var share = 1.0
    }

    /// Maps without classes, to learn from what the classifier itself is sure of; see
    /// ``train(on:guessing:varying:onStep:)``.
    struct Unlabelled: Sendable {
        let maps: SmallMaps
        /// The least probability of a class that is taken for the map's.
        var leastProbability: Float = 0.95
    }

    /// Varies a batch, [n, C, H, W] in 0…1, such as ``MapAugmentation/varied``.
    typealias Augmentation = (
        _ batch: inout [Float], _ shape: WindowShape, _ generator: inout Generator
    ) -> Void

    /// Width of ``features(of:)``.
    static let featureCount = 64
    private static let widths = (16, 32)

    private let shape: WindowShape
    private let classCount: Int
    private let configuration: Configuration
    private let device: Device
    private let parameters: Parameters
    private let first: Convolution
    private let second: Convolution
    private let hidden: Linear
    private let last: Linear

    /// Makes an untrained classifier.
    init(
        shape: WindowShape, classCount: Int, configuration: Configuration = .init(),
        device: Device = .cpu
    ) throws {
        precondition(shape.height >= 4 && shape.width >= 4, "a map too small to halve twice")
        self.shape = shape
        self.classCount = classCount
        self.configuration = configuration
        self.device = device
        parameters = Parameters(
            device: device,
            generator: Generator(seed: configuration.seed, Stream.classifier.rawValue, 0))
        let root = parameters.root
        let (narrow, wide) = Self.widths
        first = try Convolution(root["first"], inputs: shape.channelCount, outputs: narrow)
        second = try Convolution(root["second"], inputs: narrow, outputs: wide)
        hidden = try Linear(
            root["hidden"], inputs: wide * (shape.height / 4) * (shape.width / 4),
            outputs: Self.featureCount)
        last = try Linear(root["last"], inputs: Self.featureCount, outputs: classCount)
    }

    /// Makes a classifier that another one's training has ended with, such as on another thread.
    convenience init(
        shape: WindowShape, classCount: Int, weights: [String: HostTensor], device: Device = .cpu
    ) throws {
        try self.init(shape: shape, classCount: classCount, device: device)
        try parameters.load(weights)
    }

    // MARK: Training

    /// Trains; each source gives its share of every batch, in random order without repeats until all
    /// of it was seen.
    ///
    /// With maps to guess, half of each batch are such maps, as FixMatch has them (Sohn et al., NeurIPS
    /// 2020): where the classifier, as it is at that step, is sure enough of a map as it is, that class is
    /// what it learns for the map as it is varied; of the others nothing is learned. Differs: the map that is
    /// guessed is not varied even a little, and the weights are no moving average.
    ///
    /// - Parameters:
    ///   - sources: shares that sum to 1; none of them empty
    ///   - unlabelled: maps whose classes are guessed; nil or none of them for no guesses
    ///   - augmentation: what is done to each batch; nil for nothing
    ///   - onStep: called after each step; throwing ends the training
    /// - Throws: ``LatentError`` `.diverged` when the loss is no number, and what `onStep` throws
    func train(
        on sources: [Source], guessing unlabelled: Unlabelled? = nil,
        varying augmentation: Augmentation? = nil, onStep: () throws -> Void = {}
    ) throws {
        let optimizer = try AdamW(
            parameters.tensors(),
            configuration: {
                var knobs = AdamW.Configuration()
                knobs.weightDecay = configuration.weightDecay
                return knobs
            }())
        var generator = Generator(seed: configuration.seed, Stream.classifier.rawValue, 1)
        var orders = sources.map { Order(count: $0.codes.count) }
        var unlabelledOrder = Order(count: unlabelled?.maps.count ?? 0)
        let guessedCount = unlabelledOrder.isEmpty ? 0 : configuration.batchSize / 2
        let labelledCount = configuration.batchSize - guessedCount
        let counts = Self.counts(of: sources.map(\.share), total: labelledCount)
        for step in 0..<configuration.stepCount {
            var values: [Float] = []
            var codes: [Int] = []
            for (index, source) in sources.enumerated() {
                let drawn = orders[index].next(counts[index], using: &generator)
                values += source.maps.values(drawn)
                codes += drawn.map { source.codes[$0] }
            }
            if let unlabelled, guessedCount > 0 {
                let guessed = try guesses(
                    of: unlabelled, at: unlabelledOrder.next(guessedCount, using: &generator))
                values += guessed.values
                codes += guessed.codes
            }
            if let augmentation {
                // Of its own, so that what is drawn does not depend on whether anything is varied.
                var noise = Generator(
                    seed: configuration.seed, Stream.classifier.rawValue, 2, UInt64(step))
                augmentation(&values, shape, &noise)
            }
            // Guesses count by how many there could be, so that few of them weigh little.
            let loss = try crossEntropy(
                of: values, codes,
                weights: codes.indices.map { row in
                    1 / Float(row < labelledCount ? labelledCount : guessedCount)
                })
            guard try loss.item().isFinite else {
                throw LatentError(
                    .diverged, "the small classifier's loss is no number after \(step) steps",
                    hint:
                        "look at the files for strange ones with latent check, or use another --seed"
                )
            }
            try loss.backward()
            let progress = Double(step) / Double(configuration.stepCount)
            try optimizer.step(
                learningRate: configuration.learningRate * (1 + cos(.pi * progress)) / 2)
            try onStep()
        }
    }

    /// Maps at some places that the classifier is sure enough of, one after the other, and their classes.
    private func guesses(
        of unlabelled: Unlabelled, at places: [Int]
    ) throws -> (values: [Float], codes: [Int]) {
        let maps = unlabelled.maps.values(places)
        let found = try withoutGradients { try probabilities(try batch(maps)).floats() }
        var (values, codes): ([Float], [Int]) = ([], [])
        for (row, guess) in likeliest(found).enumerated()
        where guess.probability >= unlabelled.leastProbability {
            values += maps[row * shape.elementCount..<(row + 1) * shape.elementCount]
            codes.append(guess.code)
        }
        return (values, codes)
    }

    /// The weighted sum over maps of -log p(class).
    private func crossEntropy(
        of values: [Float], _ codes: [Int], weights: [Float]
    ) throws -> Tensor {
        let outputs = try logits(try batch(values))
        var targets = [Float](repeating: 0, count: codes.count * classCount)
        for (row, code) in codes.enumerated() { targets[row * classCount + code] = 1 }
        let oneHot = try Tensor(targets, shape: [codes.count, classCount]).to(device)
        let each = try outputs.logSumExp(axis: 1) - (outputs * oneHot).sum(axes: [1])
        return try (each * Tensor(weights, shape: [weights.count]).to(device)).sum()
    }

    /// Whole numbers in proportion to shares, that sum to the total.
    private static func counts(of shares: [Double], total: Int) -> [Int] {
        var counts: [Int] = []
        var sum = 0.0
        for share in shares {
            let before = Int((sum * Double(total)).rounded())
            sum += share
            counts.append(Int((sum * Double(total)).rounded()) - before)
        }
        return counts
    }

    /// Indices in random order, shuffled again when all were given.
    private struct Order {
        private var indices: [Int]
        private var place: Int

        var isEmpty: Bool { indices.isEmpty }

        init(count: Int) {
            indices = Array(0..<count)
            place = count
        }

        mutating func next(_ count: Int, using generator: inout Generator) -> [Int] {
            (0..<count).map { _ in
                if place == indices.count {
                    indices.shuffle(using: &generator)
                    place = 0
                }
                defer { place += 1 }
                return indices[place]
            }
        }
    }

    // MARK: Results

    /// All weights, by path; see ``init(shape:classCount:weights:device:)``.
    var weights: [String: HostTensor] {
        get throws { try parameters.values() }
    }

    /// The probability of each class for each map, [n, K].
    func probabilities(of maps: SmallMaps) throws -> [Float] {
        try inBatches(maps, probabilities)
    }

    /// The likeliest class of each map.
    func classes(of maps: SmallMaps) throws -> [Int] {
        try likeliest(probabilities(of: maps)).map(\.code)
    }

    /// The likeliest class of each row of probabilities.
    private func likeliest(_ probabilities: [Float]) -> [(code: Int, probability: Float)] {
        stride(from: 0, to: probabilities.count, by: classCount).map { start in
            let values = probabilities[start..<start + classCount]
            let most = values.max() ?? 0
            return ((values.firstIndex(of: most) ?? start) - start, most)
        }
    }

    /// What the last layer reads of each map, [n, 64], 0 or more.
    func features(of maps: SmallMaps) throws -> [Float] { try inBatches(maps, features) }

    private func inBatches(_ maps: SmallMaps, _ body: (Tensor) throws -> Tensor) throws -> [Float] {
        var result: [Float] = []
        try withoutGradients {
            for start in stride(from: 0, to: maps.count, by: 256) {
                let values = maps.values(start..<min(start + 256, maps.count))
                result += try body(try batch(values)).floats()
            }
        }
        return result
    }

    // MARK: Network

    /// Around 0, which the first weights are made for.
    private func batch(_ values: [Float]) throws -> Tensor {
        try Tensor(values, shape: [values.count / shape.elementCount] + shape.extents)
            .to(device) * 2 - 1
    }

    private func features(_ x: Tensor) throws -> Tensor {
        // The largest of what is cut at 0 is what is cut of the largest, which are a quarter as many.
        let small = try maxPooled2d(try first(x)).relu()
        let smaller = try maxPooled2d(try second(small)).relu()
        return try hidden(try smaller.reshaped([x.shape[0], -1]), rectified: true)
    }

    private func logits(_ x: Tensor) throws -> Tensor { try last(try features(x)) }

    private func probabilities(_ x: Tensor) throws -> Tensor {
        let outputs = try logits(x)
        return try (outputs - outputs.logSumExp(axis: 1).reshaped([-1, 1])).exp()
    }
}
