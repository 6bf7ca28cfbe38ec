/// What a user may ask of training; everything left nil is chosen from the data.
public struct TrainingRequest: Sendable {
    /// The kind of network; nil chooses `conv`.
    public var architecture: VAEConfiguration.Architecture?
    /// Channels of the convolutions, or widths of the hidden layers.
    public var widths: [Int]?
    /// Latent dimensions; nil chooses 16.
    public var latentCount: Int?
    /// p(x|z).
    public var likelihood = LikelihoodKind.gaussian
    /// What training minimises.
    public var objective = ObjectiveConfiguration(.vae)
    /// Stochastic layers; above 1 a hierarchical model.
    public var layerCount = 1
    /// Channels of the latents below the top one.
    public var mapChannelCount: Int?
    /// Attributes that the model is told, such as `class`.
    public var conditionNames: [String] = []
    /// Whether images become black and white, at one half.
    public var binarises = false
    /// How training windows are varied.
    public var augmentation = Augmentation.light
    /// What is done about classes of unequal size.
    public var balance = TrainingConfiguration.Balance.none
    /// Numbers that products of training are made of; nil for float32.
    public var precision: TrainingConfiguration.Precision?
    /// Nats of each stochastic layer that cost nothing at first.
    public var freeNats: Double?
    /// Decay of the average of the weights.
    public var averageDecay: Double?
    /// Height and width of a window; for recordings the width in frames.
    public var windowSize: (height: Int, width: Int)?
    /// Whole images, or patches.
    public var windowing: Windowing.Mode?
    /// 1 grey, 3 RGB.
    public var colourChannelCount: Int?
    /// Hz, for recordings.
    public var sampleRate: Int?
    /// Samples of a frame.
    public var fftLength: Int?
    /// Samples from frame to frame.
    public var hopLength: Int?
    /// Mel bands.
    public var melCount: Int?
    /// Decibels between 0 and 1 of a log-mel value.
    public var rangeDecibels: Double?
    /// Passes over the training part.
    public var epochCount: Int?
    /// Windows of a step.
    public var batchSize: Int?
    /// Epochs without a better held-out bound before training stops; 0 never stops early.
    public var patience: Int?
    /// Peak learning rate.
    public var learningRate: Double?
    /// Joint norm of the gradients.
    public var gradientClip: Double?
    /// Share of the steps over which the KL term warms up.
    public var klWarmupShare: Double?
    /// Share of the items that decides when to stop.
    public var heldOutShare: Double?
    /// Share of the items that thresholds are fitted to.
    public var calibrationShare: Double?
    /// The rate that thresholds are set for.
    public var falseAlarmRate: Double?
    /// How windows become an item.
    public var aggregate: Aggregate?
    /// L, draws for each window.
    public var drawCount = 16
    /// The source of every random choice.
    public var seed: UInt64 = 0

    /// How training windows are varied.
    public enum Augmentation: String, Sendable, CaseIterable {
        /// Not at all.
        case none
        /// A little, as fits the kind of files.
        case light
    }

    /// Asks for nothing in particular.
    public init() {}
}

/// What a survey and a request come to: everything that is decided before the first step.
struct TrainingPlan {
    let model: VAEConfiguration
    let preprocessing: Preprocessing
    let aggregate: Aggregate

    /// Whole images up to this side; larger ones become patches.
    private static let wholeImageSide = 96
    private static let largestDefaultSide = 64
    private static let longestDefaultFrames = 96

    init(_ request: TrainingRequest, survey: Survey, domain: Domain) throws(LatentError) {
        let architecture = request.architecture ?? (request.layerCount > 1 ? .resnet : .conv)
        let widths = request.widths ?? architecture.network.defaultWidths
        let multiple = architecture.network.sideMultiple(widths: widths)
        switch domain {
        case .image:
            preprocessing = Self.images(request, survey: survey, multiple: max(8, multiple))
        case .audio:
            preprocessing = try Self.recordings(request, survey: survey, multiple: max(8, multiple))
        }
        var model = VAEConfiguration(
            channelCount: preprocessing.channelCount, height: preprocessing.windowing.height,
            width: preprocessing.windowing.width, architecture: architecture, widths: widths,
            latentCount: request.latentCount ?? 16, likelihood: request.likelihood)
        model.objective = request.objective
        model.layerCount = request.layerCount
        if let count = request.mapChannelCount { model.mapChannelCount = count }
        if !request.conditionNames.isEmpty {
            model.conditioning = try Conditioning(
                names: request.conditionNames, of: survey.items.map(\.item))
        }
        try model.validate()
        self.model = model
        aggregate =
            request.aggregate ?? (preprocessing.windowing.mode == .grid ? .topTenth : .mean)
    }

    private static func roundedUp(_ value: Int, to multiple: Int) -> Int {
        max(multiple, (value + multiple - 1) / multiple * multiple)
    }

    private static func images(
        _ request: TrainingRequest, survey: Survey, multiple: Int
    ) -> Preprocessing {
        let height = survey.mode(\.height)
        let width = survey.mode(\.width)
        let longest = survey.quantile(0.5) { max($0.height, $0.width) }
        let mode = request.windowing ?? (longest <= wholeImageSide ? .whole : .grid)
        var size = request.windowSize
        if size == nil, mode == .whole {
            let scale = min(1, Double(largestDefaultSide) / Double(max(height, width, 1)))
            size = (
                roundedUp(Int((Double(height) * scale).rounded()), to: multiple),
                roundedUp(Int((Double(width) * scale).rounded()), to: multiple)
            )
        }
        let side = roundedUp(largestDefaultSide, to: multiple)
        let (windowHeight, windowWidth) = size ?? (side, side)
        let coloured = survey.items.filter(\.isColoured).count
        let channels = request.colourChannelCount ?? (coloured * 2 > survey.items.count ? 3 : 1)
        var view = PixelView(channelCount: channels)
        view.binarises = request.binarises
        return Preprocessing(
            view: .pixels(view),
            windowing: Windowing(
                mode: mode, height: windowHeight, width: windowWidth,
                stride: max(1, min(windowHeight, windowWidth) / 2)))
    }

    private static func recordings(
        _ request: TrainingRequest, survey: Survey, multiple: Int
    ) throws(LatentError) -> Preprocessing {
        guard !request.binarises else {
            throw LatentError(
                .usage, "--binarise with recordings", hint: "it is for images; leave it out")
        }
        let rate = request.sampleRate ?? min(16_000, survey.mode(\.sampleRate))
        var view = LogMelView(sampleRate: rate)
        if let length = request.fftLength {
            view.fftLength = length
            view.hopLength = length / 2
        }
        if let hop = request.hopLength { view.hopLength = hop }
        view.melCount = request.melCount ?? roundedUp(40, to: multiple)
        if let decibels = request.rangeDecibels { view.rangeNats = decibels / 4.342_944_819 }
        try view.validate()
        let frames: Int
        if let size = request.windowSize {
            frames = size.width
        } else {
            // Long enough for nearly every clip to be one window, unless clips are long.
            let typical = survey.quantile(0.98) { item in
                view.frameCount(
                    sampleCount: view.sampleCount(of: item.width, at: item.sampleRate))
            }
            frames =
                typical <= longestDefaultFrames
                ? roundedUp(typical, to: multiple) : roundedUp(64, to: multiple)
        }
        return Preprocessing(
            view: .logMel(view),
            windowing: Windowing(
                mode: .frames, height: view.melCount, width: frames, stride: max(1, frames / 2)))
    }
}
