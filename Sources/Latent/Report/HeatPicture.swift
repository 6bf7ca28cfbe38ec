import Foundation
import Media

/// A map as a heat map and over the picture that it is of.
struct HeatPicture {
    private let map: AnomalyMap
    private let middle: Double

    /// - Parameters:
    ///   - map: of a file
    ///   - middle: the value in the middle of the scale, above 0
    init(_ map: AnomalyMap, middle: Double) {
        self.map = map
        self.middle = middle
    }

    /// The heat map: grey, 16 bits, as large as the image; 65,535 · v / (v + middle).
    var grey: Image {
        Image(
            planar: map.values.values.map { MapCalibration.place(of: $0, middle: middle) },
            channelCount: 1, height: map.values.height, width: map.values.width, bitDepth: 16)
    }

    /// Images with shorter sides are enlarged to at most this, by a whole factor.
    private static let comfortable = 384
    private static let contour = Color(0x00E5FF)
    /// Where colour begins to show on the scale, and where it is strongest.
    private static let shown: (from: Float, to: Float) = (0.25, 0.8)
    private static let strongest: Float = 0.6

    /// The image with heat over it, yellow to red, and a contour around what is above a threshold.
    ///
    /// - Parameters:
    ///   - image: as large as the map
    ///   - threshold: a value of the map
    /// - Returns: RGB, 8 bits
    func overlay(on image: Image, threshold: Double) -> Image {
        let (height, width) = (image.height, image.width)
        let factor = max(1, Self.comfortable / max(height, width))
        let planes = image.planarSamples(channelCount: 3)
        let area = height * width
        let values = map.values.values
        func isAbove(_ x: Int, _ y: Int) -> Bool {
            // False beyond the edges, so that a contour is closed; NaN is above.
            guard (0..<width).contains(x), (0..<height).contains(y) else { return false }
            return !(Double(values[y * width + x]) <= threshold)
        }
        var samples = [UInt16](repeating: 0, count: 3 * area * factor * factor)
        for y in 0..<height {
            for x in 0..<width {
                let pixel = y * width + x
                let below = Color(
                    red: planes[pixel], green: planes[area + pixel], blue: planes[2 * area + pixel])
                let place = MapCalibration.place(of: values[pixel], middle: middle)
                let heat = min(
                    1, max(0, (place - Self.shown.from) / (Self.shown.to - Self.shown.from)))
                let color = Color(red: 1, green: 0.85 * (1 - heat), blue: 0.05).over(
                    below, opacity: heat * Self.strongest)
                let edges =
                    isAbove(x, y)
                    ? (
                        !isAbove(x - 1, y), !isAbove(x + 1, y), !isAbove(x, y - 1),
                        !isAbove(x, y + 1)
                    ) : (false, false, false, false)
                for row in 0..<factor {
                    for column in 0..<factor {
                        let isEdge =
                            edges.0 && column == 0 || edges.1 && column == factor - 1
                            || edges.2 && row == 0 || edges.3 && row == factor - 1
                        let shown = isEdge ? Self.contour : color
                        let start = 3 * ((y * factor + row) * width * factor + x * factor + column)
                        samples[start] = UInt16(shown.red)
                        samples[start + 1] = UInt16(shown.green)
                        samples[start + 2] = UInt16(shown.blue)
                    }
                }
            }
        }
        return Image(
            width: width * factor, height: height * factor, channelCount: 3, bitDepth: 8,
            samples: samples)
    }
}
