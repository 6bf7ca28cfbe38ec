import Torch

/// The way from maps to features whose distances mean something, fitted to the real training files.
///
/// Features are shifted by their mean over the training files and divided by one number, after which
/// a training file's squared length is d on average: distances keep their proportions, and the
/// kernel of ``KernelDistance`` is of order one whatever the features.
struct FeatureSpace {
    /// How features are made.
    enum Kind: String, Sendable {
        /// What the last layer of ``SmallClassifier``, trained on the real files, reads: 64 numbers.
        /// What the classes differ by counts; what all files share does not.
        case classifier
        /// Up to 64 principal components of the maps of up to 1,000 training files: how files look.
        case components
    }

    let kind: Kind
    private let features: (SmallMaps) throws -> Features
    private var mean: [Double] = []
    private var scale = 1.0

    static let componentCount = 64
    private static let componentItemLimit = 1_000

    /// Takes the features of a trained classifier.
    ///
    /// - Parameters:
    ///   - classifier: trained on the real training files
    ///   - training: maps of some of these, by which features are shifted and scaled
    /// - Throws: `TorchError` when the classifier cannot be run
    init(classifier: SmallClassifier, training: SmallMaps) throws {
        kind = .classifier
        features = { maps in
            Features(width: SmallClassifier.featureCount, values: try classifier.features(of: maps))
        }
        try fit(training)
    }

    /// Fits principal components to some training files, which are in random order.
    init(componentsOf training: SmallMaps) throws {
        kind = .components
        let count = min(training.count, Self.componentItemLimit)
        let width = training.width
        let fitted = try PrincipalComponents(
            of: HostTensor(shape: [count, width], values: training.rows(0..<count)),
            count: max(1, min(Self.componentCount, count - 1, width)))
        let axes = fitted.components.flatMap { $0.map(Float.init) }
        let axisCount = fitted.components.count
        features = { maps in
            let directions = try Tensor(axes, shape: [axisCount, width]).transposed(0, 1)
            var values: [Float] = []
            for start in stride(from: 0, to: maps.count, by: 1024) {
                let range = start..<min(start + 1024, maps.count)
                values += try Tensor(maps.rows(range), shape: [range.count, width])
                    .matmul(directions).floats()
            }
            return Features(width: axisCount, values: values)
        }
        try fit(training)
    }

    private mutating func fit(_ training: SmallMaps) throws {
        let found = try features(training)
        mean = found.mean
        var squares = 0.0
        for (index, value) in found.values.enumerated() {
            let change = Double(value) - mean[index % found.width]
            squares += change * change
        }
        let variance = squares / Double(max(1, found.values.count))
        // Maps that are all alike have no scale.
        scale = variance > 1e-12 ? variance.squareRoot() : 1
    }

    /// The features of maps.
    func callAsFunction(_ maps: SmallMaps) throws -> Features {
        let found = try features(maps)
        let width = found.width
        return Features(
            width: width,
            values: found.values.enumerated().map { index, value in
                Float((Double(value) - mean[index % width]) / scale)
            })
    }
}
