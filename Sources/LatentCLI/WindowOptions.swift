import ArgumentParser
import Latent

/// What the model reads of files.
struct WindowOptions: ParsableArguments {
    enum Level: String, CaseIterable, ExpressibleByArgument { case kept, removed }
    enum Cut: String, CaseIterable, ExpressibleByArgument { case whole, grid }
    enum Colour: String, CaseIterable, ExpressibleByArgument { case grey, rgb }

    @Option(
        name: [.customLong("view"), .customLong("views")],
        help: ArgumentHelp(
            """
            What the model reads: auto; pixels or log-mel, as they are; and to detect smooth, \
            blurred at half the size; gradients, where edges point whatever their contrast; \
            contrast, how values differ from those around them. Several are trained one after the \
            other, and their scores combined (auto).
            """, valueName: "name,…"), transform: NameList.read)
    var view: NameList?

    @Option(
        help: """
            Recordings, to detect: kept or removed; loudness counts, or not (kept where the sound is \
            steady).
            """)
    var level: Level?

    @Option(
        help: ArgumentHelp(
            "Size of a window: pixels, or height x width; for recordings the width in frames.",
            valueName: "n|hxw"), transform: WindowSize.read)
    var size: WindowSize?

    @Option(help: "Images: whole ones resized, or a grid of patches (whole up to 96 pixels).")
    var windows: Cut?

    @Option(help: "Images: grey or rgb (rgb where most images are coloured).")
    var colour: Colour?

    @Flag(help: "Images: black and white, at one half, after resizing.")
    var binarise = false

    @Option(
        help: ArgumentHelp(
            "Recordings: sample rate (that of most, at most 16000).", valueName: "hz"))
    var sampleRate: Int?

    @Option(help: ArgumentHelp("Recordings: samples of a frame (about 32 ms).", valueName: "n"))
    var fft: Int?

    @Option(
        help: ArgumentHelp("Recordings: samples from frame to frame (half of one).", valueName: "n")
    )
    var hop: Int?

    @Option(help: ArgumentHelp("Recordings: mel bands (40).", valueName: "n"))
    var mels: Int?

    @Option(
        help: ArgumentHelp("Recordings: range from silence to the loudest (43).", valueName: "db"))
    var range: Double?

    @Option(help: "How windows become one figure of a file: mean, max, top-tenth, top-hundredth.")
    var aggregate: Aggregate?

    func validate() throws {
        for (value, name, allowed) in [
            (sampleRate, "--sample-rate", 1_000...768_000), (fft, "--fft", 16...65_536),
            (hop, "--hop", 1...32_768), (mels, "--mels", 1...4_096),
        ] {
            if let value, !allowed.contains(value) {
                throw ValidationError(
                    "\(name) is \(value); it must be \(allowed.lowerBound) to "
                        + "\(allowed.upperBound).")
            }
        }
        if let range, !(range > 0 && range <= 200) {
            throw ValidationError("--range is \(range); it must be above 0 and at most 200 dB.")
        }
    }

    func apply(to request: inout TrainingRequest) {
        request.viewNames = view?.values == ["auto"] ? [] : view?.values ?? []
        request.keepsLevel = level.map { $0 == .kept }
        request.windowSize = size.map { ($0.height, $0.width) }
        request.windowing = windows.map { $0 == .whole ? .whole : .grid }
        request.colourChannelCount = colour.map { $0 == .grey ? 1 : 3 }
        request.binarises = binarise
        request.sampleRate = sampleRate
        request.fftLength = fft
        request.hopLength = hop
        request.melCount = mels
        request.rangeDecibels = range
        request.aggregate = aggregate
    }
}
