import Foundation

/// What is done to the time of a recording.
extension Signal {
    /// Delays the sound by so many samples, or brings it forward where they are below 0.
    ///
    /// The length stays: what leaves at one end is lost, and silence comes in at the other. Both ends of
    /// the sound are faded.
    mutating func shift(by offset: Int) {
        guard offset != 0 else { return }
        let count = length
        let kept = max(0, offset)..<max(max(0, offset), min(count, count + offset))
        for channel in channels.indices {
            var moved = [Float](repeating: 0, count: count)
            for index in kept { moved[index] = channels[channel][index - offset] }
            channels[channel] = moved
        }
        let fade = min(fadeCount, kept.count / 2)
        self.fade(kept.lowerBound..<kept.lowerBound + fade, isRising: true)
        self.fade(kept.upperBound - fade..<kept.upperBound, isRising: false)
    }

    /// Silences a part, with fades inside it.
    mutating func silence(_ range: Range<Int>) {
        let fade = min(fadeCount, range.count / 2)
        self.fade(range.lowerBound..<range.lowerBound + fade, isRising: false)
        self.fade(range.upperBound - fade..<range.upperBound, isRising: true)
        for channel in channels.indices {
            for index in range.lowerBound
                + fade..<max(range.upperBound - fade, range.lowerBound + fade)
            {
                channels[channel][index] = 0
            }
        }
    }

    /// Changes the pitch and keeps the length.
    ///
    /// Stretched by 2^(n/12), then read as much faster. That ratio is a fraction of numbers up to 250:
    /// right to 4 cents at the smallest shifts, and to 0.2 cents from a tenth of a semitone on.
    mutating func shiftPitch(semitones: Double) throws {
        let ratio = pow(2, semitones / 12)
        let steps = (1...250).map { (to: $0, from: max(1, Int((ratio * Double($0)).rounded()))) }
            .filter { $0.from <= 250 }
        func error(_ step: (to: Int, from: Int)) -> Double {
            abs(log(Double(step.from) / Double(step.to) / ratio))
        }
        guard let step = steps.min(by: { error($0) < error($1) }), step.to != step.from else {
            return
        }
        let count = length
        stretch(to: max(1, (count * step.from + step.to / 2) / step.to))
        let resampler = Resampler(from: step.from, to: step.to)
        for channel in channels.indices {
            let read = try resampler.apply(channels[channel]).prefix(count)
            channels[channel] = read + [Float](repeating: 0, count: count - read.count)
        }
    }
}
