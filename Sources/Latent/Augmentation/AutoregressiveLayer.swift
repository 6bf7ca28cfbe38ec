import Torch

/// One layer of a ``LatentFlow``: each dimension is shifted and scaled by what the dimensions before it
/// and the labels say.
///
/// u_d = (x_d - μ_d)·exp(-α_d) with μ_d and α_d of x_1 … x_{d-1} and the labels, so that the Jacobian of
/// x → u is triangular and the logarithm of its determinant -Σ α_d. One network gives all of them; masks
/// on its weights leave no way from a dimension to those that are not behind it.
///
/// Source: Germain et al., "MADE: masked autoencoder for distribution estimation", ICML 2015, equations
/// 12 and 13; Papamakarios, Pavlakou & Murray, "Masked
/// autoregressive flow for density estimation", NeurIPS 2017, equations 3 to 5. Differs: units of degree
/// 0 see labels alone, so that the first dimension depends on them too, and the log-scale is bounded as
/// 3·tanh(α/3), so that no draw is scaled by more than e³ in a layer.
struct AutoregressiveLayer {
    private let input, output: Masked
    /// Labels to the first units, and to shifts and log-scales; nil without labels.
    private let labelInput, labelOutput: Tensor?
    /// Places of the dimensions in the order in which they depend on each other.
    private let order: [Int]

    /// The bound of a log-scale.
    private static let logScaleLimit = 3.0

    /// Weights, some of which are taken as 0.
    private struct Masked {
        let weight: Tensor
        let bias: Tensor
        let mask: Tensor

        func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
            try linear(x, weight: weight * mask, bias: bias)
        }
    }

    /// Makes a layer that changes nothing.
    ///
    /// - Parameters:
    ///   - scope: where the weights are registered
    ///   - dimensionCount: D
    ///   - width: H, hidden units
    ///   - labelCount: Y, length of the one-hot labels; 0 for none
    ///   - isReversed: whether the last dimension is the first that the others depend on
    /// - Throws: `TorchError` when there is no memory
    init(
        _ scope: Parameters.Scope, dimensionCount: Int, width: Int, labelCount: Int,
        isReversed: Bool
    ) throws(TorchError) {
        let places = Array(0..<dimensionCount)
        order = isReversed ? places.reversed() : places
        // Of the inputs from 1 in their order; of units how many inputs they may see.
        let degrees = isReversed ? places.map { dimensionCount - $0 } : places.map { $0 + 1 }
        let units = (0..<width).map { $0 % dimensionCount }
        func mask(
            _ rows: [Int], _ columns: [Int], _ isOpen: (Int, Int) -> Bool
        ) throws(TorchError) -> Tensor {
            try Tensor(
                rows.flatMap { row in columns.map { isOpen(row, $0) ? 1 : 0 } },
                shape: [rows.count, columns.count])
        }
        func masked(
            _ name: String, _ mask: Tensor, startsAtZero: Bool = false
        ) throws(TorchError) -> Masked {
            let (outputs, inputs) = (mask.shape[0], mask.shape[1])
            let bound = startsAtZero ? 0 : 1 / Float(inputs).squareRoot()
            return Masked(
                weight: try scope[name].uniform("weight", shape: [outputs, inputs], bound: bound),
                bias: try scope[name].uniform("bias", shape: [outputs], bound: bound), mask: mask)
        }
        input = try masked("input", mask(units, degrees, >=))
        output = try masked("output", mask(degrees + degrees, units, >), startsAtZero: true)
        guard labelCount > 0 else {
            (labelInput, labelOutput) = (nil, nil)
            return
        }
        labelInput = try scope["label_input"].uniform(
            "weight", shape: [width, labelCount], bound: 1 / Float(labelCount).squareRoot())
        labelOutput = try scope["label_output"].uniform(
            "weight", shape: [2 * dimensionCount, labelCount], bound: 0)
    }

    /// Numbers of all weights of a layer.
    static func weightCount(dimensionCount: Int, width: Int, labelCount: Int) -> Int {
        width * (dimensionCount + 1) + 2 * dimensionCount * (width + 1)
            + labelCount * (width + 2 * dimensionCount)
    }

    /// μ and α of each dimension, [N, D] each.
    ///
    /// - Parameters:
    ///   - x: [N, D]
    ///   - labels: one-hot, [N, Y]; nil without
    /// - Returns: shift and log-scale
    /// - Throws: `TorchError` when the shapes do not fit
    private func statistics(
        of x: Tensor, labels: Tensor?
    ) throws(TorchError) -> (shift: Tensor, logScale: Tensor) {
        var first = try input(x)
        if let labels, let labelInput {
            first = try first + linear(labels, weight: labelInput, bias: nil)
        }
        var both = try output(first.relu())
        if let labels, let labelOutput {
            both = try both + linear(labels, weight: labelOutput, bias: nil)
        }
        let count = order.count
        let logScale = try both.narrowed(axis: 1, start: count, length: count)
        return (
            try both.narrowed(axis: 1, start: 0, length: count),
            try (logScale * (1 / Self.logScaleLimit)).tanh() * Self.logScaleLimit
        )
    }

    /// x → u, [N, D], and log |∂u/∂x| of each row, [N].
    func callAsFunction(
        _ x: Tensor, labels: Tensor?
    ) throws(TorchError) -> (u: Tensor, logDeterminant: Tensor) {
        let (shift, logScale) = try statistics(of: x, labels: labels)
        return (try (x - shift) * (-logScale).exp(), try -logScale.sum(axes: [1]))
    }

    /// u → x, [N, D]: one dimension after the other, each from those before it.
    ///
    /// - Complexity: D passes of the network
    func inverse(_ u: Tensor, labels: Tensor?) throws(TorchError) -> Tensor {
        let count = u.shape[0]
        // Dimensions that are not known yet are 0, and no known one looks at them.
        var columns = [Tensor](
            repeating: try Tensor.zeros(shape: [count, 1], device: u.device), count: order.count)
        for place in order {
            let known = try Tensor.concatenated(columns, axis: 1)
            let (shift, logScale) = try statistics(of: known, labels: labels)
            func column(_ tensor: Tensor) throws(TorchError) -> Tensor {
                try tensor.narrowed(axis: 1, start: place, length: 1)
            }
            columns[place] = try column(u) * column(logScale).exp() + column(shift)
        }
        return try Tensor.concatenated(columns, axis: 1)
    }
}
