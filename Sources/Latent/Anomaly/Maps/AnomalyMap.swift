/// Where in a file the anomaly is.
public struct AnomalyMap: Sendable {
    /// v of each pixel, or of each band and frame, [1, H, W], in units of ``MapCalibration``.
    public let values: FeatureMap
    /// Of a recording, seconds from frame to frame; nil of an image.
    public let frameSeconds: Double?
    /// Of a recording its length in seconds, of an image 0.
    public let duration: Double
    /// SHA-256 of the file.
    public let hash: ContentHash

    /// Of a recording, the mean of v over the bands of each frame, [W]; nil of an image.
    public var curve: [Float]? {
        guard frameSeconds != nil else { return nil }
        var sums = [Float](repeating: 0, count: values.width)
        for row in 0..<values.height {
            for frame in sums.indices { sums[frame] += values.values[row * values.width + frame] }
        }
        return sums.map { $0 / Float(values.height) }
    }
}
