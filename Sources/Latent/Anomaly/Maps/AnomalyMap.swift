/// Where in a file the anomaly is.
public struct AnomalyMap: Sendable {
    /// v of each pixel, or of each band and frame, [1, H, W], in units of ``MapCalibration``.
    public let values: FeatureMap
    /// Of a recording, how far each frame is from those of training, in units of
    /// ``MapCalibration``, [W]; nil of an image, and of a model that has nothing to compare with.
    var frameDistances: [Float]?
    /// Of a recording, its stretches, in frames; none of an image.
    var stretches: [Range<Int>] = []
    /// Of each stretch, the part that is the most unlike the rest of it, in frames from the start of the stretch;
    /// nil of one of a few frames, and of a model that cannot say.
    var contrasts: [ContrastingStretch?] = []
    /// Of a recording, seconds from frame to frame; nil of an image.
    public let frameSeconds: Double?
    /// Of a recording its length in seconds, of an image 0.
    public let duration: Double
    /// SHA-256 of the file.
    public let hash: ContentHash

    /// Of a recording, v of each frame, [W]; nil of an image.
    ///
    /// It is the mean of v over the bands, and with distances the geometric mean of that and them.
    public var curve: [Float]? {
        guard frameSeconds != nil else { return nil }
        var sums = [Float](repeating: 0, count: values.width)
        for row in 0..<values.height {
            for frame in sums.indices { sums[frame] += values.values[row * values.width + frame] }
        }
        let means = sums.map { $0 / Float(values.height) }
        guard let frameDistances else { return means }
        return zip(means, frameDistances).map { ($0 * $1).squareRoot() }
    }
}
