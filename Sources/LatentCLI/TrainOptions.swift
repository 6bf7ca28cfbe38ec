import ArgumentParser
import Latent

struct ModelOptions: ParsableArguments {
    @Option(help: "Kind of network: conv, mlp.")
    var architecture: VAEConfiguration.Architecture?

    @Option(
        help: ArgumentHelp(
            "Channels of the convolutions, or widths of the hidden layers (32,64,128).",
            valueName: "n,n,…"))
    var channels: WidthList?

    @Option(help: ArgumentHelp("Latent dimensions (16).", valueName: "n"))
    var latent: Int?

    @Option(
        help: """
            p(x|z): bernoulli; gaussian, with one variance at its optimum; gaussian-per-element, \
            with a variance for each element, fitted after the mean.
            """)
    var likelihood = LikelihoodKind.gaussian

    func apply(to request: inout TrainingRequest) {
        request.architecture = architecture
        request.widths = channels?.values
        request.latentCount = latent
        request.likelihood = likelihood
    }
}

struct WindowOptions: ParsableArguments {
    enum Cut: String, CaseIterable, ExpressibleByArgument { case whole, grid }
    enum Colour: String, CaseIterable, ExpressibleByArgument { case grey, rgb }

    @Option(
        help: ArgumentHelp(
            "Size of a window: pixels, or height x width; for recordings the width in frames.",
            valueName: "n|hxw"))
    var size: WindowSize?

    @Option(help: "Images: whole ones resized, or a grid of patches (whole up to 96 pixels).")
    var windows: Cut?

    @Option(help: "Images: grey or rgb (rgb where most images are coloured).")
    var colour: Colour?

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

    @Option(help: "How windows become one figure of a file: mean, max, top-tenth.")
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
        request.windowSize = size.map { ($0.height, $0.width) }
        request.windowing = windows.map { $0 == .whole ? .whole : .grid }
        request.colourChannelCount = colour.map { $0 == .grey ? 1 : 3 }
        request.sampleRate = sampleRate
        request.fftLength = fft
        request.hopLength = hop
        request.melCount = mels
        request.rangeDecibels = range
        request.aggregate = aggregate
    }
}

struct TrainingOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Passes over the data, at most (about 1500 steps).", valueName: "n"))
    var epochs: Int?

    @Option(help: ArgumentHelp("Windows of a step (64; 128 for more than 2000).", valueName: "n"))
    var batch: Int?

    @Option(help: ArgumentHelp("Peak of the learning rate (0.002).", valueName: "x"))
    var learningRate: Double?

    @Option(
        help: ArgumentHelp("Joint norm above which gradients are scaled down (1).", valueName: "x"))
    var clip: Double?

    @Option(
        help: ArgumentHelp(
            "Share of the steps over which the KL term warms up (0.15).", valueName: "share"))
    var klWarmup: Double?

    @Option(
        help: ArgumentHelp(
            "Share of the files that decides when to stop (0.1).", valueName: "share"))
    var validation: Double?

    @Option(
        help: ArgumentHelp(
            "Share of the files that thresholds are fitted to (0.1).", valueName: "share"))
    var calibration: Double?

    @Option(
        help: ArgumentHelp(
            "Epochs without a better held-out bound before stopping; 0 never stops (a quarter).",
            valueName: "n"))
    var patience: Int?

    @Option(
        help: ArgumentHelp(
            "False-alarm rate that thresholds are set for (0.05).", valueName: "rate"))
    var falseAlarms: Double?

    @Option(help: ArgumentHelp("Draws of z for each window in scoring (16).", valueName: "n"))
    var draws = 16

    @Option(
        help: ArgumentHelp(
            "Seconds from checkpoint to checkpoint; 0 after each step.", valueName: "s"))
    var checkpointInterval = 15.0

    func validate() throws {
        for (value, name, allowed) in [
            (epochs, "--epochs", 1...1_000_000), (batch, "--batch", 1...65_536),
            (patience, "--patience", 0...1_000_000), (draws, "--draws", 1...1_000_000),
        ] as [(Int?, String, ClosedRange<Int>)] {
            if let value, !allowed.contains(value) {
                throw ValidationError(
                    "\(name) is \(value); it must be \(allowed.lowerBound) to "
                        + "\(allowed.upperBound).")
            }
        }
        for (value, name) in [(learningRate, "--learning-rate"), (clip, "--clip")] {
            if let value, !(value > 0 && value.isFinite) {
                throw ValidationError("\(name) is \(value); it must be above 0.")
            }
        }
        try checkShare(klWarmup, "--kl-warmup", allowsZero: true)
        try checkShare(validation, "--validation", allowsZero: true)
        try checkShare(calibration, "--calibration", allowsZero: true)
        try checkShare(falseAlarms, "--false-alarms")
        guard (validation ?? 0.1) + (calibration ?? 0.1) < 0.95 else {
            throw ValidationError("--validation and --calibration leave nothing to train on.")
        }
        guard checkpointInterval >= 0, checkpointInterval.isFinite else {
            throw ValidationError(
                "--checkpoint-interval is \(checkpointInterval); it must be 0 or more.")
        }
    }

    func apply(to request: inout TrainingRequest) {
        request.epochCount = epochs
        request.batchSize = batch
        request.learningRate = learningRate
        request.gradientClip = clip
        request.klWarmupShare = klWarmup
        request.heldOutShare = validation
        request.calibrationShare = calibration
        request.patience = patience
        request.falseAlarmRate = falseAlarms
        request.drawCount = draws
    }
}
