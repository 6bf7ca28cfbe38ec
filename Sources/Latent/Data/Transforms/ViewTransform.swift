/// What is made of pixels or log-mels before a model reads them, so that what matters stands out; it
/// cannot be turned back into a file.
///
/// The heavy part is done once for a whole image or recording, which becomes a map of cells; windows
/// are cut from the cells, and each is finished on its own. One more transform is one more file in
/// `Transforms/`, its case in ``ViewTransform`` and a test.
protocol MapTransform: Sendable {
    /// Pixels, or bands and frames, along a side of a cell.
    var cellSide: Int { get }

    /// Channels of the cells of a map of C channels.
    func channelCount(of channelCount: Int) -> Int

    /// [C, H, W] → [C', ⌈H / s⌉, ⌈W / s⌉].
    func cells(of map: FeatureMap) -> FeatureMap

    /// What can be done only within a window of cells.
    func finish(_ window: inout [Float])

    /// The numbers that a model file may have got wrong, and what they may be.
    var limits: [(what: String, value: Double, range: ClosedRange<Double>)] { get }
}

extension MapTransform {
    func channelCount(of channelCount: Int) -> Int { channelCount }
    func finish(_ window: inout [Float]) {}
}

/// The transforms, and their numbers; saved in the model.
public enum ViewTransform: Codable, Sendable, Equatable {
    /// Blurred, at half the size.
    case smooth(SmoothCells)
    /// Where edges point, cell by cell, whatever their contrast.
    case gradients(GradientCells)
    /// How values differ from those around them, in units of how much they do there.
    case contrast(LocalContrast)

    var transform: any MapTransform {
        switch self {
        case .smooth(let transform): transform
        case .gradients(let transform): transform
        case .contrast(let transform): transform
        }
    }

    /// Each with its usual numbers.
    static let usual: [ViewTransform] = [
        .smooth(SmoothCells()), .gradients(GradientCells()), .contrast(LocalContrast()),
    ]

    /// A transform with its usual numbers; nil where there is none of that name.
    init?(named name: String) {
        guard let found = Self.usual.first(where: { $0.name == name }) else { return nil }
        self = found
    }

    /// As `--view` has it.
    public var name: String { key.stringValue }

    private enum CodingKeys: String, CodingKey { case smooth, gradients, contrast }

    private var key: CodingKeys {
        switch self {
        case .smooth: .smooth
        case .gradients: .gradients
        case .contrast: .contrast
        }
    }

    /// Reads `{"gradients": {…}}`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let cells = try container.decodeIfPresent(SmoothCells.self, forKey: .smooth) {
            self = .smooth(cells)
        } else if let cells = try container.decodeIfPresent(GradientCells.self, forKey: .gradients)
        {
            self = .gradients(cells)
        } else {
            self = .contrast(try container.decode(LocalContrast.self, forKey: .contrast))
        }
    }

    /// Writes the transform under its name.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .smooth(let cells): try container.encode(cells, forKey: key)
        case .gradients(let cells): try container.encode(cells, forKey: key)
        case .contrast(let cells): try container.encode(cells, forKey: key)
        }
    }

    func validate() throws(LatentError) {
        let sides = (what: "a cell side", value: Double(transform.cellSide), range: 1.0...64)
        for (what, value, range) in transform.limits + [sides] where !range.contains(value) {
            throw LatentError(
                .model,
                "the view has \(what) of \(value); expected \(range.lowerBound) to "
                    + "\(range.upperBound)")
        }
    }
}
