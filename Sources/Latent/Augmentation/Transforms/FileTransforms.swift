import Foundation
import Media
import Torch

/// Classic transforms of files: a list that is applied to each, in its order.
///
/// What is drawn for a file depends on the seed, the number of the draw and the place in the list
/// alone.
public struct FileTransforms: Sendable {
    /// The kind of files.
    public let domain: Domain
    /// What is done, in order.
    public let list: [Transform]
    /// What lies outside an image.
    public var padding = ImagePadding.edge
    /// Where the noise of `snr` comes from; one of them is drawn for each file.
    public var noiseSources: [NoiseSource] = [.white]
    private let noiseRecordings = NoiseRecordings()

    /// Transforms for the files of a domain.
    ///
    /// - Parameters:
    ///   - text: as `--transform` has it; see ``Transform/list(_:domain:)``
    ///   - domain: the kind of files
    /// - Throws: ``LatentError`` `.usage` for names and values that are not possible
    public init(_ text: String, domain: Domain) throws(LatentError) {
        self.domain = domain
        list = try Transform.list(text, domain: domain)
    }

    /// The largest sample that 16 bits hold.
    static let fullScale: Float = 32_767 / 32_768

    /// Whether a transform of the list moves pixels, so that some come from outside the image.
    public var movesPixels: Bool {
        list.contains { [.shift, .rotate, .scale, .crop, .elastic].contains($0.kind) }
    }

    /// All that the result depends on, in words.
    var description: String {
        let list = list.map {
            "\($0.kind.rawValue)=\($0.range.lowerBound)..\($0.range.upperBound)"
        }.joined(separator: ",")
        let noise = noiseSources.map { source in
            switch source {
            case .white: "white"
            case .pink: "pink"
            case .files(let paths):
                "\(paths.count) files, \(ContentHash(of: Array(paths.joined(separator: "\0").utf8)))"
            }
        }
        return "\(list); padding \(padding.rawValue); noise \(noise.joined(separator: ", "))"
    }

    /// Applies the list to a file.
    ///
    /// - Throws: `MediaError` or ``LatentError`` for a file of noise that cannot be read right
    func apply(
        to file: DecodedFile, seed: UInt64, draw: Int
    ) throws -> (DecodedFile, [AppliedTransform]) {
        switch file {
        case .image(let image):
            let (made, applied) = apply(to: image, seed: seed, draw: draw)
            return (.image(made), applied)
        case .recording(let audio):
            let (made, applied) = try apply(to: audio, seed: seed, draw: draw)
            return (.recording(made), applied)
        }
    }

    private func generator(seed: UInt64, draw: Int, place: Int) -> Generator {
        Generator(seed: seed, Stream.transforms.rawValue, UInt64(draw), UInt64(place))
    }

    /// Movements that follow each other are one, so that the image is interpolated once.
    func apply(to image: Image, seed: UInt64, draw: Int) -> (Image, [AppliedTransform]) {
        var planes = ImagePlanes(image)
        var applied: [AppliedTransform] = []
        var warp = ImageWarp(height: image.height, width: image.width, padding: padding)
        for (place, transform) in list.enumerated() {
            var generator = generator(seed: seed, draw: draw, place: place)
            if let movement = warp.append(transform, using: &generator) {
                applied.append(movement)
            } else {
                planes = warp.applied(to: planes)
                warp.reset()
                applied += planes.change(transform, using: &generator)
            }
        }
        return (warp.applied(to: planes).image, applied)
    }

    func apply(
        to audio: Audio, seed: UInt64, draw: Int
    ) throws -> (Audio, [AppliedTransform]) {
        var signal = Signal(audio)
        let peak = max(Self.fullScale, signal.peak)
        var applied: [AppliedTransform] = []
        for (place, transform) in list.enumerated() {
            var generator = generator(seed: seed, draw: draw, place: place)
            applied += try signal.change(
                transform, noiseSources: noiseSources, recordings: noiseRecordings,
                using: &generator)
        }
        // Files of floats may have been above full scale already.
        if signal.peak > peak {
            let factor = peak / signal.peak
            signal.scale(by: factor)
            applied.append(
                AppliedTransform(
                    "limit", ["gain_db": .number(Transform.rounded(20 * log10(Double(factor))))]))
        }
        return (signal.audio(encoding: audio.encoding), applied)
    }
}
