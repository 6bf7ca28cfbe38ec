import ArgumentParser
import Foundation
import Latent

/// Classic transforms of the files that `augment` writes.
struct TransformOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Vary each new file, in this order; each draw is in the manifest. A number is the largest to \
            either side, a..b draws between. Images: flip-x, flip-y (probability, 0.5); shift (share of \
            the sides, 0.15); rotate (degrees, 14); scale (share, 0.15); crop (largest share cut off the \
            sides, then enlarged again, 0.2); elastic (standard deviation at the points of a 4x4 grid, \
            share of the sides, 0.05); brightness (of full intensity, 0.1); contrast (share, 0.2); noise \
            (standard deviation, of full intensity, 0.05). Recordings: gain (dB, 6); snr (noise mixed \
            in, at a signal-to-noise ratio in dB, 20..40); time-shift (share of the length, 0.1); \
            time-stretch (share by which the length changes, 0.1); pitch-shift (semitones, 2); \
            time-mask (largest share of the length, 0.1); frequency-mask (largest share of the mel \
            scale, 0.15). classic is rotate,scale,shift, or time-shift,gain,snr,time-mask,frequency-mask.
            """, valueName: "name[=x|=a..b],…"))
    var transform: String?

    @Option(
        help: ArgumentHelp(
            """
            What snr mixes in: white, pink, or a recording or folder of them; given several times, one \
            is drawn for each file (white).
            """, valueName: "white|pink|data"),
        completion: .file())
    var noise: [String] = []

    @Option(
        help: """
            What lies outside an image that is moved: edge, its outermost pixels; reflect, its mirror \
            image (edge).
            """)
    var padding: ImagePadding?

    func validate() throws {
        guard transform != nil || (noise.isEmpty && padding == nil) else {
            throw ValidationError("--noise and --padding go with --transform.")
        }
    }

    /// The transforms; nil where none are asked for.
    ///
    /// - Parameter domain: the kind of files that are written
    /// - Returns: the transforms, and the recordings of noise
    /// - Throws: `LatentError` for what is not possible, or noise that is not there
    func transforms(
        of domain: Domain
    ) throws -> (transforms: FileTransforms, noisePaths: [String])? {
        guard let transform else { return nil }
        var transforms = try FileTransforms(transform, domain: domain)
        guard noise.isEmpty || transforms.list.contains(where: { $0.kind == .snr }) else {
            throw LatentError(
                .usage, "--noise is what --transform snr mixes in, and the list has none",
                hint: "add snr=10..30 to --transform")
        }
        guard padding == nil || transforms.movesPixels else {
            throw LatentError(
                .usage, "--padding is for images that are moved, and no transform of the list does",
                hint: "leave it out")
        }
        transforms.padding = padding ?? .edge
        var paths: [String] = []
        if !noise.isEmpty {
            transforms.noiseSources = try noise.map { name in
                switch name {
                case "white": return .white
                case "pink": return .pink
                default:
                    let inputs = try Inputs([name], domain: .audio)
                    let found = inputs.map(\.path)
                    guard !found.isEmpty else {
                        throw LatentError.noFiles(to: "mix in", in: inputs)
                    }
                    paths += found
                    return .files(found)
                }
            }
        }
        return (transforms, paths)
    }
}

extension ImagePadding: ExpressibleByArgument {}
