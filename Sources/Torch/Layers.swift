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

    /// [B, inputs] → [B, outputs]; where `rectified`, with ReLU.
    public func callAsFunction(
        _ x: Tensor, rectified: Bool = false
    ) throws(TorchError) -> Tensor {
        try linear(x, weight: weight, bias: bias, rectified: rectified)
    }
}

/// A 3×3 convolution that keeps height and width.
public struct Convolution {
    /// [outputs, inputs, 3, 3].
    public let weight: Tensor
    /// [outputs].
    public let bias: Tensor

    /// Makes a layer and registers `weight` and `bias` at the scope; a `gain` on the initial values of
    /// 0 makes one that begins by adding nothing.
    public init(
        _ scope: Parameters.Scope, inputs: Int, outputs: Int, gain: Float = 1
    ) throws(TorchError) {
        let bound = gain / Float(inputs * 9).squareRoot()
        weight = try scope.uniform("weight", shape: [outputs, inputs, 3, 3], bound: bound)
        bias = try scope.uniform("bias", shape: [outputs], bound: bound)
    }

    /// [B, inputs, H, W] → [B, outputs, H, W].
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try conv2d(x, weight: weight, bias: bias, stride: 1, padding: 1)
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

    /// [B, inputs, H, W] → [B, outputs, H/2, W/2]; where `rectified`, with ReLU.
    public func callAsFunction(
        _ x: Tensor, rectified: Bool = false
    ) throws(TorchError) -> Tensor {
        try conv2d(x, weight: weight, bias: bias, stride: 2, padding: 1, rectified: rectified)
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

    /// [B, inputs, H, W] → [B, outputs, 2H, 2W]; where `rectified`, with ReLU.
    public func callAsFunction(
        _ x: Tensor, rectified: Bool = false
    ) throws(TorchError) -> Tensor {
        try convTranspose2d(
            x, weight: weight, bias: bias, stride: 2, padding: 1, rectified: rectified)
    }
}

/// A convolution of width 4, stride 2 and padding 1 along the last axis, which it halves.
public struct HalvingConvolution1D {
    /// [outputs, inputs, 4].
    public let weight: Tensor
    /// [outputs].
    public let bias: Tensor

    /// Makes a layer and registers `weight` and `bias` at the scope.
    public init(_ scope: Parameters.Scope, inputs: Int, outputs: Int) throws(TorchError) {
        let bound = 1 / Float(inputs * 4).squareRoot()
        weight = try scope.uniform("weight", shape: [outputs, inputs, 4], bound: bound)
        bias = try scope.uniform("bias", shape: [outputs], bound: bound)
    }

    /// [B, inputs, T] → [B, outputs, T/2].
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try conv1d(x, weight: weight, bias: bias, stride: 2, padding: 1)
    }
}

/// A transposed convolution of width 4, stride 2 and padding 1, which doubles the last axis.
public struct DoublingConvolution1D {
    /// [inputs, outputs, 4].
    public let weight: Tensor
    /// [outputs].
    public let bias: Tensor

    /// Makes a layer and registers `weight` and `bias` at the scope.
    public init(_ scope: Parameters.Scope, inputs: Int, outputs: Int) throws(TorchError) {
        let bound = 1 / Float(outputs * 4).squareRoot()
        weight = try scope.uniform("weight", shape: [inputs, outputs, 4], bound: bound)
        bias = try scope.uniform("bias", shape: [outputs], bound: bound)
    }

    /// [B, inputs, T] → [B, outputs, 2T].
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try convTranspose1d(x, weight: weight, bias: bias, stride: 2, padding: 1)
    }
}
