import Foundation
import Media
import Torch

/// Makes maps of where in a file the anomaly is.
///
/// The model is run on the windows of one file at a time, with the mean of q(z|x) in place of draws:
/// the map of a file has the same bytes whatever else is scored. The error of an element of a window
/// is the mean over channels of (x - E[x|z])², in units of what it is in training where the model
/// has the score `residual`, and of several members the mean; ``WindowOverlay`` lays windows back to their places.
public final class Mapper {
    private let views: [DetectorView]
    private let conditioning: Conditioning?
    private let assigned: [Int?]
    private let scales: [Double]

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
            try file.views(on: device), scales: calibration.scales, assignments: assignments)
    }

    init(
        _ views: [DetectorView], scales: [Double], assignments: [String: String] = [:]
    ) throws {
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
        var (source, hash) = (SourceDescription(), ContentHash(of: bytes))
        for (view, scale) in zip(views, scales) {
            let windows = try view.preprocessing.windows(of: bytes, path: item.path)
            (source, hash) = (windows.source, windows.hash)
            let errors = try errors(of: windows, view: view, codes: codes)
            let share = Float(1 / (scale * Double(views.count)))
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
            frameSeconds: hop,
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
        for start in stride(from: 0, to: windows.count, by: Self.batchSize) {
            let range = start..<min(start + Self.batchSize, windows.count)
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
}

extension MapCalibration {
    /// Takes the maps of normal files; nil without files, or where they have no errors at all.
    ///
    /// - Parameters:
    ///   - views: of the model
    ///   - scaleItems: files that the scales are of, where `scales` is nil
    ///   - items: files whose elements are counted; the first ``fileLimit``
    ///   - scales: those of an earlier calibration, which stay
    ///   - assignments: labels that all files are taken to have
    ///   - progress: told how many files have been mapped
    /// - Throws: `MediaError` or ``LatentError`` for a file that cannot be used
    init?(
        of views: [DetectorView], scaleItems: some Collection<Item>, items: some Collection<Item>,
        scales: [Double]? = nil, assignments: [String: String] = [:],
        progress: (Int) throws -> Void = { _ in }
    ) throws {
        guard !items.isEmpty else { return nil }
        let scales =
            try scales
            ?? views.map { view in
                let mapper = try Mapper([view], scales: [1], assignments: assignments)
                let files = scaleItems.isEmpty ? Array(items) : Array(scaleItems)
                let used = files.prefix(Self.scaleFileLimit)
                return try used.reduce(0) { sum, item in
                    let values = try mapper.map(of: item).values.values
                    let mean = values.reduce(0) { $0 + Double($1) } / Double(max(1, values.count))
                    return sum + mean / Double(used.count)
                }
            }
        self.init(scales: scales)
        let mapper = try Mapper(views, scales: scales, assignments: assignments)
        for (index, item) in items.prefix(Self.fileLimit).enumerated() {
            add(try mapper.map(of: item))
            try progress(index + 1)
        }
    }

    /// Takes the maps of fresh normal files for a model that is calibrated again; nil without files,
    /// or where they have no errors at all.
    ///
    /// - Parameters:
    ///   - file: the model; its scales stay where it has some
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
        let old = file.record.maps
        try self.init(
            of: try file.views(on: device), scaleItems: [Item](), items: items,
            scales: old?.scales, assignments: assignments, progress: progress)
        if isPooled, let old { add(old) }
    }
}
