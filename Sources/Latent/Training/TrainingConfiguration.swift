/// How a model is fitted; saved in the model.
public struct TrainingConfiguration: Codable, Sendable, Equatable {
    /// The source of every random choice.
    public var seed: UInt64 = 0
    /// Passes over the training part, at most.
    public var epochCount: Int
    /// Windows of a step.
    public var batchSize: Int
    /// Peak of the learning rate; it rises over the first tenth and falls along a cosine to 0.
    public var learningRate = 2e-3
    /// Share of each weight taken off a step, times the learning rate.
    public var weightDecay = 1e-5
    /// Joint L2 norm above which the gradients of a step are scaled down, for each element of a
    /// window: the loss is a sum over elements.
    public var gradientClip = 1.0
    /// Share of the steps over which the weight of the KL term rises from 0 to 1.
    public var klWarmupShare = 0.15
    /// Epochs without a better held-out bound after which training stops; 0 never stops early.
    public var patience: Int
    /// Share of the items that decides when to stop.
    public var heldOutShare = 0.1
    /// Share of the items that thresholds are fitted to.
    public var calibrationShare = 0.1
    /// The false-alarm rate that thresholds are set for.
    public var falseAlarmRate = 0.05

    /// Steps that training takes where no number of epochs is given.
    public static let defaultStepCount = 1500

    /// Chooses batch and epochs from the number of windows.
    ///
    /// - Parameters:
    ///   - windowCount: of the training part
    ///   - batchSize: nil chooses 64 for up to 2,000 windows and 128 above
    ///   - epochCount: nil chooses about 1,500 steps, 5 to 300 epochs
    ///   - patience: nil chooses a quarter of the epochs, at least 5
    public init(windowCount: Int, batchSize: Int?, epochCount: Int?, patience: Int?) {
        let batch = batchSize ?? (windowCount <= 2_000 ? 64 : 128)
        let steps = max(1, (windowCount + batch - 1) / batch)
        let epochs =
            epochCount
            ?? min(300, max(5, (Self.defaultStepCount + steps - 1) / steps))
        self.batchSize = batch
        self.epochCount = epochs
        self.patience = patience ?? max(5, epochs / 4)
    }
}

/// The figures of one epoch, for each window, in nats.
public struct EpochRecord: Codable, Sendable, Equatable {
    /// From 1; the fit of the variance goes on counting.
    public var epoch: Int
    /// Negative bound over the training part, the KL term weighted.
    public var trainingLoss: Double
    /// -E[log p(x|z)] over the training part.
    public var distortion: Double
    /// KL(q(z|x) ‖ p(z)) over the training part.
    public var rate: Double
    /// Negative bound over the held-out part; nil without one.
    public var heldOutLoss: Double?
}
