import Foundation
import Media
import Torch

/// What a lossless compressor needs for a window, in nats: the length of a PNG file of it.
///
/// A likelihood is high for whatever is simple; what is left after this correction is by how much the
/// model does better than a compressor that knows of no data.
///
/// Source: Serrà et al., "Input complexity and out-of-distribution detection with likelihood-based
/// generative models", ICLR 2020, equation 2, with PNG as the compressor. The window is as the model
/// reads it, in steps of 1/255. Values outside of 0…1, which some views have, wrap around: PNG's
/// filters take differences modulo 256. Three channels are one picture in colour, any other number one
/// grey picture of the channels one below the other. The frame of a file, some 60 bytes, is the same
/// for all windows; so is what turns a density into probabilities of steps, which is left out.
struct InputComplexity: LikelihoodCorrection {
    func obstacle(_ configuration: VAEConfiguration) -> (message: String, hint: String)? { nil }

    /// - Complexity: one PNG file for each window, some 0.1 ms for 28×28
    func cost(of batch: ScoredBatch) throws -> [Double] {
        let shape = batch.model.configuration.windowShape
        let (channels, height, width) = (shape[0], shape[1], shape[2])
        let values = try batch.x.floats()
        let count = channels * height * width
        return try (0..<batch.x.shape[0]).map { window in
            let codes = values[window * count..<(window + 1) * count].map(Self.code)
            let isColour = channels == 3
            let image = Image(
                width: width, height: isColour ? height : channels * height,
                channelCount: isColour ? 3 : 1, bitDepth: 8,
                samples: isColour ? Self.interleaved(codes, area: height * width) : codes)
            return Double(try image.pngData(compressionLevel: 9).count) * 8 * log(2)
        }
    }

    /// The nearest step of 1/255, modulo 256.
    private static func code(_ value: Float) -> UInt16 {
        let step = (value * 255).rounded()
        // Far beyond what any view gives, where an integer would overflow.
        guard abs(step) < 1e9 else { return 0 }
        return UInt16(truncatingIfNeeded: Int(step) & 255)
    }

    /// [3, A] → [A, 3].
    private static func interleaved(_ codes: [UInt16], area: Int) -> [UInt16] {
        (0..<area).flatMap { [codes[$0], codes[area + $0], codes[2 * area + $0]] }
    }
}
