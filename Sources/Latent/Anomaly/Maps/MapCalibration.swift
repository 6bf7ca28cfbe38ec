import Foundation

/// What maps of normal files are like: the one scale that all maps of a model have.
///
/// The value v of an element is its squared error in units of what normal files have: per view
/// divided by the mean over normal files, and of several views the mean. So 1 is usual, and two maps
/// can be compared. A frame of a recording has the mean of its elements, and where the model keeps
/// frames of training the geometric mean of that and the distance to those, in such units too.
public struct MapCalibration: Codable, Sendable, Equatable {
    /// The mean squared error of each view's elements, of held-out normal files.
    public let scales: [Double]
    /// Of recordings, the mean distance of each view's frames to those of training, of held-out normal
    /// files; nil where there are none to compare with.
    public let frameScales: [Double]?
    /// How large elements of normal files are: pixels, or bands and frames.
    public private(set) var elements = Exceedance()
    /// Of recordings, how large their frames are.
    public private(set) var frames = Exceedance()
    /// Of recordings, how strongly runs of frames stand out; nil of images, and in models of before.
    public private(set) var runs: NormalRuns?
    /// Of recordings, how unlike the rest of them a stretch of each is; nil where the view says nothing of
    /// it, and in models of before.
    private(set) var contrasts: NormalEvidence?
    /// Of recordings, frames of the longest of the stretches that runs and contrasts are of; nil of images,
    /// and in models of before, which were calibrated with whole recordings.
    private(set) var stretchFrames: Int?

    /// How a new recording is cut.
    var stretches: Stretches { Stretches(count: stretchFrames) }

    /// Files that are taken, at most: their elements are many.
    public static let fileLimit = 1_000
    /// Files that the scales are of, at most.
    static let scaleFileLimit = 64
    /// The share of normal elements above the middle of the scale.
    public static let middleShare = 0.01

    /// Makes one of no files yet; nil where a scale is no positive number.
    ///
    /// - Parameters:
    ///   - scales: of each view
    ///   - frameScales: of recordings, of each view
    ///   - runs: of recordings, the usual level of their frames
    ///   - hasContrasts: whether their maps have contrasting stretches
    init?(
        scales: [Double], frameScales: [Double]? = nil, runs: NormalRuns? = nil,
        hasContrasts: Bool = false
    ) {
        guard (scales + (frameScales ?? [])).allSatisfy({ $0.isFinite && $0 > 0 }) else {
            return nil
        }
        self.scales = scales
        self.frameScales = frameScales
        self.runs = runs?.emptied
        contrasts = hasContrasts ? NormalEvidence() : nil
    }

    /// Takes the map of a normal file.
    mutating func add(_ map: AnomalyMap) {
        elements.add(map.values.values)
        guard let curve = map.curve else { return }
        frames.add(curve)
        for (stretch, contrast) in zip(map.stretches, map.contrasts) {
            runs?.add(curve[stretch])
            contrasts?.add(contrast?.nats ?? 0)
            stretchFrames = max(stretchFrames ?? 0, stretch.count)
        }
    }

    /// Adds the files of an older calibration of the same scales.
    mutating func add(_ old: MapCalibration) {
        elements.add(old.elements)
        frames.add(old.frames)
        if let older = old.runs { runs?.add(older) }
        if let older = old.contrasts { contrasts?.add(older) }
        if let older = old.stretchFrames { stretchFrames = max(stretchFrames ?? 0, older) }
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

    func validate(viewCount: Int) throws(LatentError) {
        guard scales.count == viewCount, (frameScales ?? scales).count == viewCount,
            (scales + (frameScales ?? [])).allSatisfy({ $0.isFinite && $0 > 0 })
        else { throw LatentError(.model, "the model's record has maps of other views") }
        try elements.validate()
        try frames.validate()
        try runs?.validate()
        try contrasts?.validate(of: "stretches of recordings")
        guard (1...Stretches.longest).contains(stretchFrames ?? 1) else {
            throw LatentError(
                .model, "the model's record has stretches of recordings that cannot be")
        }
    }
}
