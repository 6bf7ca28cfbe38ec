import Media
import Torch

/// An image as planes of numbers, [C, H, W], 0…1 where it is an image again; alpha is the last.
struct ImagePlanes {
    let height: Int
    let width: Int
    let channelCount: Int
    let bitDepth: Int
    let hasAlpha: Bool
    var values: [Float]

    var pixelCount: Int { height * width }
    /// Numbers that are no alpha; they come first.
    var colorCount: Int { (hasAlpha ? channelCount - 1 : channelCount) * pixelCount }

    init(_ image: Image) {
        (height, width, bitDepth) = (image.height, image.width, image.bitDepth)
        (channelCount, hasAlpha) = (image.channelCount, image.hasAlpha)
        let (pixels, channels) = (image.width * image.height, image.channelCount)
        let scale = Float(image.maximumCode)
        values = [Float](unsafeUninitializedCapacity: image.samples.count) { out, count in
            for pixel in 0..<pixels {
                for channel in 0..<channels {
                    out[channel * pixels + pixel] =
                        Float(image.samples[pixel * channels + channel]) / scale
                }
            }
            count = pixels * channels
        }
    }

    /// The nearest image; what is outside of 0…1 becomes 0 or 1.
    ///
    /// A depth below 8 bits, which files are not written in, becomes 8.
    var image: Image {
        Image(
            planar: values, channelCount: channelCount, height: height, width: width,
            bitDepth: max(8, bitDepth))
    }

    /// Changes intensities; alpha stays.
    ///
    /// - Returns: what was done; nothing for a transform of another kind
    mutating func change(
        _ transform: Transform, using generator: inout Generator
    ) -> [AppliedTransform] {
        let drawn = transform.draw(using: &generator)
        let amount = Float(drawn)
        switch transform.kind {
        case .brightness:
            for index in 0..<colorCount { values[index] += amount }
        case .contrast:
            // About the mean, so that the brightness stays.
            let mean = Float(
                values[..<colorCount].reduce(0) { $0 + Double($1) } / Double(colorCount))
            for index in 0..<colorCount {
                values[index] = mean + (values[index] - mean) * (1 + amount)
            }
        case .noise:
            // A plane at a time, for the sake of memory.
            for start in stride(from: 0, to: colorCount, by: pixelCount) {
                let noise = generator.normals(pixelCount)
                for index in 0..<pixelCount { values[start + index] += amount * noise[index] }
            }
        default:
            return []
        }
        let key = transform.kind == .noise ? "deviation" : "change"
        return [AppliedTransform(transform.kind, [key: .number(drawn)])]
    }

    /// With colours times alpha, or back: colours of transparent pixels must not shine through where
    /// neighbours are mixed.
    func multipliedByAlpha(inverse: Bool = false) -> ImagePlanes {
        guard hasAlpha else { return self }
        var result = self
        for index in 0..<colorCount {
            let alpha = values[colorCount + index % pixelCount]
            if inverse {
                result.values[index] = alpha > 0 ? values[index] / alpha : 0
            } else {
                result.values[index] = values[index] * alpha
            }
        }
        return result
    }
}
