import CTorch

/// An n-dimensional array of float32 (a few are int64 indices or complex spectra) on a device.
///
/// Operations return new tensors and throw ``TorchError`` with libtorch's own message when shapes
/// or devices do not fit. Not Sendable: a tensor is made, used and freed by one thread or actor;
/// what crosses is `[Float]`.
public final class Tensor {
    let handle: OpaquePointer

    init(owning handle: OpaquePointer) { self.handle = handle }

    deinit { LTTensorFree(handle) }

    /// Runs a C call that writes a new tensor.
    static func make(
        _ call: (UnsafeMutablePointer<OpaquePointer?>) -> LTStatus
    ) throws(TorchError) -> Tensor {
        var out: OpaquePointer?
        try check(call(&out))
        guard let out else { throw TorchError(.operation, "libtorch gave no tensor") }
        return Tensor(owning: out)
    }

    /// Makes a tensor on the CPU from values in row-major order.
    ///
    /// - Throws: ``TorchError`` with code `.shape` when the count does not fit the shape
    public convenience init(_ values: [Float], shape: [Int]) throws(TorchError) {
        guard shape.reduce(1, *) == values.count else {
            throw TorchError(.shape, "\(values.count) values do not fill shape \(shape)")
        }
        var out: OpaquePointer?
        let extents = shape.map(Int64.init)
        try check(
            values.withUnsafeBufferPointer {
                LTTensorFromFloats($0.baseAddress, extents, extents.count, &out)
            })
        guard let out else { throw TorchError(.operation, "libtorch gave no tensor") }
        self.init(owning: out)
    }

    /// Runs a closure with a tensor on the CPU that borrows the values instead of copying them.
    ///
    /// For large inputs of one operation; neither the tensor nor a view of it may leave the closure.
    ///
    /// - Parameters:
    ///   - values: in row-major order
    ///   - shape: the extent of each axis
    ///   - body: what is done with the tensor
    /// - Returns: what the closure returns
    /// - Throws: what the closure throws; ``TorchError`` when the count does not fit the shape
    public static func withBorrowed<Result>(
        _ values: [Float], shape: [Int], _ body: (Tensor) throws -> Result
    ) throws -> Result {
        guard shape.reduce(1, *) == values.count else {
            throw TorchError(.shape, "\(values.count) values do not fill shape \(shape)")
        }
        let extents = shape.map(Int64.init)
        return try values.withUnsafeBufferPointer { buffer in
            try body(
                try make {
                    LTTensorBorrowFloats(buffer.baseAddress, extents, extents.count, $0)
                })
        }
    }

    /// Makes a tensor filled with one value.
    public static func full(
        _ value: Double, shape: [Int], device: Device = .cpu
    ) throws(TorchError) -> Tensor {
        let extents = shape.map(Int64.init)
        return try make { LTTensorFull(value, extents, extents.count, device.description, $0) }
    }

    /// Makes a tensor of zeros.
    public static func zeros(shape: [Int], device: Device = .cpu) throws(TorchError) -> Tensor {
        try full(0, shape: shape, device: device)
    }

    /// The extent of each axis.
    public var shape: [Int] {
        var extents = [Int64](repeating: 0, count: LTTensorRank(handle))
        LTTensorShape(handle, &extents)
        return extents.map(Int.init)
    }

    /// The number of elements.
    public var count: Int { shape.reduce(1, *) }

    /// Copies all elements to the host, in row-major order.
    public func floats() throws(TorchError) -> [Float] {
        let count = count
        var status: LTStatus = 0
        let values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            status = LTTensorCopyFloats(handle, buffer.baseAddress, count)
            if status != 0 { buffer.initialize(repeating: 0) }
            initialized = count
        }
        try check(status)
        return values
    }

    /// The value of a tensor of one element.
    public func item() throws(TorchError) -> Double {
        var value = 0.0
        try check(LTTensorItem(handle, &value))
        return value
    }

    /// The same tensor on a device; itself where it already is there.
    public func to(_ device: Device) throws(TorchError) -> Tensor {
        try Self.make { LTTensorToDevice(handle, device.description, $0) }
    }

    /// Overwrites the elements with those of a tensor of the same shape, outside of autograd.
    public func assign(_ source: Tensor) throws(TorchError) {
        try check(LTTensorAssign(handle, source.handle))
    }

    /// Whether no element is NaN or infinite.
    public func isFinite() throws(TorchError) -> Bool {
        var finite = false
        try check(LTTensorAllFinite(handle, &finite))
        return finite
    }
}

extension Tensor {
    /// Where the tensor lives.
    public var device: Device {
        get throws(TorchError) {
            var name = [CChar](repeating: 0, count: 32)
            try check(LTTensorDevice(handle, &name, name.count))
            return try Device(
                named: name.withUnsafeBufferPointer {
                    $0.baseAddress.map(String.init(cString:)) ?? "cpu"
                })
        }
    }
}
