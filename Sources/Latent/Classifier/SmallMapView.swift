import Media
import Torch

/// How files become small maps, decided once from real files and the same for all that are compared.
///
/// An image is stretched to 32×32 pixels, grey, or RGB where most real ones have colour. A recording
/// is a log-mel spectrogram of 40 bands at the commonest sample rate (at most 16 kHz), its loudest
/// value 1 whatever the level, cut or filled with silence around its middle to the length that 98 % of
/// the real ones do not exceed, and stretched to 48 frames.
public struct SmallMapView: Sendable {
    private let preprocessing: Preprocessing
    let shape: WindowShape

    /// Side of the map of an image, in pixels.
    static let side = 32
    /// Bands of the map of a recording.
    static let bandCount = 40
    /// Frames of the map of a recording.
    static let frameCount = 48

    /// Decides from the real files.
    ///
    /// - Throws: ``LatentError`` where a sample rate is out of range, or there is no recording at all
    public init(of survey: Survey, domain: Domain) throws(LatentError) {
        switch domain {
        case .image:
            let coloured = survey.items.count(where: \.isColoured)
            let channels = coloured * 2 > survey.items.count ? 3 : 1
            let side = Self.side
            preprocessing = Preprocessing(
                view: .pixels(PixelView(channelCount: channels)),
                windowing: Windowing(mode: .whole, height: side, width: side, stride: side))
            shape = WindowShape(channelCount: channels, height: side, width: side)
        case .audio:
            guard !survey.items.isEmpty else {
                throw LatentError(
                    .data, "there are no real recordings that can be read",
                    hint: "name folders that have some")
            }
            let view = LogMelView(
                sampleRate: min(16_000, survey.mode(\.sampleRate)), melCount: Self.bandCount)
            try view.validate()
            let frames = survey.quantile(0.98) { item in
                view.frameCount(
                    sampleCount: view.sampleCount(of: item.width, at: item.sampleRate))
            }
            preprocessing = Preprocessing(
                view: .logMel(view),
                windowing: Windowing(
                    mode: .frames, height: Self.bandCount, width: max(1, frames),
                    stride: max(1, frames / 2)))
            shape = WindowShape(
                channelCount: 1, height: Self.bandCount, width: Self.frameCount)
        }
    }

    /// What files become, for people.
    public var description: String {
        switch preprocessing.view {
        case .pixels(let view):
            "\(view.channelCount == 3 ? "RGB" : "grey") at \(shape.height)×\(shape.width) pixels"
        case .logMel(let view):
            "log-mel at \(shape.height)×\(shape.width), \(preprocessing.windowing.width) frames at "
                + "\(view.sampleRate) Hz, level removed"
        }
    }

    /// What the axes and colours of maps are, below a sheet of them.
    var legend: SheetLegend {
        switch preprocessing.view {
        case .pixels:
            return SheetLegend(
                lines: ["\(shape.height)x\(shape.width) pixels, as they are compared"])
        case .logMel(let view):
            let seconds =
                Double(preprocessing.windowing.width * view.hopLength) / Double(view.sampleRate)
            let kilohertz = Double(view.sampleRate) / 2_000
            return SheetLegend(
                lines: [
                    "from left to right: time, \(decimal(seconds, digits: 2)) s",
                    "from bottom to top: frequency, 0 to \(decimal(kilohertz, digits: 1)) kHz, "
                        + "\(shape.height) mel bands",
                ],
                levels: .init(
                    low: "\(decimal(-view.rangeNats * LogMelView.decibelsPerNat, digits: 0)) dB",
                    high: "loudest"))
        }
    }

    /// The kind of files.
    public var domain: Domain { preprocessing.domain }

    /// Reads items ahead on other threads, in order.
    func reader(
        _ items: some Sequence<Item>, threadCount: Int
    ) throws -> ReadAhead<Item, ReadItem> {
        try ItemReader(preprocessings: [preprocessing], conditioning: nil, assignments: [:])(
            items, threadCount: threadCount, capacity: 64)
    }

    /// The map of the bytes of a file, in 0…1.
    ///
    /// - Throws: `MediaError` for a file that cannot be read right
    func map(ofBytes bytes: [UInt8], path: String) throws -> [Float] {
        try map(of: preprocessing.windows(of: bytes, path: path))
    }

    /// The map of a file, in 0…1; of a long recording that of its middle.
    func map(of windows: ItemWindows) throws -> [Float] {
        let middle = windows.count / 2
        let windowing = preprocessing.windowing
        return try FeatureMap(
            channelCount: shape.channelCount, height: windowing.height, width: windowing.width,
            values: windows.values(middle..<middle + 1)
        ).resized(height: shape.height, width: shape.width).values
    }
}
