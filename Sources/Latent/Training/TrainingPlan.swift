/// What a user may ask of training; everything left nil is chosen from the data.
public struct TrainingRequest: Sendable {
    /// What the model is to be good at; nil chooses from the data.
    public var purpose: Purpose?
    /// The views, by the names that ``Preprocessing/viewName`` gives them; empty chooses.
    public var viewNames: [String] = []
    /// Whether recordings keep their level; nil chooses.
    public var keepsLevel: Bool?
    /// The kind of network; nil chooses `conv`, or `mlp` to detect.
    public var architecture: VAEConfiguration.Architecture?
    /// Channels of the convolutions, or widths of the hidden layers.
    public var widths: [Int]?
    /// Latent dimensions; nil chooses 16, or 8 to detect.
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
    /// How training windows are varied; nil varies them lightly, or not at all to detect.
    public var augmentation: Augmentation?
    /// What is done about classes of unequal size.
    public var balance = TrainingConfiguration.Balance.none
    /// Numbers that products of training are made of; nil for what suits the processor.
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
    /// The score that files are ranked by; nil chooses the ensemble of a model that detects, else the
    /// reconstruction probability.
    public var scoreKind: ScoreKind?
    /// Networks of each view of a model that detects, whose scores are averaged.
    public var memberCount = 1
    /// Steps in which a model that draws learns how items of a class differ; 0 for not at all, nil for
    /// the default.
    public var deformationStepCount: Int?
    /// Steps in which a model that draws learns a flow of its latents; 0 for not at all.
    public var flowStepCount = 0
    /// Steps of `regret`; nil for the default.
    public var regretStepCount: Int?
    /// The source of every random choice.
    public var seed: UInt64 = 0

    /// What a model can be for.
    public enum Purpose: String, Codable, Sendable, CaseIterable {
        /// To tell what does not belong: reads a view in which that stands out.
        case detection
        /// To draw new files: reads what can be turned back into them.
        case augmentation
    }

    /// How training windows are varied.
    public enum Augmentation: String, Sendable, CaseIterable {
        /// Not at all.
        case off = "none"
        /// A little, as fits the kind of files.
        case light
    }

    /// Asks for nothing in particular.
    public init() {}
}

/// One network and what it reads.
struct ViewPlan {
    let model: VAEConfiguration
    let preprocessing: Preprocessing
    let aggregate: Aggregate
}

/// What a survey and a request come to: everything that is decided before the first step.
struct TrainingPlan {
    let purpose: TrainingRequest.Purpose
    /// The views, at least one; a model that draws has one.
    let views: [ViewPlan]
    /// Why the views are what they are, for people; nil where they were asked for or follow from the
    /// purpose.
    let viewReason: String?

    /// The view that scores are of where they are of one.
    var primary: ViewPlan { views[0] }

    private static let detectionWidths = [128, 128]
    private static let detectionLatentCount = 8

    /// - Parameters:
    ///   - request: what is asked for
    ///   - survey: what is there
    ///   - domain: how it is read
    /// - Throws: ``LatentError`` `.usage` for what does not go together
    init(_ request: TrainingRequest, survey: Survey, domain: Domain) throws {
        let classCount = Set(survey.items.compactMap(\.item.label)).count
        let purpose = request.purpose ?? Self.purpose(request, classCount: classCount)
        let detects = purpose == .detection
        let architecture =
            request.architecture
            ?? (request.layerCount > 1 ? .resnet : detects ? .mlp : .conv)
        let network = architecture.network
        let widths =
            request.widths
            ?? (detects && architecture == .mlp ? Self.detectionWidths : network.defaultWidths)
        let planner = WindowPlanner(
            request: request, survey: survey, detects: detects,
            multiple: network.sideMultiple(widths: widths))
        let conditioning =
            request.conditionNames.isEmpty
            ? nil : try Conditioning(names: request.conditionNames, of: survey.items.map(\.item))
        let (preprocessings, reason) = try planner.plan(domain)
        views = try preprocessings.map { preprocessing in
            var model = VAEConfiguration(
                channelCount: preprocessing.channelCount, height: preprocessing.windowing.height,
                width: preprocessing.windowing.width, architecture: architecture, widths: widths,
                latentCount: request.latentCount ?? (detects ? Self.detectionLatentCount : 16),
                likelihood: request.likelihood)
            model.objective = request.objective
            model.layerCount = request.layerCount
            if let count = request.mapChannelCount { model.mapChannelCount = count }
            model.conditioning = conditioning
            try model.validate()
            // What could not be read back is not trained.
            do throws(LatentError) {
                try preprocessing.validate()
            } catch {
                throw LatentError(.usage, error.message, hint: error.hint)
            }
            let isGrid = preprocessing.windowing.mode == .grid
            return ViewPlan(
                model: model, preprocessing: preprocessing,
                aggregate: request.aggregate
                    ?? (isGrid ? (detects ? .topHundredth : .topTenth) : .mean))
        }
        guard (1...DetectorView.memberLimit).contains(request.memberCount) else {
            throw LatentError(
                .usage, "\(request.memberCount) members; expected 1 to \(DetectorView.memberLimit)")
        }
        guard detects || request.memberCount == 1 else {
            throw LatentError(
                .usage, "several members are averaged in scores, and this model is to draw",
                hint: "train with --for detection, or leave --members out")
        }
        guard !detects || (request.deformationStepCount ?? 0) == 0 else {
            throw LatentError(
                .usage, "deformations are of models that draw, and this model is to detect",
                hint: "train with --for augmentation, or leave --deform-steps out")
        }
        guard request.flowStepCount == 0 || !detects else {
            throw LatentError(
                .usage, "a flow is of models that draw, and this model is to detect",
                hint: "train with --for augmentation, or leave --flow-steps out")
        }
        let latentCount = views[0].model.latentCount
        guard request.flowStepCount == 0 || latentCount <= FlowConfiguration.dimensionLimit else {
            throw LatentError(
                .usage,
                "a flow of \(latentCount) latent dimensions; it is of "
                    + "\(FlowConfiguration.dimensionLimit) at most",
                hint: "use a smaller --latent, or leave --flow-steps out")
        }
        self.purpose = purpose
        viewReason = reason
        if let kind = request.scoreKind {
            guard detects || !kind.isFitted else {
                throw LatentError(
                    .usage, "the score \(kind.rawValue) is fitted to models that detect",
                    hint: "train with --for detection, or use another --score")
            }
            try kind.check(views[0].model)
        }
    }

    /// Files of one class are there to be told from others; what only models that draw can do says
    /// that drawing is meant.
    private static func purpose(
        _ request: TrainingRequest, classCount: Int
    ) -> TrainingRequest.Purpose {
        let draws =
            request.binarises || request.layerCount > 1 || !request.conditionNames.isEmpty
            || request.likelihood == .bernoulli || request.likelihood == .logisticMixture
            || request.likelihood == .continuousBernoulli
        return classCount <= 1 && !draws ? .detection : .augmentation
    }
}
