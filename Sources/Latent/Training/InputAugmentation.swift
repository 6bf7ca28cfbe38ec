import Foundation
import Torch

/// How training windows are varied a little at each step, so that a network with few files learns
/// what does not matter.
///
/// Images are shifted and rotated; log-mels are shifted in time, and parts are hidden from the
/// encoder but not from what it is to be decoded to.
public struct InputAugmentation: Codable, Sendable, Equatable {
    /// Largest shift, as a share of height and width.
    public var shift = 0.0
    /// Largest rotation to either side, in degrees.
    public var rotationDegrees = 0.0
    /// Largest change of contrast to either side: values times 1 ± this.
    public var gain = 0.0
    /// Largest change of size to either side: lengths times 1 ± this.
    public var scale = 0.0
    /// Whether values are black or white, and stay so.
    public var binarises = false
    /// Largest shift in time, as a share of the width, to the nearest frame.
    public var timeShift = 0.0
    /// Largest share of the bands, and of the frames, that are hidden at once, to the nearest one.
    ///
    /// Source: Park et al., "SpecAugment", Interspeech 2019. Differs: the target stays whole, since
    /// a model of what is normal must not learn that holes are.
    public var maskShare = 0.0

    /// What fits a kind of windows: nothing that turns one class into another.
    public static func light(for preprocessing: Preprocessing) -> InputAugmentation {
        var augmentation = InputAugmentation()
        // Cells are moved as little as pixels, but not turned or scaled: they say directions.
        guard preprocessing.transform == nil else {
            augmentation.shift = 0.04
            return augmentation
        }
        switch preprocessing.view {
        case .pixels(let view):
            augmentation.shift = 0.04
            augmentation.rotationDegrees = 5
            augmentation.scale = 0.05
            augmentation.gain = view.binarises ? 0 : 0.05
            augmentation.binarises = view.binarises
        case .logMel:
            augmentation.timeShift = 0.05
            augmentation.maskShare = 0.1
        }
        return augmentation
    }

    /// Varies rows of a batch in place; each window's variation is keyed by the step and its place.
    func vary(_ rows: inout StepLoss.Rows, window: WindowShape, seed: UInt64, step: Int) {
        let length = window.elementCount
        var inputs: [Float] = []
        for index in 0..<rows.count {
            var generator = Generator(
                seed: seed, Stream.inputAugmentation.rawValue, UInt64(step),
                UInt64(rows.positions[index]))
            let range = index * length..<(index + 1) * length
            var values = Array(rows.values[range])
            if shift > 0 || rotationDegrees > 0 || scale > 0 || gain > 0 {
                values = moved(values, window: window, using: &generator)
            }
            if timeShift > 0 { values = delayed(values, window: window, using: &generator) }
            rows.values.replaceSubrange(range, with: values)
            if maskShare > 0 {
                SpectrogramMask(bandShare: maskShare, frameShare: maskShare)
                    .hide(in: &values, window, using: &generator)
                inputs += values
            }
        }
        rows.inputs = maskShare > 0 ? inputs : nil
    }

    private static func signed(_ limit: Double, using generator: inout Generator) -> Double {
        limit * (2 * Double(generator.uniform()) - 1)
    }

    /// Rotates and scales around the centre and shifts, bilinear, edges repeated; then scales the
    /// contrast.
    private func moved(
        _ values: [Float], window: WindowShape, using generator: inout Generator
    ) -> [Float] {
        let angle = Self.signed(rotationDegrees, using: &generator) * .pi / 180
        let down = Self.signed(shift, using: &generator) * Double(window.height)
        let right = Self.signed(shift, using: &generator) * Double(window.width)
        let factor = Float(1 + Self.signed(gain, using: &generator))
        let size = 1 / (1 + Self.signed(scale, using: &generator))
        let (sine, cosine) = (sin(angle) * size, cos(angle) * size)
        let (height, width) = (window.height, window.width)
        let (middleY, middleX) = (Double(height - 1) / 2, Double(width - 1) / 2)
        var result = [Float](repeating: 0, count: values.count)
        values.withUnsafeBufferPointer { values in
            for y in 0..<height {
                for x in 0..<width {
                    let (dy, dx) = (Double(y) - middleY - down, Double(x) - middleX - right)
                    let place = BilinearPlace(
                        x: sine * dy + cosine * dx + middleX, y: cosine * dy - sine * dx + middleY,
                        height: height, width: width)
                    for channel in 0..<window.channelCount {
                        let base = channel * height * width
                        let value = place.value(of: values, planeAt: base) * factor
                        result[base + y * width + x] =
                            binarises ? (value >= 0.5 ? 1 : 0) : min(max(value, 0), 1)
                    }
                }
            }
        }
        return result
    }

    /// Shifts along the width by whole frames; what comes in is silence.
    private func delayed(
        _ values: [Float], window: WindowShape, using generator: inout Generator
    ) -> [Float] {
        let limit = min(1, timeShift) * Double(window.width)
        // Each whole number of frames is as likely; the very end of the range would be one beyond.
        let largest = Int(limit.rounded())
        let drawn = Self.signed(Double(largest) + 0.5, using: &generator).rounded()
        let delay = max(-largest, Int(drawn))
        guard delay != 0 else { return values }
        var result = [Float](repeating: 0, count: values.count)
        for row in 0..<window.channelCount * window.height {
            let base = row * window.width
            for column in max(0, delay)..<min(window.width, window.width + delay) {
                result[base + column] = values[base + column - delay]
            }
        }
        return result
    }
}
