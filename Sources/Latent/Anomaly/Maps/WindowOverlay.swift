/// One number for each cell of windows, laid back to where the windows were cut from.
///
/// Windows overlap. Patches of an image are many, and a flaw is in several of them: a cell has the mean.
/// A window of a recording is long, and a strange stretch spoils what the model makes of all the
/// rest of it: a cell has the least that any window says of it, as it is explained by one that
/// explains it.
struct WindowOverlay {
    private let windowing: Windowing
    private let height: Int
    private let width: Int
    private var values: [Float]
    private var counts: [Float]

    private var takesLeast: Bool { windowing.mode == .frames }

    /// Makes an empty overlay of the cells [H, W] that windows were cut from.
    init(_ windowing: Windowing, height: Int, width: Int) {
        self.windowing = windowing
        self.height = windowing.mode == .whole ? windowing.height : height
        self.width = windowing.mode == .whole ? windowing.width : width
        values = [Float](repeating: 0, count: self.height * self.width)
        counts = values
    }

    /// Lays a window, [h, w], to its place; what lies outside of the map is left out.
    mutating func add(_ window: ArraySlice<Float>, index: Int) {
        let place = windowing.place(ofWindow: index, mapHeight: height, mapWidth: width)
        var next = window.startIndex
        for row in 0..<windowing.height {
            let y = place.top + row
            for x in place.left..<place.left + windowing.width {
                defer { next += 1 }
                guard (0..<height).contains(y), (0..<width).contains(x) else { continue }
                let cell = y * width + x
                if takesLeast {
                    values[cell] =
                        counts[cell] == 0 ? window[next] : min(values[cell], window[next])
                    counts[cell] = 1
                } else {
                    values[cell] += window[next]
                    counts[cell] += 1
                }
            }
        }
    }

    /// Patches are blurred by this share of their side: what single cells say is mostly noise.
    private static let blurShare = 0.2

    /// The cells as a map of the features that they were made of, [1, H, W].
    ///
    /// - Parameters:
    ///   - mapHeight: pixels or bands of the features
    ///   - mapWidth: pixels or frames of the features
    ///   - cellSide: pixels of a side of a cell
    /// - Returns: bilinear between the middles of cells
    /// - Throws: `TorchError` when memory runs out
    func map(height mapHeight: Int, width mapWidth: Int, cellSide: Int) throws -> FeatureMap {
        let cells = FeatureMap(
            channelCount: 1, height: height, width: width,
            values: zip(values, counts).map { $0 / max($1, 1) })
        switch windowing.mode {
        case .whole:
            return try cells.resized(height: mapHeight, width: mapWidth)
        case .grid:
            let side = min(windowing.height, windowing.width)
            return try cells.blurred(sigma: Double(side) * Self.blurShare)
                .resized(height: height * cellSide, width: width * cellSide)
                .cropped(height: mapHeight, width: mapWidth)
        case .frames:
            return try cells.resized(height: height * cellSide, width: width * cellSide)
                .cropped(height: mapHeight, width: mapWidth)
        }
    }
}

extension FeatureMap {
    /// The top left part; the last cells of a row or column may reach beyond the features.
    fileprivate func cropped(height newHeight: Int, width newWidth: Int) -> FeatureMap {
        guard newHeight != height || newWidth != width else { return self }
        var kept: [Float] = []
        kept.reserveCapacity(channelCount * newHeight * newWidth)
        for row in 0..<channelCount * height where row % height < newHeight {
            kept += values[row * width..<row * width + newWidth]
        }
        return FeatureMap(
            channelCount: channelCount, height: newHeight, width: newWidth, values: kept)
    }
}
