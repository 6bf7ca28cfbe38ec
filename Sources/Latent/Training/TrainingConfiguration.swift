import Foundation
import Torch

/// How a model is fitted; saved in the model.
public struct TrainingConfiguration: Codable, Sendable, Equatable {
    /// What is done about classes of unequal size.
    public enum Balance: String, Codable, Sendable, CaseIterable {
        /// Nothing.
        case none
        /// Windows of small classes are seen more often.
        case resample
        /// Windows of small classes weigh more in the loss.
        case weight
    }

    /// Numbers that matrix products and convolutions are made of.
    public enum Precision: String, Codable, Sendable, CaseIterable {
        /// 24 bits of precision.
        case float32
        /// 8 bits, with sums of 24: faster where the processor has units for it.
        case bfloat16

        /// What training uses unless told otherwise: the faster of those that learn equally well.
        public static func usual(on device: Device) -> Precision {
            device == .cpu && Runtime.multipliesBFloat16 ? .bfloat16 : .float32
        }
    }

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
    /// Nats of each stochastic layer that cost nothing in the first half of training; they fall to 0
    /// over the third quarter.
    public var freeNats = 0.0
    /// Decay of the moving average of the weights, which is what is kept; 0 keeps the last ones.
    public var averageDecay = 0.995
    /// Numbers that products of training are made of.
    public var precision = Precision.float32
    /// What is done about classes of unequal size.
    public var balance = Balance.none
    /// How training windows are varied; nil leaves them as they are.
    public var augmentation: InputAugmentation?
    /// Epochs without a better held-out loss after which training stops; 0 never stops early.
    public var patience: Int
    /// Share of the items that decides when to stop.
    public var heldOutShare = 0.1
    /// Share of the items that thresholds are fitted to.
    public var calibrationShare = 0.1
    /// The false-alarm rate that thresholds are set for.
    public var falseAlarmRate = usualFalseAlarmRate

    /// The false-alarm rate where none is asked for.
    public static let usualFalseAlarmRate = 0.05

    /// Steps that training takes where no number of epochs is given.
    public static let defaultStepCount = 1500

    /// The same for a model that detects: its networks are small.
    public static let detectionStepCount = 600

    /// Chooses batch and epochs from the number of windows.
    ///
    /// - Parameters:
    ///   - windowCount: of the training part
    ///   - stepCount: steps that are aimed at
    ///   - batchSize: nil chooses 64 for up to 2,000 windows and 128 above
    ///   - epochCount: nil chooses about `stepCount` steps, 5 to 300 epochs
    ///   - patience: nil chooses a quarter of the epochs, at least 5
    public init(
        windowCount: Int, stepCount: Int = Self.defaultStepCount, batchSize: Int?, epochCount: Int?,
        patience: Int?
    ) {
        let batch = batchSize ?? (windowCount <= 2_000 ? 64 : 128)
        let steps = max(1, (windowCount + batch - 1) / batch)
        let epochs =
            epochCount
            ?? min(300, max(5, (stepCount + steps - 1) / steps))
        self.batchSize = batch
        self.epochCount = epochs
        self.patience = patience ?? max(5, epochs / 4)
    }

    // MARK: Schedules; `progress` is the share of the steps that are done, 0…1

    /// Rises over the first tenth, falls along a cosine to a hundredth.
    func learningRate(at progress: Double) -> Double {
        if progress < 0.1 { return learningRate * max(0.01, progress / 0.1) }
        return learningRate * (0.01 + 0.99 * 0.5 * (1 + cos(.pi * min(1, (progress - 0.1) / 0.9))))
    }

    /// Rises from 0 to 1 over the warm-up.
    func klWeight(at progress: Double) -> Double {
        klWarmupShare <= 0 ? 1 : min(1, progress / klWarmupShare)
    }

    /// In full over the first half, 0 from three quarters on.
    func freeNats(at progress: Double) -> Double {
        freeNats * min(1, max(0, (0.75 - progress) / 0.25))
    }
}

/// The figures of one epoch, for each window, in nats.
public struct EpochRecord: Codable, Sendable, Equatable {
    /// From 1; the fit of the variance goes on counting.
    public var epoch: Int
    /// The objective over the training part, the KL term weighted.
    public var trainingLoss: Double
    /// -E[log p(x|z)] over the training part.
    public var distortion: Double
    /// KL(q(z|x) ‖ p(z)) over the training part.
    public var rate: Double
    /// The objective over the held-out part, the KL term in full; nil without one.
    public var heldOutLoss: Double?
    /// Latent dimensions whose posterior mean varies by more than 0.1 (in deviation) over the
    /// held-out part (Burda 2016); nil without one.
    public var activeUnitCount: Int?
    /// KL of each stochastic layer from the top, over the held-out part.
    public var layerRates: [Double]?
}
