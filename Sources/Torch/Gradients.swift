import CTorch

extension Tensor {
    /// Marks a leaf tensor as one whose gradient is wanted.
    public func requireGradient(_ required: Bool = true) throws(TorchError) {
        try check(LTTensorSetRequiresGradient(handle, required))
    }

    /// Adds the gradient of this scalar to every leaf that it was computed from.
    public func backward() throws(TorchError) { try check(LTTensorBackward(handle)) }

    /// The gradient of a leaf, or nil before the first backward pass.
    public func gradient() throws(TorchError) -> Tensor? {
        var out: OpaquePointer?
        try check(LTTensorGradient(handle, &out))
        return out.map(Tensor.init(owning:))
    }

    /// Forgets the gradient of a leaf.
    public func clearGradient() throws(TorchError) { try check(LTTensorClearGradient(handle)) }

    /// Adds the gradients of leaves, where they have some, to those of as many others, and forgets them.
    public static func moveGradients(
        of leaves: [Tensor], to others: [Tensor]
    ) throws(TorchError) {
        let count = min(leaves.count, others.count)
        try check(LTMoveGradients(leaves.map(\.handle), others.map(\.handle), count))
    }

    /// The same elements, cut off from autograd.
    public func detached() throws(TorchError) -> Tensor {
        try Self.make { LTTensorDetach(handle, $0) }
    }
}

/// Runs a closure whose matrix products and convolutions are of bfloat16 where `isOn`, on this
/// thread and on the CPU; weights, sums and all else stay float32.
///
/// What comes out of a product is a bfloat16 tensor until an operation with float32 widens it.
public func withBFloat16<Result>(_ isOn: Bool, _ body: () throws -> Result) rethrows -> Result {
    let before = LTSetBFloat16(isOn)
    defer { _ = LTSetBFloat16(before) }
    return try body()
}

/// Runs a closure without recording for gradients, on this thread.
///
/// Synchronous on purpose: the mode belongs to the thread, and an `await` may change threads.
public func withoutGradients<Result>(_ body: () throws -> Result) rethrows -> Result {
    let before = LTSetGradientMode(false)
    defer { _ = LTSetGradientMode(before) }
    return try body()
}
