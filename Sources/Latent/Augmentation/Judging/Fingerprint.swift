import Media

/// A file at one small size, whatever its own: what files are compared by.
struct Fingerprint: Sendable {
    /// The features of the model's view, 0…1, resized to C×32×32.
    let values: [Float]
    /// Where edges point in it: see ``GradientCells``.
    let edges: [Float]
    /// What is broken about the file; nil where nothing is.
    let flaw: String?
    /// SHA-256 of the file.
    let hash: ContentHash

    /// Pixels of a side, or bands and frames.
    private static let side = 32
    /// Pixels that differ by less are one colour: two steps of 8 bits.
    private static let flatness: Float = 2 / 255
    /// Samples of a recording at full scale, at most: fewer are peaks.
    private static let clippedShare = 0.01
    private static let fullScale: Float = 32_767 / 32_768

    /// Decodes a file and reduces it.
    ///
    /// - Parameters:
    ///   - bytes: the file
    ///   - path: its name, for errors
    ///   - preprocessing: of a model that draws
    /// - Throws: `MediaError` for a file that cannot be read right
    init(of bytes: [UInt8], path: String, preprocessing: Preprocessing) throws {
        let map: FeatureMap
        switch preprocessing.view {
        case .pixels:
            map = try preprocessing.features(of: bytes, path: path).0
            flaw = Self.range(map.values) < Self.flatness ? "constant" : nil
        case .logMel(let view):
            let audio = try Audio(recording: bytes, path: path)
            map = try view.features(of: audio).0
            let clipped = audio.samples.count { abs($0) >= Self.fullScale }
            flaw =
                Self.range(audio.samples) < CheckedFile.silence
                ? "silent"
                : Double(clipped) > Self.clippedShare * Double(audio.samples.count)
                    ? "clipped" : nil
        }
        let small = try map.resized(height: Self.side, width: Self.side)
        values = small.values
        let cells = GradientCells()
        var edges = cells.cells(of: small).values
        cells.finish(&edges)
        self.edges = edges
        hash = ContentHash(of: bytes)
    }

    private static func range(_ values: [Float]) -> Float {
        guard var low = values.first, var high = values.first else { return 0 }
        for value in values {
            low = min(low, value)
            high = max(high, value)
        }
        return high - low
    }

    /// The root mean square of what two files differ by.
    func distance(to other: Fingerprint) -> Double {
        var sum = 0.0
        for index in values.indices {
            let difference = Double(values[index] - other.values[index])
            sum += difference * difference
        }
        return (sum / Double(max(1, values.count))).squareRoot()
    }

    /// Files that are nearer than this are the same but for rounding: half a step of 8 bits.
    static let sameness = 0.5 / 255
}
