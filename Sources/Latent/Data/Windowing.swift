/// How an item becomes windows of one size.
public struct Windowing: Codable, Sendable, Equatable {
    /// The ways to cut.
    public enum Mode: String, Codable, Sendable, CaseIterable {
        /// The whole image, resized.
        case whole
        /// Overlapping patches at the image's own size.
        case grid
        /// Overlapping ranges of frames.
        case frames
    }

    /// The way to cut.
    public var mode: Mode
    /// Height of a window.
    public var height: Int
    /// Width of a window.
    public var width: Int
    /// Distance from window to window, in both directions of a grid or along the frames.
    public var stride: Int

    /// Makes a windowing.
    public init(mode: Mode, height: Int, width: Int, stride: Int) {
        self.mode = mode
        self.height = height
        self.width = width
        self.stride = stride
    }

    /// Where windows lie along an axis: every `stride`, and one at the end.
    static func starts(length: Int, window: Int, stride: Int) -> [Int] {
        guard length > window else { return [0] }
        var starts = Array(Swift.stride(from: 0, to: length - window, by: stride))
        starts.append(length - window)
        return starts
    }

    /// How many windows lie along an axis.
    private static func startCount(length: Int, window: Int, stride: Int) -> Int {
        length > window ? (length - window + stride - 1) / stride + 1 : 1
    }

    /// The number of windows of a map of the given size.
    public func windowCount(height mapHeight: Int, width mapWidth: Int) -> Int {
        switch mode {
        case .whole: return 1
        case .grid, .frames:
            return Self.startCount(length: mapHeight, window: height, stride: stride)
                * Self.startCount(length: mapWidth, window: width, stride: stride)
        }
    }

    /// Where a smaller map is laid into a window: in the middle.
    private func padding(_ map: FeatureMap) -> (top: Int, left: Int) {
        (max(0, (height - map.height) / 2), max(0, (width - map.width) / 2))
    }

    /// Where a window begins on a map; before its edges where it is smaller.
    func place(ofWindow index: Int, mapHeight: Int, mapWidth: Int) -> (top: Int, left: Int) {
        if mode == .whole { return (0, 0) }
        let columns = Self.startCount(length: mapWidth, window: width, stride: stride)
        return (
            min(index / columns * stride, max(0, mapHeight - height))
                - max(0, (height - mapHeight) / 2),
            min(index % columns * stride, max(0, mapWidth - width)) - max(0, (width - mapWidth) / 2)
        )
    }

    /// The windows of a map, each [C, H, W], one after the other.
    ///
    /// A map smaller than a window is centred in it: a recording on silence, an image on its own
    /// edges, drawn out.
    public func windows(of map: FeatureMap) throws -> [Float] {
        let map = try fitted(map)
        return windows(0..<windowCount(height: map.height, width: map.width), of: map)
    }

    /// The map that windows are cut from: itself, or resized to a window where that is all of it.
    func fitted(_ map: FeatureMap) throws -> FeatureMap {
        mode == .whole ? try map.resized(height: height, width: width) : map
    }

    /// Some of the windows of a fitted map; the others need no memory.
    func windows(_ range: Range<Int>, of map: FeatureMap) -> [Float] {
        if mode == .whole { return map.values }
        var windows: [Float] = []
        windows.reserveCapacity(range.count * map.channelCount * height * width)
        for index in range {
            let (top, left) = place(ofWindow: index, mapHeight: map.height, mapWidth: map.width)
            for channel in 0..<map.channelCount {
                for row in 0..<height {
                    appendRow(of: map, channel: channel, row: top + row, from: left, to: &windows)
                }
            }
        }
        return windows
    }

    private func appendRow(
        of map: FeatureMap, channel: Int, row: Int, from start: Int, to windows: inout [Float]
    ) {
        let y = min(max(row, 0), map.height - 1)
        let base = (channel * map.height + y) * map.width
        if start >= 0, start + width <= map.width {
            windows += map.values[base + start..<base + start + width]
            return
        }
        for column in start..<start + width {
            if mode == .frames, column < 0 || column >= map.width {
                windows.append(0)
            } else {
                windows.append(map.values[base + min(max(column, 0), map.width - 1)])
            }
        }
    }

    /// Puts windows together again: the inverse of ``windows(of:)``, means where they overlap.
    public func assemble(
        _ windows: [Float], channelCount: Int, height mapHeight: Int, width mapWidth: Int
    ) throws -> FeatureMap {
        if mode == .whole {
            return try FeatureMap(
                channelCount: channelCount, height: height, width: width, values: windows
            ).resized(height: mapHeight, width: mapWidth)
        }
        let shape = FeatureMap(
            channelCount: channelCount, height: mapHeight, width: mapWidth,
            values: [Float](repeating: 0, count: channelCount * mapHeight * mapWidth))
        let (top, left) = padding(shape)
        var sums = shape.values
        var counts = [Float](repeating: 0, count: sums.count)
        var index = 0
        for startY in Self.starts(length: mapHeight, window: height, stride: stride) {
            for startX in Self.starts(length: mapWidth, window: width, stride: stride) {
                for channel in 0..<channelCount {
                    for row in 0..<height {
                        let y = startY + row - top
                        for column in 0..<width {
                            let x = startX + column - left
                            if (0..<mapHeight).contains(y), (0..<mapWidth).contains(x) {
                                let place = (channel * mapHeight + y) * mapWidth + x
                                sums[place] += windows[index]
                                counts[place] += 1
                            }
                            index += 1
                        }
                    }
                }
            }
        }
        return FeatureMap(
            channelCount: channelCount, height: mapHeight, width: mapWidth,
            values: zip(sums, counts).map { $0 / max($1, 1) })
    }
}
