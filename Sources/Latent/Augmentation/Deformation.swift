import Torch

/// How an item becomes another of its class: where its values move to, how much brighter or darker
/// they get, and how much thicker or thinner what is bright.
///
/// 96 numbers, all 0 for no change: an affine map, 2×3, times 0.3; a displacement of 2×6×6 times 0.1,
/// first to the right, then down, bicubic between its nodes; a field of gains of 4×4 and one gain of
/// all, each times 0.3; and a stroke, whose tanh says how far to go to the largest value around, or
/// where it is negative to the smallest. Places are in -1…1 over height and width, so that the same
/// numbers deform a map of any size, and all its channels alike.
struct Deformation: Sendable, Equatable {
    /// Numbers of a deformation.
    static let numberCount = 96
    /// Numbers that are its displacement.
    static let displacementRange = 6..<78

    /// The numbers.
    let numbers: [Float]

    /// How a kind of maps is deformed.
    struct Manner: Sendable {
        /// Rows and columns around a value that its stroke reaches.
        var strokeRows = 1, strokeColumns = 1
        /// Whether what comes in from outside is the edge drawn out, and not 0.
        var repeatsEdges: Bool
    }

    /// A deformed map of the same size, values in 0…1.
    ///
    /// - Parameters:
    ///   - map: values in 0…1
    ///   - manner: as fits the kind of map
    /// - Returns: the new map
    /// - Throws: `TorchError` when there is no memory for it
    /// - Complexity: memory of about eight maps
    func applied(to map: FeatureMap, manner: Manner) throws -> FeatureMap {
        try changed(map) { numbers, x in
            try Self.apply(numbers, to: x, manner: manner)
        }
    }

    /// The same map with its values moved and not changed otherwise.
    func moved(_ map: FeatureMap, repeatsEdges: Bool) throws -> FeatureMap {
        try changed(map) { numbers, x in
            try Self.move(x, by: numbers, repeatsEdges: repeatsEdges)
        }
    }

    private func changed(
        _ map: FeatureMap, _ change: (Tensor, Tensor) throws -> Tensor
    ) throws -> FeatureMap {
        let numbers = try Tensor(numbers, shape: [1, Self.numberCount])
        let shape = [1, map.channelCount, map.height, map.width]
        let values = try Tensor.withBorrowed(map.values, shape: shape) { x in
            try withoutGradients { try change(numbers, x).floats() }
        }
        return FeatureMap(
            channelCount: map.channelCount, height: map.height, width: map.width, values: values)
    }

    /// By how much values lie to the left of where they are read, in the middle of all places, in -1…1.
    var meanDisplacementX: Float {
        let nodes = numbers[Self.displacementRange].prefix(36)
        return 0.3 * numbers[2] + 0.1 * nodes.reduce(0, +) / Float(nodes.count)
    }
}

// MARK: Batches

extension Deformation {
    /// Deforms maps [B, C, H, W] by numbers [B, 96]; gradients flow to both.
    static func apply(
        _ numbers: Tensor, to x: Tensor, manner: Manner
    ) throws(TorchError) -> Tensor {
        let (count, height, width) = (x.shape[0], x.shape[2], x.shape[3])
        let moved = try move(x, by: numbers, repeatsEdges: manner.repeatsEdges)

        func around(_ y: Tensor) throws(TorchError) -> Tensor {
            try dilated(y, rows: manner.strokeRows, columns: manner.strokeColumns)
        }
        let stroke = try numbers.narrowed(axis: 1, start: 95, length: 1).tanh()
            .reshaped([count, 1, 1, 1])
        // Of a stroke of 0 there is a gradient on one side, so that it can be learned from there.
        let thicker = try (around(moved) - moved) * stroke.relu()
        let thinner = try (around(-moved) + moved) * (stroke - stroke.relu())

        let field = try resizedBilinear(
            numbers.narrowed(axis: 1, start: 78, length: 16).reshaped([count, 1, 4, 4]),
            height: height, width: width)
        let whole = try numbers.narrowed(axis: 1, start: 94, length: 1).reshaped([count, 1, 1, 1])
        let gain = try ((field * 0.3 + 1) * (whole * 0.3 + 1)).clamped(to: 0.1...3)
        return try ((moved + thicker + thinner) * gain).clamped(to: 0...1)
    }

    /// Moves the values of maps [B, C, H, W] by numbers [B, 96], bilinear.
    static func move(
        _ x: Tensor, by numbers: Tensor, repeatsEdges: Bool
    ) throws(TorchError) -> Tensor {
        let (count, height, width) = (x.shape[0], x.shape[2], x.shape[3])
        let identity = try Tensor([1, 0, 0, 0, 1, 0], shape: [1, 2, 3]).to(x.device)
        let affine = try numbers.narrowed(axis: 1, start: 0, length: 6).reshaped([count, 2, 3])
        let displacement = try resizedBicubic(
            numbers.narrowed(
                axis: 1, start: displacementRange.lowerBound, length: displacementRange.count
            ).reshaped([count, 2, 6, 6]), height: height, width: width)
        let grid =
            try affineGrid(affine * 0.3 + identity, height: height, width: width)
            + displacement.transposed(1, 2).transposed(2, 3) * 0.1
        return try gridSampled(x, at: grid, repeatsEdges: repeatsEdges)
    }
}
