import Media

/// The way from a file to the windows that a model reads; saved in the model.
public struct Preprocessing: Codable, Sendable, Equatable {
    /// The representation that the model sees; one more view is one more case and one file.
    public enum View: Codable, Sendable, Equatable {
        /// Images as they are.
        case pixels(PixelView)
        /// Recordings as log-mel spectrograms.
        case logMel(LogMelView)
    }

    /// The representation.
    public var view: View
    /// What is made of it for a model that detects; nil where a model also draws.
    public var transform: ViewTransform?
    /// How it is cut, in cells of the transform where there is one.
    public var windowing: Windowing

    /// Makes a preprocessing.
    public init(view: View, transform: ViewTransform? = nil, windowing: Windowing) {
        self.view = view
        self.transform = transform
        self.windowing = windowing
    }

    /// The kind of files that are read.
    public var domain: Domain {
        switch view {
        case .pixels: .image
        case .logMel: .audio
        }
    }

    /// Channels of a window.
    public var channelCount: Int {
        let count =
            switch view {
            case .pixels(let view): view.channelCount
            case .logMel: 1
            }
        return transform?.transform.channelCount(of: count) ?? count
    }

    /// Pixels, or bands and frames, along a side of what one value of a window is made of.
    var cellSide: Int { transform?.transform.cellSide ?? 1 }

    /// The name of the view, as `--view` has it.
    public var viewName: String {
        if let transform { return transform.name }
        return switch view {
        case .pixels: "pixels"
        case .logMel: "log-mel"
        }
    }

    /// Whether recordings keep how loud they are.
    var keepsLevel: Bool {
        if case .logMel(let view) = view { view.referenceNats != nil } else { false }
    }

    /// Whether a window can be turned back into a file.
    var isInvertible: Bool { !keepsLevel && transform == nil }

    /// The number of windows of features of the given size.
    func windowCount(height: Int, width: Int) -> Int {
        let side = cellSide
        return windowing.windowCount(
            height: (height + side - 1) / side, width: (width + side - 1) / side)
    }

    /// Height and width of the features of a file, from its size alone.
    private func featureSize(of item: SurveyedItem) -> (height: Int, width: Int) {
        switch view {
        case .pixels: return (item.height, item.width)
        case .logMel(let view):
            let samples = view.sampleCount(of: item.width, at: item.sampleRate)
            return (view.melCount, view.frameCount(sampleCount: samples))
        }
    }

    /// Number of windows of a file, from its size alone.
    func windowCount(of item: SurveyedItem) -> Int {
        let size = featureSize(of: item)
        return windowCount(height: size.height, width: size.width)
    }

    /// Shape of the map that windows of a file are cut from, from its size alone.
    func mapShape(of item: SurveyedItem) -> WindowShape {
        guard windowing.mode != .whole else {
            return WindowShape(
                channelCount: channelCount, height: windowing.height, width: windowing.width)
        }
        let (size, side) = (featureSize(of: item), cellSide)
        return WindowShape(
            channelCount: channelCount, height: (size.height + side - 1) / side,
            width: (size.width + side - 1) / side)
    }

    /// Pixels or frames from window to window that are believed.
    private static let strides = 1...65_536

    /// Checks what a model file may have got wrong.
    public func validate() throws(LatentError) {
        guard Self.strides.contains(windowing.stride) else {
            throw LatentError(
                .model,
                "a window stride of \(windowing.stride); expected \(Self.strides.lowerBound) to "
                    + "\(Self.strides.upperBound)")
        }
        try transform?.validate()
        switch view {
        case .pixels(let view):
            try view.validate()
            // What an image is resized to before cells are made of it.
            let count =
                windowing.height * windowing.width * cellSide * cellSide * view.channelCount
            guard windowing.mode != .whole || count <= Self.featureLimit else {
                throw LatentError(
                    .model,
                    "images would be resized to \(windowing.height * cellSide)×"
                        + "\(windowing.width * cellSide); at most \(Self.featureLimit) values are "
                        + "made of one", hint: "use a smaller --size")
            }
        case .logMel(let view):
            try view.validate()
            let side = cellSide
            guard windowing.height == (view.melCount + side - 1) / side, windowing.mode == .frames
            else {
                throw LatentError(
                    .model,
                    "windows of \(windowing.height) bands for "
                        + "\(view.melCount) mel bands")
            }
        }
    }

    /// Values of one image's features, at most: 320 MB.
    private static let featureLimit = 80 << 20

    /// Decodes the bytes of a file and makes its features.
    ///
    /// - Throws: `MediaError` for a file that cannot be read right
    public func features(of bytes: [UInt8], path: String) throws -> (FeatureMap, SourceDescription)
    {
        switch view {
        case .pixels(let view):
            let image = try Image(pngData: bytes, path: path)
            try checkSize(height: image.height, width: image.width, path: path)
            return view.features(of: image)
        case .logMel(let view):
            return try view.features(of: try Audio(recording: bytes, path: path))
        }
    }

    /// Looks whether an image has not too many values, as this reads it.
    ///
    /// - Throws: ``LatentError`` `.data`
    func checkSize(height: Int, width: Int, path: String) throws(LatentError) {
        // A grey image read as RGB takes three times what the decoder has allowed.
        guard case .pixels(let view) = view else { return }
        let count = width * height * view.channelCount
        guard count <= Self.featureLimit else {
            throw LatentError(
                .data, path: path,
                "\(width)×\(height) pixels in \(view.channelCount) channels are "
                    + "\(count) values, but at most \(Self.featureLimit) are read",
                hint: "make the image smaller")
        }
    }

    /// Reads a file, makes its features and cuts them.
    ///
    /// - Parameters:
    ///   - path: the file
    ///   - gate: shared by threads that read at the same time
    /// - Returns: the windows, and what the file was
    /// - Throws: `MediaError` for a file that cannot be read right
    func windows(ofFile path: String, gate: LargeFileGate) throws -> ItemWindows {
        let bytes = try FileBytes.read(path)
        return try gate.run(bytes) { try windows(of: bytes, path: path) }
    }

    /// The windows of the bytes of a file.
    func windows(of bytes: [UInt8], path: String) throws -> ItemWindows {
        let (map, source) = try features(of: bytes, path: path)
        return ItemWindows(
            map: try cells(of: map), preprocessing: self,
            count: windowCount(height: map.height, width: map.width),
            mapHeight: map.height, mapWidth: map.width, source: source,
            hash: ContentHash(of: bytes))
    }

    /// The map that windows are cut from: at its own size, or at that of its one window.
    private func cells(of map: FeatureMap) throws -> FeatureMap {
        let side = cellSide
        let fitted =
            windowing.mode == .whole
            ? try map.resized(height: windowing.height * side, width: windowing.width * side) : map
        if let transform { return transform.transform.cells(of: fitted) }
        guard case .pixels(let view) = view, view.binarises else { return fitted }
        return fitted.mapValues { $0 >= 0.5 ? 1 : 0 }
    }

    /// Some of the windows of a map of cells, each [C, H, W], one after the other.
    func windows(_ range: Range<Int>, of cells: FeatureMap) -> [Float] {
        let values = windowing.windows(range, of: cells)
        guard let transform = transform?.transform else { return values }
        let length = values.count / max(1, range.count)
        var finished: [Float] = []
        finished.reserveCapacity(values.count)
        for start in stride(from: 0, to: values.count, by: max(1, length)) {
            var window = Array(values[start..<start + length])
            transform.finish(&window)
            finished += window
        }
        return finished
    }
}

extension Preprocessing.View {
    private enum CodingKeys: String, CodingKey {
        case pixels
        case logMel = "log-mel"
    }

    /// Reads `{"pixels": {…}}` or `{"log-mel": {…}}`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let view = try container.decodeIfPresent(PixelView.self, forKey: .pixels) {
            self = .pixels(view)
        } else {
            self = .logMel(try container.decode(LogMelView.self, forKey: .logMel))
        }
    }

    /// Writes the view under its name.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .pixels(let view): try container.encode(view, forKey: .pixels)
        case .logMel(let view): try container.encode(view, forKey: .logMel)
        }
    }
}

/// The windows of one file, cut when they are asked for.
public struct ItemWindows: Sendable {
    /// What windows are cut from.
    let map: FeatureMap
    private let preprocessing: Preprocessing
    /// Number of windows, n ≥ 1.
    public let count: Int
    /// Height of the features before they were cut.
    public let mapHeight: Int
    /// Width of the features before they were cut.
    public let mapWidth: Int
    /// What the file was.
    public let source: SourceDescription
    /// SHA-256 of the file.
    public let hash: ContentHash

    init(
        map: FeatureMap, preprocessing: Preprocessing, count: Int, mapHeight: Int, mapWidth: Int,
        source: SourceDescription, hash: ContentHash
    ) {
        self.map = map
        self.preprocessing = preprocessing
        self.count = count
        self.mapHeight = mapHeight
        self.mapWidth = mapWidth
        self.source = source
        self.hash = hash
    }

    /// Some of the windows, each [C, H, W], one after the other.
    public func values(_ range: Range<Int>) -> [Float] {
        preprocessing.windows(range, of: map)
    }

    /// Memory of the features.
    var byteCount: Int { map.byteCount }
}
