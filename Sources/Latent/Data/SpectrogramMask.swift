import Torch

/// Hides a run of bands and a run of frames of a spectrogram.
///
/// Source: D. S. Park et al., "SpecAugment", Interspeech 2019, without its time warp; one run of each, that
/// may be empty.
struct SpectrogramMask {
    /// Shares of the bands and of the frames that are hidden, at most.
    let bandShare, frameShare: Double

    /// Sets what is hidden to 0, in all channels of [C, H, W].
    func hide(in values: inout [Float], _ shape: WindowShape, using generator: inout Generator) {
        func run(_ length: Int, _ share: Double) -> Range<Int> {
            let most = (min(1, share) * Double(length)).rounded()
            let count = min(length, Int(Double(generator.uniform()) * (most + 1)))
            let start = Int(Double(generator.uniform()) * Double(length - count + 1))
            return start..<min(length, start + count)
        }
        let bands = run(shape.height, bandShare)
        let frames = run(shape.width, frameShare)
        for channel in 0..<shape.channelCount {
            for band in 0..<shape.height {
                let base = (channel * shape.height + band) * shape.width
                for frame in bands.contains(band) ? 0..<shape.width : frames {
                    values[base + frame] = 0
                }
            }
        }
    }
}
