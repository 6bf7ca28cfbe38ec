import Foundation

/// Local contrast normalisation of logarithms: how far a pixel lies from those near it, in units of
/// how far pixels lie from those near them around here.
///
/// Light, shadow and strength of texture go, flaws in it stay. The mean of a window goes too.
/// c = log(x + 0.05) at half the size; (c - G₁ c) / (G₂ |c - G₁ c| + 0.02), G₁ and G₂ Gaussian.
///
/// Source: Jarrett et al., "What is the best multi-stage architecture for object recognition?",
/// ICCV 2009, section 2 (subtractive and divisive normalisation). Differs: of logarithms, with a mean
/// of magnitudes in the denominator, and a wider neighbourhood there.
public struct LocalContrast: MapTransform, Codable, Equatable {
    /// Pixels of a side that become one.
    public var cellSide = 2
    /// Of G₁, in cells.
    public var innerSigma = 4.0
    /// Of G₂, in cells.
    public var outerSigma = 16.0

    private static let darkest: Float = 0.05
    private static let smallestContrast: Float = 0.02
    /// The usual magnitude of a value; pixels are of that order.
    private static let scale: Float = 0.25

    func cells(of map: FeatureMap) -> FeatureMap {
        let logs = map.mapValues { log(max(0, $0) + Self.darkest) }.pooled(side: cellSide)
        let near = logs.blurred(sigma: innerSigma)
        let difference = FeatureMap(
            channelCount: logs.channelCount, height: logs.height, width: logs.width,
            values: zip(logs.values, near.values).map { $0 - $1 })
        let usual = difference.mapValues(abs).blurred(sigma: outerSigma)
        return FeatureMap(
            channelCount: logs.channelCount, height: logs.height, width: logs.width,
            values: zip(difference.values, usual.values).map {
                Self.scale * $0 / ($1 + Self.smallestContrast)
            })
    }

    func finish(_ window: inout [Float]) {
        let mean = window.reduce(0, +) / Float(window.count)
        for index in window.indices { window[index] -= mean }
    }

    var limits: [(what: String, value: Double, range: ClosedRange<Double>)] {
        [("an inner blur", innerSigma, 0...64), ("an outer blur", outerSigma, 0...256)]
    }
}
