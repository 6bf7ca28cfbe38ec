import CTorch

extension Tensor {
    /// The same elements in another shape; one extent may be -1, to be worked out.
    public func reshaped(_ shape: [Int]) throws(TorchError) -> Tensor {
        let extents = shape.map(Int64.init)
        return try Self.make { LTTensorReshape(handle, extents, extents.count, $0) }
    }

    /// Two axes exchanged.
    public func transposed(_ first: Int, _ second: Int) throws(TorchError) -> Tensor {
        try Self.make { LTTensorTranspose(handle, Int64(first), Int64(second), $0) }
    }

    /// The part of an axis from `start`, `length` long.
    public func narrowed(axis: Int, start: Int, length: Int) throws(TorchError) -> Tensor {
        try Self.make { LTTensorNarrow(handle, Int64(axis), Int64(start), Int64(length), $0) }
    }

    /// Each entry of an axis `count` times in a row: [B, …] becomes [B·count, …].
    public func repeatedInterleaved(_ count: Int, axis: Int = 0) throws(TorchError) -> Tensor {
        try Self.make { LTTensorRepeatInterleave(handle, Int64(count), Int64(axis), $0) }
    }

    /// Constant padding, given as libtorch does: before and after the last axis first.
    public func padded(_ padding: [Int], value: Double) throws(TorchError) -> Tensor {
        let amounts = padding.map(Int64.init)
        return try Self.make { LTTensorPad(handle, amounts, amounts.count, value, $0) }
    }

    /// Tensors joined along an axis.
    public static func concatenated(
        _ tensors: [Tensor], axis: Int = 0
    ) throws(TorchError) -> Tensor {
        let handles: [OpaquePointer] = tensors.map(\.handle)
        return try withExtendedLifetime(tensors) { () throws(TorchError) -> Tensor in
            try make { LTTensorConcatenate(handles, handles.count, Int64(axis), $0) }
        }
    }
}

extension Tensor {
    /// The sum over axes, or over all of them.
    public func sum(axes: [Int] = [], keepingAxes: Bool = false) throws(TorchError) -> Tensor {
        let list = axes.map(Int64.init)
        return try Self.make { LTTensorSum(handle, list, list.count, keepingAxes, $0) }
    }

    /// The mean over axes, or over all of them.
    public func mean(axes: [Int] = [], keepingAxes: Bool = false) throws(TorchError) -> Tensor {
        let list = axes.map(Int64.init)
        return try Self.make { LTTensorMean(handle, list, list.count, keepingAxes, $0) }
    }

    /// log Σ exp over an axis, without overflow.
    public func logSumExp(axis: Int) throws(TorchError) -> Tensor {
        try Self.make { LTTensorLogSumExp(handle, Int64(axis), $0) }
    }

    /// The sum over all axes but the first: [B, …] becomes [B].
    public func sumPerItem() throws(TorchError) -> Tensor {
        let rank = shape.count
        return rank <= 1 ? self : try sum(axes: Array(1..<rank))
    }
}
