import Foundation

/// What maps of normal files are like: the one scale that all maps of a model have.
///
/// The value v of an element is its squared error in units of what normal files have: per view
/// divided by the mean over normal files, and of several views the mean. So 1 is usual, and two maps
/// can be compared.
public struct MapCalibration: Codable, Sendable, Equatable {
    /// The mean squared error of each view's elements, of held-out normal files.
    public let scales: [Double]
    /// How large elements of normal files are: pixels, or bands and frames.
    public private(set) var elements = Exceedance()
    /// Of recordings, how large their frames are: means over the bands.
    public private(set) var frames = Exceedance()
    /// Of recordings, the largest frame of each file, ascending.
    public private(set) var peaks: [Double] = []

    /// Files that are taken, at most: their elements are many.
    public static let fileLimit = 1_000
    /// Files that the scales are of, at most.
    static let scaleFileLimit = 64
    /// The share of normal elements above the middle of the scale.
    public static let middleShare = 0.01

    /// Makes one of no files yet; nil where a scale is no positive number.
    init?(scales: [Double]) {
        guard scales.allSatisfy({ $0.isFinite && $0 > 0 }) else { return nil }
        self.scales = scales
    }

    /// Takes the map of a normal file.
    mutating func add(_ map: AnomalyMap) {
        elements.add(map.values.values)
        guard let curve = map.curve else { return }
        frames.add(curve)
        insert(peaks: [Double(curve.max() ?? 0)])
    }

    /// Adds the files of an older calibration of the same scales.
    mutating func add(_ old: MapCalibration) {
        elements.add(old.elements)
        frames.add(old.frames)
        insert(peaks: old.peaks)
    }

    private mutating func insert(peaks new: [Double]) {
        peaks = Array((peaks + new).sorted().suffix(Recalibration.scoreLimit))
    }

    /// The value in the middle of the scale: 1 % of the elements of normal files are above it.
    ///
    /// Nil for too few elements.
    public var middle: Double? { elements.level(reachedBy: Self.middleShare) }

    /// The place of a value on the scale 0…1: v / (v + ``middle``).
    ///
    /// It is the same for all files, never saturates, and has the middle at one half.
    static func place(of value: Float, middle: Double) -> Float {
        guard value.isFinite else { return 1 }
        return value / (value + Float(middle))
    }

    /// The conformal p-value of a stretch whose largest frame is so large: among new normal
    /// recordings as long as those of calibration, at most that share has one anywhere.
    func pValue(ofPeak peak: Double) -> Double? {
        Calibration.pValue(peak, among: peaks)
    }

    func validate(viewCount: Int) throws(LatentError) {
        guard scales.count == viewCount, scales.allSatisfy({ $0.isFinite && $0 > 0 }),
            peaks.allSatisfy(\.isFinite), peaks.count <= Recalibration.scoreLimit
        else { throw LatentError(.model, "the model's record has maps of other views") }
        try elements.validate()
        try frames.validate()
    }
}
