import Torch

/// What a model's deformations are of; in the record of its file.
public struct DeformationConfiguration: Codable, Sendable, Equatable {
    /// Channels of a map.
    public var channelCount: Int
    /// Rows of the map that the network reads; deformed is the file itself.
    public var height: Int
    /// Columns of that map.
    public var width: Int
    /// Steps of training.
    public var stepCount: Int
    /// Files that it was fitted to pairs of.
    public var itemCount: Int

    /// Places of the map that the network reads, at most: 64×64.
    private static let areaLimit = 4096.0

    /// What fits windows of a kind: a map of the same form.
    init(windowing: Windowing, channelCount: Int, stepCount: Int, itemCount: Int) {
        let area = Double(windowing.height * windowing.width)
        let scale = min(1, (Self.areaLimit / area).squareRoot())
        self.channelCount = channelCount
        height = max(1, Int(Double(windowing.height) * scale))
        width = max(1, Int(Double(windowing.width) * scale))
        self.stepCount = stepCount
        self.itemCount = itemCount
    }

    /// Values of a map.
    var elementCount: Int { channelCount * height * width }

    func validate() throws(LatentError) {
        guard (1...3).contains(channelCount), height >= 1, width >= 1,
            height.multipliedReportingOverflow(by: width).partialValue <= Int(Self.areaLimit),
            max(height, width) <= Int(Self.areaLimit)
        else {
            throw LatentError(
                .model, "deformations of maps of \(channelCount)×\(height)×\(width)",
                hint: "train the model again")
        }
    }
}

/// How items of a class differ: a Gaussian of the numbers of a ``Deformation`` around none at all.
///
/// Its covariance is that of what a ``DeformationNetwork`` finds between pairs of real items, and half of
/// every covariance of two different numbers is left out: few pairs show which numbers change together only
/// roughly, and one deformation of each pair is too few to draw from. New items are real ones, deformed, and
/// as sharp as these.
///
/// Source: the idea of Hauberg et al., "Dreaming more data: class-dependent distributions over
/// diffeomorphisms for learned data augmentation", AISTATS 2016. Differs: one distribution for all classes,
/// deformations that an autoencoder finds, gains and strokes beside displacements, and the shrinkage.
struct DeformationDistribution: Sendable {
    let configuration: DeformationConfiguration
    /// Lower triangular L of the covariance L·Lᵀ, [96, 96].
    let factor: [Float]

    /// Deformations are drawn so much weaker than they were seen, where some take an item out of its class.
    private static let strength: Float = 0.75
    /// The share of each covariance of two different numbers that is left out.
    private static let shrinkage = 0.5
    /// The largest number in a factor: what training finds is around 1, and of much larger ones places could
    /// not be worked out.
    private static let largestNumber: Float = 1000
    /// The least variance of a number, so that there is a factor: a deformation that nobody sees.
    private static let leastVariance = 1e-8
    /// Pairs whose deformations are looked at at once, and how often.
    private static let (chunkSize, chunkCount) = (100, 40)

    private static let path = "deform.factor"

    /// The deformation of a draw: 0.75 · spread · L·ε with ε from N(0, 1).
    ///
    /// - Parameters:
    ///   - spread: factor on its strength
    ///   - generator: gives ε
    /// - Returns: the deformation
    func draw(spread: Double, using generator: inout Generator) -> Deformation {
        let count = Deformation.numberCount
        let noise = generator.normals(count)
        let strength = Self.strength * Float(spread)
        return Deformation(
            numbers: (0..<count).map { row in
                strength
                    * zip(factor[row * count...row * count + row], noise).reduce(0) {
                        $0 + $1.0 * $1.1
                    }
            })
    }
}

// MARK: - Fitting

extension DeformationDistribution {
    /// Learns deformations between the items of pairs, as ``DeformationNetwork`` says, and how they spread.
    ///
    /// - Parameters:
    ///   - pairs: at least one class
    ///   - configuration: its `stepCount` is what is done
    ///   - isImage: whether maps are images
    ///   - seed: decides everything
    ///   - onStep: called before each step with the number of those done; may throw
    /// - Returns: the distribution; nil where the network's numbers overflowed, or are too large
    /// - Throws: what `onStep` throws, and `TorchError` when memory runs out
    static func fitted(
        to pairs: DeformationPairs, configuration: DeformationConfiguration, isImage: Bool,
        seed: UInt64, onStep: (Int) throws -> Void
    ) throws -> DeformationDistribution? {
        let network = try DeformationNetwork.fitted(
            to: pairs, configuration: configuration, isImage: isImage, seed: seed, onStep: onStep)
        return try network.flatMap { try Self(of: $0, between: pairs, seed: seed) }
    }

    /// How deformations spread that a network finds: z ~ q(z|a, b) of 4,000 pairs at random.
    init?(of network: DeformationNetwork, between pairs: DeformationPairs, seed: UInt64) throws {
        let configuration = network.configuration
        let (count, latentCount) = (Self.chunkSize, network.latentCount)
        let chunks = try withoutGradients {
            try (0..<Self.chunkCount).map { chunk in
                // Training has drawn from the numbers of its steps.
                var generator = Generator(
                    seed: seed, Stream.deformation.rawValue,
                    UInt64(configuration.stepCount + chunk))
                let posterior = try network.posterior(
                    of: Tensor(
                        pairs.draw(count, using: &generator),
                        shape: [
                            count, 2 * configuration.channelCount, configuration.height,
                            configuration.width,
                        ]))
                let noise = try Tensor(
                    generator.normals(count * latentCount), shape: [count, latentCount])
                return try network.numbers(
                    of: posterior.mean + (posterior.logVariance * 0.5).exp() * noise)
            }
        }
        try self.init(configuration, numbers: Tensor.concatenated(chunks, axis: 0))
    }

    /// The Gaussian of numbers [N, 96]; nil where they are too large to deform by.
    init?(_ configuration: DeformationConfiguration, numbers: Tensor) throws {
        let identity = try Tensor.identity(Deformation.numberCount, device: .cpu)
        // A pair is drawn in both orders, so that deformations are around none.
        let covariance =
            try numbers.transposed(0, 1).matmul(numbers) * (1 / Double(numbers.shape[0]))
        guard try covariance.isFinite() else { return nil }
        let variances = try covariance * identity
        let factor = try
            (covariance * (1 - Self.shrinkage) + variances * Self.shrinkage
            + identity * Self.leastVariance)
            .cholesky().floats()
        guard factor.allSatisfy({ abs($0) <= Self.largestNumber }) else { return nil }
        self.configuration = configuration
        self.factor = factor
    }
}

// MARK: - The model file

extension DeformationDistribution {
    /// Whether a path of a model file is of deformations, not of the network that scores.
    static func owns(_ path: String) -> Bool { path.hasPrefix("deform.") }

    /// The factor under its path in a model file.
    func tensors() -> [String: HostTensor] {
        [
            Self.path: HostTensor(
                shape: [Deformation.numberCount, Deformation.numberCount], values: factor)
        ]
    }

    /// Takes the factor of a model file; nil where it has none.
    ///
    /// - Throws: ``LatentError`` with code `.model` when the file's parts do not fit together
    init?(_ file: ModelFile) throws(LatentError) {
        guard let configuration = file.record.deformation else { return nil }
        guard configuration.channelCount == file.record.configuration.channelCount else {
            throw LatentError(
                .model, "the deformations are of other channels than the model",
                hint: "train the model again")
        }
        let count = Deformation.numberCount
        guard let factor = file.weights[Self.path], factor.shape == [count, count],
            factor.values.enumerated().allSatisfy({ place, value in
                place % count <= place / count ? abs(value) <= Self.largestNumber : value == 0
            })
        else {
            throw LatentError(
                .model, "the numbers of the deformations do not fit together",
                hint: "train the model again")
        }
        self.configuration = configuration
        self.factor = factor.values
    }
}
