import Media

/// How well heat maps find anomalous pixels and regions.
///
/// Maps are counted into 65,536 levels, all that a PNG of 16 bits has: nothing is rounded, and the
/// memory does not grow with the number of maps.
///
/// Source: Bergmann et al., "The MVTec anomaly detection dataset", International Journal of Computer
/// Vision 129, 2021, section 4.
public struct RegionOverlap: Sendable {
    /// The false-positive rate up to which ``aupro`` goes.
    public static let limit = 0.3
    private static let levelCount = 1 << 16

    /// Normal pixels by level.
    private var normal = [Int](repeating: 0, count: levelCount)
    /// Anomalous pixels by level.
    private var anomalous = [Int](repeating: 0, count: levelCount)
    /// By level, the share that its pixels are of their region, added up over regions.
    private var overlap = [Double](repeating: 0, count: levelCount)
    /// Connected anomalous regions.
    public private(set) var regionCount = 0

    /// Makes one of no maps.
    public init() {}

    /// Counts a map.
    ///
    /// - Parameters:
    ///   - map: grey, larger is more anomalous
    ///   - mask: of the same size; a pixel with a channel above 0 is anomalous, alpha aside; nil is a
    ///     mask without such pixels
    /// - Throws: ``LatentError`` `.data` for a map with colours, or sizes that differ
    public mutating func add(_ map: Image, mask: Image?) throws(LatentError) {
        guard map.channelCount == 1 else {
            throw LatentError(
                .data, "a heat map is grey, this has \(map.channelCount) channels",
                hint: "write it as a PNG of one channel, 8 or 16 bits")
        }
        let scale = (Self.levelCount - 1) / Int(map.maximumCode)
        guard let mask else {
            for sample in map.samples { normal[Int(sample) * scale] += 1 }
            return
        }
        guard mask.width == map.width, mask.height == map.height else {
            throw LatentError(
                .data,
                "the heat map has \(map.width)×\(map.height) pixels, its mask "
                    + "\(mask.width)×\(mask.height)",
                hint: "bring both to one size")
        }
        let (regions, sizes) = Self.regions(mask)
        for (sample, region) in zip(map.samples, regions) {
            let level = Int(sample) * scale
            if region == 0 {
                normal[level] += 1
            } else {
                anomalous[level] += 1
                overlap[level] += 1 / Double(sizes[Int(region)])
            }
        }
        regionCount += sizes.count - 1
    }

    /// The area under the ROC curve of single pixels; nil without pixels of both kinds.
    public var pixelAUROC: Double? {
        area(anomalous.map(Double.init), limit: 1)
    }

    /// The area under the per-region overlap, over the false-positive rate of pixels up to 0.3, as a
    /// share of the largest possible; nil without regions or without normal pixels.
    ///
    /// The per-region overlap at a threshold is the share of each region's pixels at or above it, the
    /// mean over regions: small regions count as much as large ones. Regions are connected by sides
    /// and corners.
    public var aupro: Double? { area(overlap, limit: Self.limit).map { $0 / Self.limit } }

    /// Both areas as figures; without intervals, since pixels of a file are not independent.
    public var figures: [DetectionEvaluation.Figure] {
        [
            pixelAUROC.map { .init(.pixelAUROC, $0) }, aupro.map { .init(.aupro, $0) },
        ].compactMap(\.self)
    }

    /// The area under the share of the weights that is reached, over the share of normal pixels.
    private func area(_ weights: [Double], limit: Double) -> Double? {
        let normalCount = normal.reduce(0, +)
        guard normalCount > 0, regionCount > 0 else { return nil }
        var (before, total, area) = (0, 0.0, 0.0)
        for level in weights.indices.reversed() {
            let through = before + normal[level]
            total += weights[level]
            area +=
                weights[level]
                * areaOfStep(
                    from: Double(before) / Double(normalCount),
                    to: Double(through) / Double(normalCount), limit: limit)
            before = through
        }
        return area / total
    }

    /// The number of each pixel's region, 0 outside all, and the number of pixels of each.
    static func regions(_ mask: Image) -> (numbers: [Int32], sizes: [Int]) {
        let (width, height) = (mask.width, mask.height)
        let colorCount = mask.hasAlpha ? mask.channelCount - 1 : mask.channelCount
        // -1 where a pixel is anomalous and its region not yet known.
        var numbers = (0..<width * height).map { pixel -> Int32 in
            let start = pixel * mask.channelCount
            return mask.samples[start..<start + colorCount].contains { $0 > 0 } ? -1 : 0
        }
        var sizes = [0]
        var pending: [Int] = []
        for start in numbers.indices where numbers[start] == -1 {
            let number = Int32(sizes.count)
            var size = 0
            numbers[start] = number
            pending.append(start)
            while let pixel = pending.popLast() {
                size += 1
                let (x, y) = (pixel % width, pixel / width)
                for row in max(0, y - 1)...min(height - 1, y + 1) {
                    for column in max(0, x - 1)...min(width - 1, x + 1) {
                        let neighbour = row * width + column
                        guard numbers[neighbour] == -1 else { continue }
                        numbers[neighbour] = number
                        pending.append(neighbour)
                    }
                }
            }
            sizes.append(size)
        }
        return (numbers, sizes)
    }
}
