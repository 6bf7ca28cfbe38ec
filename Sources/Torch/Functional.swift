import CTorch

/// x Wᵀ + b: [B, I], [O, I], [O] → [B, O]; where `rectified`, the larger of that and 0.
public func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, rectified: Bool = false
) throws(TorchError) -> Tensor {
    try Tensor.make { LTLinear(x.handle, weight.handle, bias?.handle, rectified, $0) }
}

/// A one-dimensional convolution: [N, I, S], [O, I, K], [O] → [N, O, S'].
public func conv1d(
    _ x: Tensor, weight: Tensor, bias: Tensor? = nil, stride: Int, padding: Int = 0
) throws(TorchError) -> Tensor {
    try Tensor.make {
        LTConv1d(x.handle, weight.handle, bias?.handle, Int64(stride), Int64(padding), $0)
    }
}

/// The transpose of ``conv1d(_:weight:bias:stride:padding:)``: [N, I, S], [I, O, K], [O].
public func convTranspose1d(
    _ x: Tensor, weight: Tensor, bias: Tensor?, stride: Int, padding: Int
) throws(TorchError) -> Tensor {
    try Tensor.make {
        LTConvTranspose1d(x.handle, weight.handle, bias?.handle, Int64(stride), Int64(padding), $0)
    }
}

/// A two-dimensional convolution: [N, I, H, W], [O, I, K, K], [O] → [N, O, H', W']; where
/// `rectified`, the larger of that and 0.
public func conv2d(
    _ x: Tensor, weight: Tensor, bias: Tensor?, stride: Int, padding: Int, rectified: Bool = false
) throws(TorchError) -> Tensor {
    try Tensor.make {
        LTConv2d(
            x.handle, weight.handle, bias?.handle, Int64(stride), Int64(padding), rectified, $0)
    }
}

/// The transpose of ``conv2d(_:weight:bias:stride:padding:)``: [N, I, H, W], [I, O, K, K], [O].
public func convTranspose2d(
    _ x: Tensor, weight: Tensor, bias: Tensor?, stride: Int, padding: Int, rectified: Bool = false
) throws(TorchError) -> Tensor {
    try Tensor.make {
        LTConvTranspose2d(
            x.handle, weight.handle, bias?.handle, Int64(stride), Int64(padding), rectified, $0)
    }
}

/// -log p(x) of a Bernoulli with the given logits, element by element, in nats; stable for large
/// logits.
public func binaryCrossEntropy(logits: Tensor, target: Tensor) throws(TorchError) -> Tensor {
    try Tensor.make { LTBinaryCrossEntropyWithLogits(logits.handle, target.handle, $0) }
}

/// Antialiased bilinear resize of [N, C, H, W], pixel centres at half integers (as Pillow's).
public func resizedBilinear(_ x: Tensor, height: Int, width: Int) throws(TorchError) -> Tensor {
    try Tensor.make { LTResizeBilinear(x.handle, Int64(height), Int64(width), $0) }
}

/// The one-sided short-time Fourier transform of a signal [S] → complex [F, T].
///
/// Frames are centred on multiples of the hop, the ends reflected; or, where `isCentred` is false,
/// begin at multiples of the hop.
public func shortTimeFourier(
    _ signal: Tensor, fftLength: Int, hopLength: Int, window: Tensor, isCentred: Bool = true
) throws(TorchError) -> Tensor {
    try Tensor.make {
        LTShortTimeFourier(
            signal.handle, Int64(fftLength), Int64(hopLength), window.handle, isCentred, $0)
    }
}

/// The least-squares inverse of ``shortTimeFourier(_:fftLength:hopLength:window:)``: [F, T] → [S].
public func inverseShortTimeFourier(
    _ spectrum: Tensor, fftLength: Int, hopLength: Int, window: Tensor, length: Int
) throws(TorchError) -> Tensor {
    try Tensor.make {
        LTInverseShortTimeFourier(
            spectrum.handle, Int64(fftLength), Int64(hopLength), window.handle, Int64(length), $0)
    }
}
