import Foundation
import Torch

/// Maps that deformations are learned from: those of classes of two or more.
struct DeformationPairs {
    /// [C, H, W] of each item, one after the other.
    let values: [Float]
    /// Items of each class, as places in `values`.
    let classes: [[Int]]
    /// The class of each item.
    private let classOfItem: [Int]
    private let elementCount: Int

    /// Numbers that are kept in memory, at most: 64 MB.
    private static let valueLimit = 16 << 20

    /// Takes maps of one size and their labels; those of classes of one are left out.
    init(maps: [[Float]], labels: [String?]) {
        let groups: [[Int]] = Dictionary(grouping: maps.indices) { labels[$0] }.values
            .filter { $0.count >= 2 }.sorted { $0[0] < $1[0] }
        var values: [Float] = []
        var classes: [[Int]] = []
        var classOfItem: [Int] = []
        for group in groups {
            classes.append(Array(classOfItem.count..<classOfItem.count + group.count))
            for index in group {
                values += maps[index]
                classOfItem.append(classes.count - 1)
            }
        }
        self.values = values
        self.classes = classes
        self.classOfItem = classOfItem
        elementCount = maps.first?.count ?? 0
    }

    /// Reads the items of a source that are one window, evenly spread where they are too many.
    ///
    /// - Throws: ``LatentError`` when files cannot be read any more
    init(of source: WindowSource, configuration: DeformationConfiguration) throws {
        let windowing = source.preprocessing.windowing
        var maps: [[Float]] = []
        var labels: [String?] = []
        try source.forEachBatch(ofSample: Self.valueLimit / configuration.elementCount) { batch in
            for window in batch where source.windowCount(source.items[window.item]) == 1 {
                maps.append(
                    try FeatureMap(
                        channelCount: configuration.channelCount, height: windowing.height,
                        width: windowing.width, values: window.values
                    ).resized(height: configuration.height, width: configuration.width).values)
                labels.append(source.items[window.item].item.label)
            }
        }
        self.init(maps: maps, labels: labels)
    }

    /// Number of items.
    var itemCount: Int { classOfItem.count }

    /// Whether there is a pair at all among the items of a source, by their sizes alone.
    static func exist(in source: WindowSource) -> Bool {
        guard source.preprocessing.isInvertible, source.preprocessing.windowing.mode != .grid
        else { return false }
        var seen: Set<String?> = []
        return source.items.contains {
            source.windowCount($0) == 1 && !seen.insert($0.item.label).inserted
        }
    }

    /// Pairs that are drawn at random, two different items of one class each: [count, 2C·H·W].
    func draw(_ count: Int, using generator: inout Generator) -> [Float] {
        var pairs: [Float] = []
        pairs.reserveCapacity(2 * count * elementCount)
        for _ in 0..<count {
            let first = Int(generator.next() % UInt64(itemCount))
            let mates = classes[classOfItem[first]]
            let place = Int(generator.next() % UInt64(mates.count - 1))
            // The first itself is stepped over.
            let second = mates[place] < first ? mates[place] : mates[place + 1]
            for item in [first, second] {
                pairs += values[item * elementCount..<(item + 1) * elementCount]
            }
        }
        return pairs
    }
}

extension DeformationNetwork {
    /// Steps of training, where no other number is asked for.
    static let defaultStepCount = 700

    private static let batchSize = 64
    private static let learningRate = 1.5e-3
    private static let weightDecay = 1e-4
    private static let gradientClip = 20.0
    private static let warmupShare = 0.2
    private static let fieldPenalty = 0.05

    /// Learns to make the second item of each pair of the first.
    ///
    /// Minimises 2·√D·ln(e + 1e-5) + w·KL + 0.05·|d|², with D values of a map, e the mean squared error of
    /// a batch, w that rises from 0 to 1 over a fifth of the steps, and d the numbers of the displacement;
    /// of KL and |d|², means over the batch. Both items of a pair are moved alike at random, as
    /// ``sharedWarp(count:isImage:using:)`` says.
    ///
    /// - Parameters:
    ///   - pairs: at least one class
    ///   - configuration: its `stepCount` is what is done
    ///   - isImage: whether maps are images
    ///   - seed: decides everything
    ///   - onStep: called before each step with the number of those done; may throw
    /// - Returns: the network; nil where its numbers overflowed
    /// - Throws: what `onStep` throws
    /// - Complexity: about 30 ms a step for 28×28, on one core
    static func fitted(
        to pairs: DeformationPairs, configuration: DeformationConfiguration, isImage: Bool,
        seed: UInt64, onStep: (Int) throws -> Void
    ) throws -> DeformationNetwork? {
        let network = try DeformationNetwork(configuration, seed: seed)
        var adam = AdamW.Configuration()
        adam.weightDecay = weightDecay
        let optimizer = try AdamW(network.parameters.tensors(), configuration: adam)
        for step in 0..<configuration.stepCount {
            try onStep(step)
            var generator = Generator(seed: seed, Stream.deformation.rawValue, UInt64(step))
            let progress = Double(step) / Double(configuration.stepCount)
            try network.loss(
                of: pairs, isImage: isImage, klWeight: min(1, progress / warmupShare),
                using: &generator
            ).backward()
            _ = try optimizer.clipGradientNorm(maximum: gradientClip)
            try optimizer.step(learningRate: learningRate * 0.5 * (1 + cos(.pi * progress)))
        }
        for tensor in network.parameters.tensors() where try !tensor.isFinite() { return nil }
        return network
    }

    private func loss(
        of pairs: DeformationPairs, isImage: Bool, klWeight: Double,
        using generator: inout Generator
    ) throws -> Tensor {
        let count = Self.batchSize
        let (channels, height, width) = (
            configuration.channelCount, configuration.height, configuration.width
        )
        let batch = try Tensor(
            pairs.draw(count, using: &generator), shape: [count, 2 * channels, height, width])
        let manner = Deformation.Manner(repeatsEdges: isImage)
        let moved = try gridSampled(
            batch,
            at: affineGrid(
                sharedWarp(count: count, isImage: isImage, using: &generator), height: height,
                width: width), repeatsEdges: manner.repeatsEdges)
        let posterior = try posterior(of: moved)
        let noise = try Tensor(
            generator.normals(count * latentCount), shape: [count, latentCount])
        let z = try posterior.mean + (posterior.logVariance * 0.5).exp() * noise
        let numbers = try numbers(of: z)
        let made = try Deformation.apply(
            numbers, to: moved.narrowed(axis: 1, start: 0, length: channels), manner: manner)
        let target = try moved.narrowed(axis: 1, start: channels, length: channels)
        let error = try (made - target).squared().mean()
        let divergence =
            try (posterior.mean.squared() + posterior.logVariance.exp() - posterior.logVariance - 1)
            .sumPerItem() * 0.5
        let field = try numbers.narrowed(
            axis: 1, start: Deformation.displacementRange.lowerBound,
            length: Deformation.displacementRange.count
        ).squared().sumPerItem()
        let scale = 2 * Double(configuration.elementCount).squareRoot()
        return try (error + 1e-5).log() * scale
            + (divergence * klWeight + field * Self.fieldPenalty).mean()
    }

    /// Affine maps [B, 2, 3] of grids, one for both items of a pair: images are turned by up to 14
    /// degrees, scaled by up to 15 % and shifted by up to 7.5 % of a side, recordings shifted by up to
    /// an eighth of the frames.
    private func sharedWarp(
        count: Int, isImage: Bool, using generator: inout Generator
    ) throws(TorchError) -> Tensor {
        func signed(_ limit: Double, _ generator: inout Generator) -> Double {
            limit * (2 * Double(generator.uniform()) - 1)
        }
        let aspect = Double(configuration.height) / Double(configuration.width)
        var maps: [Float] = []
        for _ in 0..<count {
            var map: [Double] = [1, 0, signed(0.25, &generator), 0, 1, 0]
            if isImage {
                let angle = signed(14 * .pi / 180, &generator)
                let size = 1 + signed(0.15, &generator)
                let (sine, cosine) = (sin(angle) * size, cos(angle) * size)
                map = [
                    cosine, -sine * aspect, signed(0.15, &generator), sine / aspect, cosine,
                    signed(0.15, &generator),
                ]
            }
            maps += map.map { Float($0) }
        }
        return try Tensor(maps, shape: [count, 2, 3])
    }
}
