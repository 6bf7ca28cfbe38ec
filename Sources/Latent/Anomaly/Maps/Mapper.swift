import Foundation
import Media
import Torch

/// Makes maps of where in a file the anomaly is.
///
/// The model is run on the windows of one file at a time, with the mean of q(z|x) in place of draws:
/// the map of a file has the same bytes whatever else is scored. The error of an element of a window
/// is the mean over channels of (x - E[x|z])², in units of what it is in training where the model
/// has the score `residual`, and of several members the mean; ``WindowOverlay`` lays windows back to
/// their places. Frames of recordings have a distance to those of training too, ``FrameNeighbours``, and
/// of what the first view reads there is the part that is the most unlike the rest, ``FrameContrast``, of each
/// of ``Stretches``.
public final class Mapper {
    private let views: [DetectorView]
    private let conditioning: Conditioning?
    private let assigned: [Int?]
    private let scales: [Double]
    private let frameScales: [Double]
    /// Of each view; none where distances of frames are not asked for.
    private let neighbours: [FrameNeighbours]
    /// Of the first view; nil where it cannot say.
    private let contrast: FrameContrast?
    private let stretches: Stretches

    /// Whether maps have contrasting stretches.
    var hasContrasts: Bool { contrast != nil }

    private static let batchSize = 32

    /// Makes a mapper from a model file that is calibrated for maps.
    ///
    /// - Parameters:
    ///   - file: the model
    ///   - device: where the work is done
    ///   - assignments: labels that all files are taken to have, by attribute
    /// - Throws: ``LatentError`` `.usage` for a model without the calibration of maps
    public convenience init(
        file: ModelFile, device: Device, assignments: [String: String] = [:]
    ) throws {
        guard let calibration = file.record.maps else {
            throw LatentError(
                .usage, "the model is not calibrated for maps",
                hint: "give it normal files: latent calibrate -m MODEL NORMAL -o NEW")
        }
        try self.init(
            try file.views(on: device), scales: calibration.scales,
            frameScales: calibration.frameScales, stretches: calibration.stretches,
            assignments: assignments)
    }

    init(
        _ views: [DetectorView], scales: [Double], frameScales: [Double]? = nil,
        stretches: Stretches = .calibrating, assignments: [String: String] = [:]
    ) throws {
        self.stretches = stretches
        self.frameScales = frameScales ?? []
        neighbours = frameScales == nil ? [] : try views.compactMap { try FrameNeighbours(of: $0) }
        guard neighbours.count == self.frameScales.count else {
            throw LatentError(
                .model, "the model has no frames of training that its maps could compare with",
                hint: "train the model again")
        }
        contrast = try views.first.flatMap { try FrameContrast(of: $0) }
        self.views = views
        self.scales = scales
        conditioning = views.first?.model.configuration.conditioning
        assigned = try conditioning?.codes(ofAssignments: assignments) ?? []
    }

    /// The map of a file.
    ///
    /// - Throws: `MediaError` for a file that cannot be read right, ``LatentError`` `.data` for a
    ///   label that the model does not know
    /// - Complexity: as scoring with one draw; memory is that of the features
    public func map(of item: Item) throws -> AnomalyMap {
        try map(of: try FileBytes.read(item.path), item: item)
    }

    /// The map of the bytes of a file.
    func map(of bytes: [UInt8], item: Item) throws -> AnomalyMap {
        let codes = try conditioning?.codes(of: item, assigned: assigned) ?? []
        var sum: FeatureMap?
        var distances: [Float]?
        var ranges: [Range<Int>] = []
        var contrasts: [ContrastingStretch?] = []
        var (source, hash) = (SourceDescription(), ContentHash(of: bytes))
        for (index, view) in views.enumerated() {
            let windows = try view.preprocessing.windows(of: bytes, path: item.path)
            (source, hash) = (windows.source, windows.hash)
            let errors = try errors(of: windows, view: view, codes: codes)
            if index == 0, view.preprocessing.domain == .audio {
                ranges = stretches.ranges(of: windows.mapWidth)
                contrasts =
                    try contrast?.strongest(of: windows, in: ranges) ?? ranges.map { _ in nil }
            }
            let share = Float(1 / (scales[index] * Double(views.count)))
            if neighbours.indices.contains(index) {
                let share = Float(1 / (frameScales[index] * Double(views.count)))
                let own = try frameDistances(of: windows, view: view, to: neighbours[index])
                distances =
                    distances.map { zip($0, own).map { $0 + $1 * share } } ?? own.map { $0 * share }
            }
            sum = FeatureMap(
                channelCount: 1, height: errors.height, width: errors.width,
                values: sum.map { zip($0.values, errors.values).map { $0 + $1 * share } }
                    ?? errors.values.map { $0 * share })
        }
        var hop: Double?
        if case .logMel(let log) = views.first?.preprocessing.view {
            hop = Double(log.hopLength) / Double(log.sampleRate)
        }
        return AnomalyMap(
            values: sum ?? FeatureMap(channelCount: 1, height: 0, width: 0, values: []),
            frameDistances: distances, stretches: ranges, contrasts: contrasts, frameSeconds: hop,
            duration: source.sampleRate > 0
                ? Double(source.frameCount) / Double(source.sampleRate) : 0,
            hash: hash)
    }

    /// The squared errors of a view at the places of the features, [1, H, W].
    private func errors(
        of windows: ItemWindows, view: DetectorView, codes: [Int]
    ) throws -> FeatureMap {
        let (preprocessing, configuration) = (view.preprocessing, view.model.configuration)
        let side = preprocessing.cellSide
        var overlay = WindowOverlay(
            preprocessing.windowing, height: (windows.mapHeight + side - 1) / side,
            width: (windows.mapWidth + side - 1) / side)
        let area = configuration.height * configuration.width
        for range in batches(of: windows) {
            let values = windows.values(range)
            let ofMembers = try view.members.map { member in
                try withoutGradients {
                    let model = member.model
                    let x = try model.batch(values)
                    let condition = try model.condition(range.map { _ in codes })
                    let z = try model.latents(of: x, condition: condition)
                    let rebuilt = try model.decode(z, condition: condition).mean
                    let squares = try (x - rebuilt).squared().reshaped([range.count, -1])
                    let weighted =
                        try member.fitted.residualPrecision.map { try squares * $0 } ?? squares
                    return try weighted.reshaped([range.count, configuration.channelCount, area])
                        .mean(axes: [1]).floats()
                }
            }
            let errors = ofMembers.dropFirst().reduce(ofMembers[0]) { zip($0, $1).map(+) }
                .map { $0 / Float(ofMembers.count) }
            for (offset, window) in range.enumerated() {
                overlay.add(errors[offset * area..<(offset + 1) * area], index: window)
            }
        }
        return try overlay.map(
            height: windows.mapHeight, width: windows.mapWidth, cellSide: side)
    }

    /// The distances of a recording's frames to those of training, at the places of the frames, [W].
    private func frameDistances(
        of windows: ItemWindows, view: DetectorView, to neighbours: FrameNeighbours
    ) throws -> [Float] {
        let side = view.preprocessing.cellSide
        let shape = view.model.configuration.window
        var windowing = view.preprocessing.windowing
        windowing.height = 1
        var overlay = WindowOverlay(
            windowing, height: 1, width: (windows.mapWidth + side - 1) / side)
        for range in batches(of: windows) {
            let distances = try withoutGradients {
                try neighbours.distances(
                    of: try view.model.batch(windows.values(range)), shape: shape)
            }
            for (offset, window) in range.enumerated() {
                overlay.add(
                    distances[offset * shape.width..<(offset + 1) * shape.width], index: window)
            }
        }
        return try overlay.map(height: 1, width: windows.mapWidth, cellSide: side).values
    }

    private func batches(of windows: ItemWindows) -> [Range<Int>] {
        stride(from: 0, to: windows.count, by: Self.batchSize).map {
            $0..<min($0 + Self.batchSize, windows.count)
        }
    }
}

extension MapCalibration {
    /// Takes the maps of normal files; nil without files, or where they have no errors at all.
    ///
    /// - Parameters:
    ///   - views: of the model
    ///   - scaleItems: files that the scales, and the usual level of frames, are of where they are
    ///     not given; the files themselves where there are none
    ///   - items: files whose elements are counted; the first ``fileLimit``
    ///   - old: an earlier calibration, whose scales and usual level stay
    ///   - assignments: labels that all files are taken to have
    ///   - progress: told how many files have been mapped
    /// - Throws: `MediaError` or ``LatentError`` for a file that cannot be used
    init?(
        of views: [DetectorView], scaleItems: some Collection<Item>, items: some Collection<Item>,
        old: MapCalibration? = nil, assignments: [String: String] = [:],
        progress: (Int) throws -> Void = { _ in }
    ) throws {
        guard !items.isEmpty else { return nil }
        let used = (scaleItems.isEmpty ? Array(items) : Array(scaleItems))
            .prefix(Self.scaleFileLimit)
        let units =
            try old.map { (elements: $0.scales, frames: $0.frameScales) }
            ?? Self.units(of: views, items: used, assignments: assignments)
        let mapper = try Mapper(
            views, scales: units.elements, frameScales: units.frames, assignments: assignments)
        var runs = old?.runs
        if runs == nil, views.first?.preprocessing.domain == .audio {
            var usual = Exceedance()
            for item in used { usual.add(try mapper.map(of: item).curve ?? []) }
            runs = NormalRuns(usual: usual)
        }
        self.init(
            scales: units.elements, frameScales: units.frames, runs: runs,
            hasContrasts: mapper.hasContrasts)
        for (index, item) in items.prefix(Self.fileLimit).enumerated() {
            add(try mapper.map(of: item))
            try progress(index + 1)
        }
    }

    /// The means over files of what the elements of each view are, and of recordings the frames.
    private static func units(
        of views: [DetectorView], items: some Collection<Item>, assignments: [String: String]
    ) throws -> (elements: [Double], frames: [Double]?) {
        func mean(_ values: [Float]) -> Double {
            values.reduce(0) { $0 + Double($1) } / Double(max(1, values.count) * items.count)
        }
        let hasFrames = try views.allSatisfy { try FrameNeighbours(of: $0) != nil }
        var (elements, frames): ([Double], [Double]) = ([], [])
        for view in views {
            let mapper = try Mapper(
                [view], scales: [1], frameScales: hasFrames ? [1] : nil, assignments: assignments)
            var (element, frame) = (0.0, 0.0)
            for item in items {
                let map = try mapper.map(of: item)
                element += mean(map.values.values)
                frame += mean(map.frameDistances ?? [])
            }
            elements.append(element)
            frames.append(frame)
        }
        // Frames that training has all of are at no distance from it.
        return (elements, hasFrames && frames.allSatisfy { $0 > 0 } ? frames : nil)
    }

    /// Takes the maps of fresh normal files for a model that is calibrated again; nil without files,
    /// or where they have no errors at all.
    ///
    /// - Parameters:
    ///   - file: the model; its scales and the usual level of frames stay where it has some
    ///   - items: normal files
    ///   - device: where the work is done
    ///   - assignments: labels that all files are taken to have
    ///   - isPooled: whether the files of the model's own calibration stay
    ///   - progress: told how many files have been mapped
    /// - Throws: `MediaError` or ``LatentError`` for a file that cannot be used
    public init?(
        of file: ModelFile, items: some Collection<Item>, device: Device,
        assignments: [String: String] = [:], isPooled: Bool = false,
        progress: (Int) throws -> Void = { _ in }
    ) throws {
        // Segments of a model of before cannot be pooled with: their frames were other ones.
        let old = file.record.maps.flatMap {
            file.record.preprocessing.domain == .audio && $0.runs == nil ? nil : $0
        }
        try self.init(
            of: try file.views(on: device), scaleItems: [Item](), items: items,
            old: old, assignments: assignments, progress: progress)
        if isPooled, let old { add(old) }
    }
}
