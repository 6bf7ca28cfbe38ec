import Media
import Torch

/// Images as they are: values 0…1 at the file's own depth, grey or RGB.
public struct PixelView: Codable, Sendable, Equatable {
    /// 1 for grey, 3 for RGB.
    public var channelCount: Int
    /// What shows through transparent pixels, 0…1.
    public var background: Float = 0
    /// Whether values become 0 or 1, at one half, after resizing.
    public var binarises = false

    /// Makes a view.
    public init(channelCount: Int) { self.channelCount = channelCount }

    /// Checks what a model file may have got wrong.
    func validate() throws(LatentError) {
        guard channelCount == 1 || channelCount == 3, (0...1).contains(background) else {
            throw LatentError(
                .model,
                "pixels in \(channelCount) channels over \(background); expected 1 or 3, over 0 to 1"
            )
        }
    }

    /// The features of an image, and what was converted.
    public func features(of image: Image) -> (FeatureMap, SourceDescription) {
        var source = SourceDescription()
        source.height = image.height
        source.width = image.width
        source.bitDepth = image.bitDepth
        source.channelCount = image.channelCount
        let colours = image.channelCount <= 2 ? 1 : 3
        if colours > channelCount { source.conversions.append("colour to grey") }
        if colours < channelCount { source.conversions.append("grey to RGB") }
        if image.channelCount % 2 == 0 {
            source.conversions.append("transparency over \(background == 0 ? "black" : "grey")")
        }
        let map = FeatureMap(
            channelCount: channelCount, height: image.height, width: image.width,
            values: image.planarSamples(channelCount: channelCount, background: background))
        return (map, source)
    }

    /// The image of a feature map.
    public func image(of map: FeatureMap, bitDepth: Int) -> Image {
        Image(
            planar: map.values, channelCount: map.channelCount, height: map.height,
            width: map.width, bitDepth: bitDepth)
    }
}

extension FeatureMap {
    /// The map at another size, by antialiased bilinear interpolation.
    public func resized(height newHeight: Int, width newWidth: Int) throws -> FeatureMap {
        guard newHeight != height || newWidth != width else { return self }
        let resized = try Tensor.withBorrowed(values, shape: [1, channelCount, height, width]) {
            try resizedBilinear($0, height: newHeight, width: newWidth).floats()
        }
        return FeatureMap(
            channelCount: channelCount, height: newHeight, width: newWidth, values: resized)
    }
}
