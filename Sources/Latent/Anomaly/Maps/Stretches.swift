/// How a long recording is cut into stretches, each of which is looked through for segments as a recording
/// of its own.
///
/// What stands out of an hour of sound is not what stands out of a second: recordings drift, and the strongest
/// run of frames is the stronger the longer it may be. So normal recordings are taken in stretches of at
/// most ``longest`` frames, and a new one in stretches like these.
struct Stretches: Sendable, Equatable {
    /// Frames; nil where recordings are taken whole, however long.
    let count: Int?

    /// Frames of a stretch, at most: half a minute at the usual hop of 16 ms.
    static let longest = 2_048
    /// A recording of up to so many times the frames of a stretch is taken whole, as edges would cost more
    /// than they are worth.
    private static let slack = 4

    /// As normal recordings are cut.
    static let calibrating = Stretches(count: longest)

    /// The stretches of a recording, all equally long but for a frame.
    func ranges(of frameCount: Int) -> [Range<Int>] {
        guard let count, frameCount > min(Self.longest, Self.slack * count) else {
            return [0..<frameCount]
        }
        let parts = (frameCount + count - 1) / count
        return (0..<parts).map { frameCount * $0 / parts..<frameCount * ($0 + 1) / parts }
    }
}
