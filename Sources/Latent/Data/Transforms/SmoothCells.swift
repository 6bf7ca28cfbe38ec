/// Values blurred and taken at half the size: what is left does not depend on a pixel, or a frame,
/// more or less.
public struct SmoothCells: MapTransform, Codable, Equatable {
    /// Of the blur, in pixels.
    public var blurSigma = 1.0
    /// Pixels of a side that become one.
    public var cellSide = 2

    func cells(of map: FeatureMap) -> FeatureMap {
        map.blurred(sigma: blurSigma).pooled(side: cellSide)
    }

    var limits: [(what: String, value: Double, range: ClosedRange<Double>)] {
        [("a blur", blurSigma, 0...64)]
    }
}
