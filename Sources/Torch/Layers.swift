/// y = x Wᵀ + b, initialised as PyTorch does: both uniform within 1/√inputs.
public struct Linear {
    /// [outputs, inputs].
    public let weight: Tensor
    /// [outputs].
    public let bias: Tensor

    /// Makes a layer and registers `weight` and `bias` at the scope.
    public init(_ scope: Parameters.Scope, inputs: Int, outputs: Int) throws(TorchError) {
        let bound = 1 / Float(inputs).squareRoot()
        weight = try scope.uniform("weight", shape: [outputs, inputs], bound: bound)
        bias = try scope.uniform("bias", shape: [outputs], bound: bound)
    }

    /// [B, inputs] → [B, outputs].
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try linear(x, weight: weight, bias: bias)
    }
}

/// A 4×4 convolution of stride 2 and padding 1, which halves height and width.
public struct HalvingConvolution {
    /// [outputs, inputs, 4, 4].
    public let weight: Tensor
    /// [outputs].
    public let bias: Tensor

    /// Makes a layer and registers `weight` and `bias` at the scope.
    public init(_ scope: Parameters.Scope, inputs: Int, outputs: Int) throws(TorchError) {
        let bound = 1 / Float(inputs * 16).squareRoot()
        weight = try scope.uniform("weight", shape: [outputs, inputs, 4, 4], bound: bound)
        bias = try scope.uniform("bias", shape: [outputs], bound: bound)
    }

    /// [B, inputs, H, W] → [B, outputs, H/2, W/2].
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try conv2d(x, weight: weight, bias: bias, stride: 2, padding: 1)
    }
}

/// A transposed 4×4 convolution of stride 2 and padding 1, which doubles height and width.
public struct DoublingConvolution {
    /// [inputs, outputs, 4, 4].
    public let weight: Tensor
    /// [outputs].
    public let bias: Tensor

    /// Makes a layer and registers `weight` and `bias` at the scope.
    public init(_ scope: Parameters.Scope, inputs: Int, outputs: Int) throws(TorchError) {
        // PyTorch's fan-in of a transposed convolution is outputs · kernel area.
        let bound = 1 / Float(outputs * 16).squareRoot()
        weight = try scope.uniform("weight", shape: [inputs, outputs, 4, 4], bound: bound)
        bias = try scope.uniform("bias", shape: [outputs], bound: bound)
    }

    /// [B, inputs, H, W] → [B, outputs, 2H, 2W].
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try convTranspose2d(x, weight: weight, bias: bias, stride: 2, padding: 1)
    }
}
