extension Image {
    /// Returns the image as planes of intensities, alpha composited away.
    ///
    /// Grey becomes RGB by copying; RGB becomes grey as Rec. 601 luma, `0.299 R + 0.587 G +
    /// 0.114 B`, on the codes as they are (no gamma is undone).
    ///
    /// - Parameters:
    ///   - channelCount: 1 for grey or 3 for RGB
    ///   - background: what shows through transparent pixels, in `0...1`, in every channel
    /// - Returns: `[C, H, W]`, in `0...1`
    /// - Complexity: one pass over the samples
    public func planarSamples(channelCount: Int, background: Float = 0) -> [Float] {
        precondition(channelCount == 1 || channelCount == 3, "1 or 3 channels, not \(channelCount)")
        let pixelCount = width * height
        let stored = self.channelCount
        let colorCount = hasAlpha ? stored - 1 : stored
        let hasAlpha = self.hasAlpha
        let scale = Float(maximumCode)
        return [Float](unsafeUninitializedCapacity: channelCount * pixelCount) { out, count in
            samples.withUnsafeBufferPointer { codes in
                for pixel in 0..<pixelCount {
                    let at = pixel * stored
                    // Division, not a product with the inverse: code / maximum is then the nearest
                    // Float, and the largest code exactly 1.
                    let alpha = hasAlpha ? Float(codes[at + colorCount]) / scale : 1
                    func color(_ channel: Int) -> Float {
                        let value = Float(codes[at + channel]) / scale
                        return hasAlpha ? value * alpha + background * (1 - alpha) : value
                    }
                    switch (colorCount, channelCount) {
                    case (1, 1):
                        out[pixel] = color(0)
                    case (1, _):
                        let grey = color(0)
                        for channel in 0..<3 { out[channel * pixelCount + pixel] = grey }
                    case (_, 1):
                        let luma = 0.299 * color(0) + 0.587 * color(1) + 0.114 * color(2)
                        out[pixel] = min(luma, 1)
                    default:
                        for channel in 0..<3 { out[channel * pixelCount + pixel] = color(channel) }
                    }
                }
            }
            count = channelCount * pixelCount
        }
    }

    /// Creates an image from planes of intensities.
    ///
    /// Values are clamped to `0...1` and rounded to the nearest code; NaN becomes 0.
    ///
    /// - Parameters:
    ///   - planar: `[C, H, W]`, where `0...1` is black to full intensity
    ///   - channelCount: 1 for grey, 2 for grey + alpha, 3 for RGB, 4 for RGBA
    ///   - height: rows
    ///   - width: columns
    ///   - bitDepth: 1, 2, 4, 8 or 16
    public init(planar: [Float], channelCount: Int, height: Int, width: Int, bitDepth: Int) {
        precondition(
            planar.count == channelCount * height * width,
            "\(planar.count) values for \(channelCount)×\(height)×\(width)")
        precondition([1, 2, 4, 8, 16].contains(bitDepth), "bit depth is 1, 2, 4, 8 or 16")
        let pixelCount = height * width
        let scale = Float((1 << bitDepth) - 1)
        let samples = [UInt16](unsafeUninitializedCapacity: planar.count) { out, count in
            planar.withUnsafeBufferPointer { values in
                for channel in 0..<channelCount {
                    for pixel in 0..<pixelCount {
                        let value = values[channel * pixelCount + pixel]
                        // Both comparisons are false for NaN.
                        let clamped: Float = value > 0 ? (value < 1 ? value : 1) : 0
                        out[pixel * channelCount + channel] = UInt16(clamped * scale + 0.5)
                    }
                }
            }
            count = planar.count
        }
        self.init(
            width: width, height: height, channelCount: channelCount, bitDepth: bitDepth,
            samples: samples)
    }
}
