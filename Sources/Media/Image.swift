/// What an image may ask for before it is refused.
public struct ImageLimits: Sendable {
    /// The largest width × height, in pixels.
    public var maximumPixelCount = 64 << 20
    /// The largest width or height, in pixels.
    public var maximumSide = 1 << 16
    /// The largest decoded size, in bytes, at two bytes per sample.
    public var maximumByteCount = 160 << 20

    /// Creates the limits that suit most machines.
    public init() {}
}

/// An image as its file has it: integer codes, row by row.
///
/// Palette images are expanded to RGB, or RGBA where the palette has transparency; a colour key
/// (tRNS of a grey or RGB image) becomes an alpha channel. Gamma, colour profiles and orientation
/// are ignored: equal codes in the file are equal codes here.
public struct Image: Sendable, Equatable {
    /// The width, in pixels.
    public let width: Int
    /// The height, in pixels.
    public let height: Int
    /// 1 for grey, 2 for grey + alpha, 3 for RGB, 4 for RGBA; alpha is not premultiplied.
    public let channelCount: Int
    /// The bits per code: 1, 2, 4, 8 or 16, as in the file; 8 for a palette image.
    public let bitDepth: Int
    /// The codes `0...maximumCode`, interleaved `[H, W, C]`.
    public let samples: [UInt16]

    /// The code of full intensity, `2^bitDepth - 1`.
    public var maximumCode: UInt16 { UInt16((1 << bitDepth) - 1) }

    /// Whether the last channel is alpha.
    public var hasAlpha: Bool { channelCount == 2 || channelCount == 4 }

    /// Creates an image from its codes.
    ///
    /// It is a programmer's mistake to give sizes below 1, another number of channels or bits than
    /// named above, a number of samples other than `height · width · channelCount`, or a code above
    /// the maximum.
    ///
    /// - Complexity: one pass over the samples
    public init(width: Int, height: Int, channelCount: Int, bitDepth: Int, samples: [UInt16]) {
        precondition(width > 0 && height > 0, "an image has at least one pixel")
        precondition((1...4).contains(channelCount), "an image has 1 to 4 channels")
        precondition([1, 2, 4, 8, 16].contains(bitDepth), "bit depth is 1, 2, 4, 8 or 16")
        precondition(
            samples.count == width * height * channelCount,
            "\(samples.count) samples for \(height)×\(width)×\(channelCount)")
        let limit = UInt16((1 << bitDepth) - 1)
        precondition(
            bitDepth == 16 || samples.allSatisfy { $0 <= limit }, "a code exceeds the bit depth")
        self.width = width
        self.height = height
        self.channelCount = channelCount
        self.bitDepth = bitDepth
        self.samples = samples
    }
}
