extension AugmentationEvaluation {
    /// What is measured.
    public enum Metric: String, Sendable, CaseIterable {
        /// Real training files.
        case realCount = "real_count"
        /// Held-out real files.
        case heldOutCount = "holdout_count"
        /// Synthetic files.
        case syntheticCount = "synthetic_count"
        /// ``DensityCoverage/density``, k = 5.
        case density
        /// ``DensityCoverage/coverage``, k = 5.
        case coverage
        /// ``KernelDistance``; its interval is 1.96 standard errors.
        case kid
        /// ``FrechetDistance``.
        case frechet = "frechet_distance"
        /// ``TwoSampleTest``.
        case twoSample = "c2st_accuracy"
        /// ``CopyFigures/leakage(share:trainingShare:)``.
        case leakage = "leakage_share"
        /// ``CopyFigures/copyCount`` as a share.
        case copyShare = "copy_share"
        /// ``CopyFigures/identicalCount``.
        case identicalCount = "identical_count"
        /// ``CopyFigures/threshold``.
        case copyThreshold = "copy_distance"
        /// Of a classifier on held-out files, the mean over seeds.
        case accuracy
        /// The mean over classes of the share of held-out files whose class is found.
        case balancedAccuracy = "balanced_accuracy"
        /// Accuracy less that of `real`, paired.
        case accuracyAgainstReal = "accuracy_minus_real"
        /// Accuracy less that of `real+classic`, paired.
        case accuracyAgainstClassic = "accuracy_minus_classic"
        /// Balanced accuracy less that of `real`, paired.
        case balancedAgainstReal = "balanced_accuracy_minus_real"
        /// Balanced accuracy less that of `real+classic`, paired.
        case balancedAgainstClassic = "balanced_accuracy_minus_classic"

        /// Whether it counts files.
        public var isCount: Bool {
            [.realCount, .heldOutCount, .syntheticCount, .identicalCount].contains(self)
        }
    }

    /// One number.
    public struct Figure: Sendable, Equatable {
        /// What it measures.
        public let metric: Metric
        /// What it is of: `synthetic`, or `real` for what training files give in their place; of an
        /// accuracy, what the classifier was trained on.
        public let subject: String?
        /// The class that it counts; nil for all.
        public let className: String?
        /// What it compares: `classifier` or `components` features, or `maps`.
        public let features: String?
        /// The number.
        public let value: Double
        /// The lower end of its 95 % interval.
        public let low: Double?
        /// The upper end of its 95 % interval.
        public let high: Double?
        /// Where the interval comes from: `bootstrap`, `clopper-pearson` or `standard-error`.
        public let interval: String?
        /// How many items of the subject it is worked out from.
        public let itemCount: Int?

        init(
            _ metric: Metric, _ value: Double, subject: String? = nil, className: String? = nil,
            features: String? = nil, low: Double? = nil, high: Double? = nil,
            interval: String? = nil, itemCount: Int? = nil
        ) {
            self.metric = metric
            self.subject = subject
            self.className = className
            self.features = features
            self.value = value
            self.low = low
            self.high = high
            self.interval = low == nil ? nil : interval
            self.itemCount = itemCount
        }
    }
}
