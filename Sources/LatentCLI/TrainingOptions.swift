import ArgumentParser
import Latent

/// How it is trained, on which files, and what is fitted afterwards.
struct TrainingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Passes over the data, at most (about 1500 steps; 600 for detection).", valueName: "n"))
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
            "Nats of each stochastic layer that cost nothing at first (0; 2 with --layers).",
            valueName: "nats"))
    var freeNats: Double?

    @Option(
        help: ArgumentHelp(
            "Decay of the average of the weights that is kept; 0 keeps the last (0.995).",
            valueName: "x"))
    var average: Double?

    @Option(
        help: """
            Numbers that products of training are made of: float32, bfloat16 (bfloat16 where the \
            processor multiplies it, by AVX-512 BF16 or AMX).
            """)
    var precision: TrainingConfiguration.Precision?

    @Option(
        help: """
            How training windows are varied: light, small shifts and rotations of images, shifts \
            in time and hidden parts of recordings; none (light; none for detection).
            """)
    var augment: TrainingRequest.Augmentation?

    @Option(
        help: """
            What is done about classes of unequal size: none; resample, small ones are seen more \
            often; weight, they weigh more.
            """)
    var balance = TrainingConfiguration.Balance.none

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
        help: """
            Figure that files are ranked by, as in latent score --help (ensemble to detect, else \
            reconstruction-probability).
            """)
    var score: ScoreKind?

    @Option(
        help: ArgumentHelp(
            """
            To detect: networks that are trained for each view, of different seeds; scores are means \
            over them (1).
            """, valueName: "n"))
    var members = 1

    @Option(
        help: ArgumentHelp(
            """
            To draw: steps in which it is learned how files of a class differ, for latent augment \
            --method deform; 0 leaves it out (700).
            """, valueName: "n"))
    var deformSteps: Int?

    @Option(
        help: ArgumentHelp(
            """
            To draw: steps in which a normalizing flow of the latents is learned, for latent augment \
            --method flow, such as 2000; 0 leaves it out (0).
            """, valueName: "n"))
    var flowSteps = 0

    @Option(help: ArgumentHelp("Steps of the score regret (20).", valueName: "n"))
    var regretSteps: Int?

    @Option(
        help: ArgumentHelp(
            "Seconds from checkpoint to checkpoint; 0 after each step.", valueName: "s"))
    var checkpointInterval = 15.0

    @Option(
        help: ArgumentHelp(
            """
            What decoded windows that do not fit in memory may take in the user's cache folder \
            (latent/windows in XDG_CACHE_HOME, or in ~/.cache), from epoch to epoch and run to run, in \
            GB; 0 decodes them again each time.
            """, valueName: "gb"))
    var cache = Double(CachePolicy.usualDiskByteLimit) / 1e9

    func validate() throws {
        for (value, name, allowed) in [
            (epochs, "--epochs", 1...1_000_000), (batch, "--batch", 1...65_536),
            (patience, "--patience", 0...1_000_000), (draws, "--draws", ModelRecord.drawCounts),
            (regretSteps, "--regret-steps", ModelRecord.regretStepCounts),
            (deformSteps, "--deform-steps", 0...1_000_000),
            (flowSteps, "--flow-steps", 0...1_000_000), (members, "--members", 1...100),
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
        try checkShare(average, "--average", allowsZero: true)
        if let freeNats, !(freeNats >= 0 && freeNats <= 1000) {
            throw ValidationError("--free-nats is \(freeNats); it must be 0 to 1000.")
        }
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
        guard (0...1e6).contains(cache) else {
            throw ValidationError("--cache is \(cache); it must be 0 to 1000000 GB.")
        }
    }

    /// Where decoded windows are kept, by the user's variables.
    func cachePolicy(_ variables: [String: String]) -> CachePolicy {
        var policy = CachePolicy()
        policy.diskByteLimit = Int(cache * 1e9)
        policy.folder = cache > 0 ? CachePolicy.folder(ofUser: variables) : nil
        return policy
    }

    func apply(to request: inout TrainingRequest) {
        request.epochCount = epochs
        request.batchSize = batch
        request.learningRate = learningRate
        request.gradientClip = clip
        request.klWarmupShare = klWarmup
        request.freeNats = freeNats
        request.averageDecay = average
        request.precision = precision
        request.augmentation = augment
        request.balance = balance
        request.heldOutShare = validation
        request.calibrationShare = calibration
        request.patience = patience
        request.falseAlarmRate = falseAlarms
        request.drawCount = draws
        request.scoreKind = score
        request.regretStepCount = regretSteps
        request.deformationStepCount = deformSteps
        request.flowStepCount = flowSteps
        request.memberCount = members
    }
}

extension TrainingRequest {
    /// What the command line asks for.
    init(
        _ model: ModelOptions, _ windows: WindowOptions, _ training: TrainingOptions, seed: UInt64
    ) {
        self.init()
        model.apply(to: &self)
        windows.apply(to: &self)
        training.apply(to: &self)
        self.seed = seed
    }
}
