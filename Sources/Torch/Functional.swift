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

/// The largest of each 2×2: [N, C, H, W] → [N, C, H/2, W/2]; an odd last row or column is left out.
public func maxPooled2d(_ x: Tensor) throws(TorchError) -> Tensor {
    try Tensor.make { LTMaxPool2d(x.handle, 2, $0) }
}

/// Antialiased bilinear resize of [N, C, H, W], pixel centres at half integers (as Pillow's).
public func resizedBilinear(_ x: Tensor, height: Int, width: Int) throws(TorchError) -> Tensor {
    try Tensor.make { LTResizeBilinear(x.handle, Int64(height), Int64(width), $0) }
}

/// Bicubic resize of [N, C, H, W] without antialiasing, pixel centres at half integers (A = -0.75).
public func resizedBicubic(_ x: Tensor, height: Int, width: Int) throws(TorchError) -> Tensor {
    try Tensor.make { LTResizeBicubic(x.handle, Int64(height), Int64(width), $0) }
}

/// Where affine maps [N, 2, 3] take the pixel centres of an image: [N, H, W, 2].
///
/// Of the last axis the first number is x, to the right, the second y, down; -1 and 1 are the outer
/// edges of the image, whatever its size.
public func affineGrid(_ maps: Tensor, height: Int, width: Int) throws(TorchError) -> Tensor {
    try Tensor.make { LTAffineGrid(maps.handle, Int64(height), Int64(width), $0) }
}

/// Images [N, C, H, W] read at the places of a grid [N, H', W', 2], bilinear: [N, C, H', W'].
///
/// - Parameters:
///   - x: the images
///   - grid: places as of ``affineGrid(_:height:width:)``
///   - repeatsEdges: whether places outside of an image have the value of its edge, and not 0
/// - Returns: what is there
/// - Throws: ``TorchError`` when shapes do not fit
public func gridSampled(
    _ x: Tensor, at grid: Tensor, repeatsEdges: Bool
) throws(TorchError) -> Tensor {
    try Tensor.make { LTGridSample(x.handle, grid.handle, repeatsEdges, $0) }
}

/// The largest value within so many rows and columns of each pixel of [N, C, H, W]; what lies outside
/// counts for nothing.
///
/// - Throws: ``TorchError`` when the shape does not fit
public func dilated(_ x: Tensor, rows: Int, columns: Int) throws(TorchError) -> Tensor {
    try Tensor.make { LTDilate(x.handle, Int64(rows), Int64(columns), $0) }
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

/// A signal whose ``shortTimeFourier(_:fftLength:hopLength:window:isCentred:)`` has about a given magnitude,
/// on the processor: [F, T] → [(T - 1) · hop + 1].
///
/// Source: Perraudin, Balazs & Søndergaard, "A fast Griffin–Lim algorithm", WASPAA 2013.
///
/// - Parameters:
///   - magnitude: [F, T], F = N / 2 + 1
///   - start: complex [F, T], whose phases the search begins with
///   - window: [N]
///   - hopLength: samples from frame to frame
///   - roundCount: inverse and forward transforms
///   - momentum: 0 is Griffin & Lim's original
/// - Returns: the signal that the last round's spectrum, at the magnitude wanted, is nearest to
/// - Throws: ``TorchError`` when the shapes do not fit, or all frames are less than half of one
/// - Complexity: two Fourier transforms of N samples for each frame and round
public func griffinLim(
    magnitude: Tensor, start: Tensor, window: Tensor, hopLength: Int, roundCount: Int,
    momentum: Double
) throws(TorchError) -> Tensor {
    try Tensor.make {
        LTGriffinLim(
            magnitude.handle, start.handle, window.handle, Int64(hopLength), Int64(roundCount),
            momentum, $0)
    }
}
