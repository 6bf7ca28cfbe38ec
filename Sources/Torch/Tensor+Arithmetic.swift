import CTorch

extension Tensor {
    /// Elementwise sum, with broadcasting.
    public static func + (a: Tensor, b: Tensor) throws(TorchError) -> Tensor {
        try make { LTTensorAdd(a.handle, b.handle, $0) }
    }

    /// Elementwise difference, with broadcasting.
    public static func - (a: Tensor, b: Tensor) throws(TorchError) -> Tensor {
        try make { LTTensorSubtract(a.handle, b.handle, $0) }
    }

    /// Elementwise product, with broadcasting.
    public static func * (a: Tensor, b: Tensor) throws(TorchError) -> Tensor {
        try make { LTTensorMultiply(a.handle, b.handle, $0) }
    }

    /// Elementwise quotient, with broadcasting.
    public static func / (a: Tensor, b: Tensor) throws(TorchError) -> Tensor {
        try make { LTTensorDivide(a.handle, b.handle, $0) }
    }

    /// Adds a number to each element.
    public static func + (a: Tensor, b: Double) throws(TorchError) -> Tensor {
        try make { LTTensorAffine(a.handle, 1, b, $0) }
    }

    /// Subtracts a number from each element.
    public static func - (a: Tensor, b: Double) throws(TorchError) -> Tensor {
        try make { LTTensorAffine(a.handle, 1, -b, $0) }
    }

    /// Multiplies each element by a number.
    public static func * (a: Tensor, b: Double) throws(TorchError) -> Tensor {
        try make { LTTensorAffine(a.handle, b, 0, $0) }
    }

    /// Changes the sign of each element.
    public static prefix func - (a: Tensor) throws(TorchError) -> Tensor { try a * -1 }

    /// The larger of two elements, with broadcasting.
    public func maximum(_ other: Tensor) throws(TorchError) -> Tensor {
        try Self.make { LTTensorMaximum(handle, other.handle, $0) }
    }

    /// e to the power of each element.
    public func exp() throws(TorchError) -> Tensor { try Self.make { LTTensorExp(handle, $0) } }

    /// The natural logarithm of each element.
    public func log() throws(TorchError) -> Tensor { try Self.make { LTTensorLog(handle, $0) } }

    /// exp(x) - 1 of each element, exact for small ones.
    public func expMinusOne() throws(TorchError) -> Tensor {
        try Self.make { LTTensorExpm1(handle, $0) }
    }

    /// log(1 + x) of each element, exact for small ones.
    public func logOnePlus() throws(TorchError) -> Tensor {
        try Self.make { LTTensorLog1p(handle, $0) }
    }

    /// The same numbers as float32, after products of bfloat16.
    public func widened() throws(TorchError) -> Tensor {
        try Self.make { LTTensorWiden(handle, $0) }
    }

    /// Each element to the nearest integer, halves to the even one; no gradient flows.
    public func rounded() throws(TorchError) -> Tensor {
        try Self.make { LTTensorRound(handle, $0) }
    }

    /// The hyperbolic tangent of each element.
    public func tanh() throws(TorchError) -> Tensor { try Self.make { LTTensorTanh(handle, $0) } }

    /// The square root of each element.
    public func squareRoot() throws(TorchError) -> Tensor {
        try Self.make { LTTensorSqrt(handle, $0) }
    }

    /// The square of each element.
    public func squared() throws(TorchError) -> Tensor {
        try Self.make { LTTensorSquare(handle, $0) }
    }

    /// The magnitude of each element, also of complex ones.
    public func magnitude() throws(TorchError) -> Tensor {
        try Self.make { LTTensorAbs(handle, $0) }
    }

    /// The logistic function of each element.
    public func sigmoid() throws(TorchError) -> Tensor {
        try Self.make { LTTensorSigmoid(handle, $0) }
    }

    /// log(1 + exp(x)) of each element.
    public func softplus() throws(TorchError) -> Tensor {
        try Self.make { LTTensorSoftplus(handle, $0) }
    }

    /// max(x, 0) of each element.
    public func relu() throws(TorchError) -> Tensor { try Self.make { LTTensorReLU(handle, $0) } }

    /// x · sigmoid(x) of each element.
    public func silu() throws(TorchError) -> Tensor { try Self.make { LTTensorSiLU(handle, $0) } }

    /// Each element, moved into the range.
    public func clamped(to range: ClosedRange<Double>) throws(TorchError) -> Tensor {
        try Self.make { LTTensorClamp(handle, range.lowerBound, range.upperBound, $0) }
    }

    /// The matrix product.
    public func matmul(_ other: Tensor) throws(TorchError) -> Tensor {
        try Self.make { LTMatMul(handle, other.handle, $0) }
    }
}
