import Torch

/// How good a synthetic set is: how like real files it is, whether it copies them, and what it is
/// worth to a classifier.
///
/// Likeness (density, coverage, kernel and Fréchet distance, C2ST) is to held-out files: neither the
/// features nor, if it was trained on `real`, the model has seen them, so that copying is no merit.
/// For each of the features the same figures of the real training files follow, as what can be reached.
/// Of labelled sets equally many of each class are compared, so that filling up a rare class does no
/// harm; the draw is random by the seed.
public struct AugmentationEvaluation {
    /// How it is done.
    public struct Configuration: Sendable {
        /// The most items of a set that are compared in pairs; more are drawn from at random.
        public var itemLimit = 5_000
        /// Classifiers for each recipe; 0 leaves usefulness out.
        public var seedCount = 5
        /// Steps of each training of the classifier.
        public var stepCount = 600
        /// Resamples of the bootstrap.
        public var resampleCount = 1_000
        /// Whether held-out items have groups, their first attribute, of which the bootstrap draws whole ones.
        public var hasGroups = false
        /// The source of draws, first weights and resamples.
        public var seed: UInt64 = 0
        /// Where classifiers are trained.
        public var device = Device.cpu

        /// Makes the defaults.
        public init() {}
    }

    /// A synthetic item and the training item that is nearest to it.
    public struct Pair: Sendable {
        /// Place among the synthetic items.
        public let synthetic: Int
        /// Place among the real training items.
        public let training: Int
        /// Euclidean distance of their maps.
        public let distance: Double
    }

    let training: MappedItems
    let heldOut: MappedItems
    let synthetic: MappedItems
    let domain: Domain
    /// Of sheets of maps.
    let legend: SheetLegend
    private let configuration: Configuration
    /// The group of each held-out item; nil where each stands for itself.
    private let groups: [Int]?
    /// Names of the classes of the real training items, sorted; empty where not all have one, or all the
    /// same.
    public let classNames: [String]
    /// Whether all items of all sets have a class.
    let isLabelled: Bool
    /// What could not be measured, and why, in words.
    public private(set) var omissions: [String] = []

    /// Takes three sets of items.
    ///
    /// - Parameters:
    ///   - training: real items, such as a model was trained on
    ///   - heldOut: real items that it was not trained on
    ///   - synthetic: what is judged
    ///   - view: that they were read by
    ///   - configuration: how it is done
    /// - Throws: ``LatentError`` `.data` for an empty set, for labels that the training items lack, and
    ///   for held-out items without a group where they are to have one
    public init(
        training: MappedItems, heldOut: MappedItems, synthetic: MappedItems, view: SmallMapView,
        configuration: Configuration = .init()
    ) throws(LatentError) {
        let sets = [("real", training), ("held-out", heldOut), ("synthetic", synthetic)]
        for (name, set) in sets where set.count == 0 {
            throw LatentError(
                .data, "no \(name) \(view.domain.plural) that can be read",
                hint: "name a folder that has some")
        }
        let known = Set(training.items.compactMap(\.label))
        for (name, set) in sets.dropFirst() where !known.isEmpty {
            let strange = set.items.filter { $0.label.map { !known.contains($0) } ?? false }
            guard let first = strange.first, let label = first.label else { continue }
            throw LatentError(
                .data, path: first.path,
                "its class \(label) is not among the \(known.count) of the real files, nor are those "
                    + "of \(strange.count - 1) other \(name) files",
                hint: "name folders with the same class folders, or leave these out")
        }
        self.training = training
        self.heldOut = heldOut
        self.synthetic = synthetic
        self.configuration = configuration
        let groups =
            configuration.hasGroups ? try TrialParts.groups(of: heldOut.items, at: 0) : nil
        let groupCount = groups.map { Set($0).count } ?? 0
        self.groups = groupCount > 1 ? groups : nil
        domain = view.domain
        legend = view.legend
        isLabelled = sets.allSatisfy { $0.1.labels != nil }
        classNames = training.labels != nil && known.count > 1 ? known.sorted() : []
        if let (name, set) = sets.first(where: { $0.1.labels == nil }) {
            let bare = set.items.count { $0.label == nil }
            omissions.append(
                "no usefulness: \(bare) of \(set.count) \(name) files have no class folder or label"
            )
        } else if known.count < 2 {
            omissions.append("no usefulness: all files are of one class")
        } else if configuration.seedCount == 0 {
            omissions.append("no usefulness, as --seeds is 0")
        } else if groupCount == 1 {
            omissions.append(
                "all held-out files are of one group: intervals say what other files of it would give, "
                    + "not what other groups would")
        }
    }

    // MARK: Figures

    /// Trainings of the small classifier, in steps, that ``figures(onStep:onPairs:onPart:)`` takes.
    public var totalStepCount: Int {
        let isUseful = isLabelled && !classNames.isEmpty
        let usefulness = isUseful ? Usefulness.Recipe.allCases.count : 0
        return configuration.stepCount
            * (1 + (classNames.isEmpty ? 0 : 1) + configuration.seedCount * usefulness)
    }

    /// Measures everything.
    ///
    /// The same items, seed and configuration give the same figures on one machine.
    ///
    /// - Parameters:
    ///   - onStep: called with the number of steps of training done; throwing ends the run
    ///   - onPairs: called once with the nearest training item of each synthetic item compared
    ///   - onPart: called with counts, then with likeness and copies, then with usefulness, where there is
    ///     any, each as soon as it is known; throwing ends the run
    /// - Throws: `TorchError`, and what the closures throw
    /// - Complexity: pairs of at most `itemLimit` items; for copies, of so many items with all real ones. Memory is that of the maps, a byte a value
    public mutating func figures(
        onStep: (Int) throws -> Void = { _ in }, onPairs: ([Pair]) throws -> Void = { _ in },
        onPart: ([Figure]) throws -> Void
    ) throws {
        try onPart(counts())
        var done = 0
        let step: () throws -> Void = {
            done += 1
            try onStep(done)
        }
        try onPart(likeness(onStep: step) + twoSample(onStep: step) + copies(onPairs: onPairs))
        let usefulness = try usefulness { try onStep(done + $0) }
        if !usefulness.isEmpty { try onPart(usefulness) }
    }

    private func counts() -> [Figure] {
        let sets: [(Metric, MappedItems)] = [
            (.realCount, training), (.heldOutCount, heldOut), (.syntheticCount, synthetic),
        ]
        var figures = sets.map { Figure($0.0, Double($0.1.count)) }
        for name in Set(training.items.compactMap(\.label)).sorted() {
            figures += sets.map { metric, set in
                Figure(metric, Double(set.items.count { $0.label == name }), className: name)
            }
        }
        return figures
    }

    private mutating func likeness(onStep: () throws -> Void) throws -> [Figure] {
        let fitted = training.maps.picked(draw(from: training, 2))
        var spaces = [try FeatureSpace(componentsOf: fitted)]
        if let labels = training.labels, !classNames.isEmpty {
            let classifier = try SmallClassifier(
                shape: training.maps.shape, classCount: classNames.count,
                configuration: classifierConfiguration(seed: configuration.seed),
                device: configuration.device)
            try classifier.train(
                on: [.init(maps: training.maps, codes: codes(of: labels))],
                varying: MapAugmentation(domain: domain).varied, onStep: onStep)
            spaces.insert(try FeatureSpace(classifier: classifier, training: fitted), at: 0)
        }
        let count = matched(synthetic, heldOut, 3).0.count
        if count <= DensityCoverage.neighbourCount {
            omissions.append(
                "no \(count < 2 ? "distances, density" : "density") and coverage: \(count) files of "
                    + "classes that synthetic and held-out files share; they take "
                    + "\(DensityCoverage.neighbourCount + 1)")
        }
        return try spaces.flatMap { space in
            try [("synthetic", synthetic), ("real", training)].flatMap { subject, set in
                try likeness(of: set, named: subject, in: space)
            }
        }
    }

    private func likeness(
        of set: MappedItems, named subject: String, in space: FeatureSpace
    ) throws -> [Figure] {
        let (own, other) = matched(set, heldOut, 3)
        guard own.count > 1 else { return [] }
        let compared = try space(set.maps.picked(own))
        let real = try space(heldOut.maps.picked(other))
        func figure(_ metric: Metric, _ value: Double, error: Double? = nil) -> Figure {
            Figure(
                metric, value, subject: subject, features: space.kind.rawValue,
                low: error.map { value - 1.96 * $0 }, high: error.map { value + 1.96 * $0 },
                interval: "standard-error", itemCount: own.count)
        }
        var figures: [Figure] = []
        if real.count > DensityCoverage.neighbourCount {
            let found = try DensityCoverage(synthetic: compared, real: real)
            figures += [figure(.density, found.density), figure(.coverage, found.coverage)]
        }
        let kernel = try KernelDistance(compared, real)
        return figures + [
            figure(.kid, kernel.value, error: kernel.standardError),
            figure(.frechet, FrechetDistance.squared(compared, real)),
        ]
    }

    private mutating func twoSample(onStep: () throws -> Void) throws -> [Figure] {
        let (own, other) = matched(synthetic, heldOut, 4)
        guard own.count >= 4 else {
            omissions.append(
                "no C2ST: \(own.count) files of classes that both sets have; it takes 4")
            return []
        }
        let test = try TwoSampleTest(
            synthetic: synthetic.maps.picked(own), real: heldOut.maps.picked(other),
            configuration: classifierConfiguration(seed: configuration.seed),
            device: configuration.device, onStep: onStep)
        return [
            share(.twoSample, Double(test.correctCount), of: test.testCount)
        ]
    }

    private mutating func copies(onPairs: ([Pair]) throws -> Void) throws -> [Figure] {
        let judged = draw(from: synthetic, 5)
        let maps = synthetic.maps.picked(judged)
        let found = try CopyFigures(
            synthetic: maps, training: training.maps, heldOut: heldOut.maps,
            sample: heldOut.maps.picked(draw(from: heldOut, 6)))
        try onPairs(
            zip(judged, found.nearestTraining).map {
                Pair(synthetic: $0, training: $1.index, distance: $1.distance)
            })
        return leakage(found) + [
            share(.copyShare, Double(found.copyCount), of: maps.count),
            Figure(
                .identicalCount, Double(found.identicalCount), subject: "synthetic",
                features: "maps", itemCount: maps.count),
            Figure(.copyThreshold, found.threshold, features: "maps"),
        ]
    }

    /// The leakage share, of synthetic items next to real ones of classes that are in both real sets.
    ///
    /// By chance, the nearest item of a class is a training item as often as real items of it are.
    private mutating func leakage(_ found: CopyFigures) -> [Figure] {
        func counts(_ set: MappedItems) -> [String?: Double] {
            Dictionary(grouping: set.items, by: \.label).mapValues { Double($0.count) }
        }
        let (trained, held) = (counts(training), counts(heldOut))
        var (leaking, chance, count) = (0.0, 0.0, 0)
        for (near, far) in zip(found.nearestTraining, found.nearestHeldOut) {
            let label =
                near.distance <= far.distance
                ? training.items[near.index].label : heldOut.items[far.index].label
            guard let first = trained[label], let second = held[label] else { continue }
            leaking += CopyFigures.leaking(near, far)
            chance += first / (first + second)
            count += 1
        }
        guard count > 0 else {
            omissions.append("no leakage share: training and held-out files share no class")
            return []
        }
        return [
            share(.leakage, leaking, of: count) {
                CopyFigures.leakage(share: $0, trainingShare: chance / Double(count))
            }
        ]
    }

    /// A training of the small classifier.
    private struct Training: Sendable {
        let sources: [SmallClassifier.Source]
        let augmentation: MapAugmentation?
        let configuration: SmallClassifier.Configuration
    }

    private func usefulness(onSteps: (Int) throws -> Void) throws -> [Figure] {
        guard !classNames.isEmpty, configuration.seedCount > 0, let labels = training.labels,
            let heldOutLabels = heldOut.labels, let syntheticLabels = synthetic.labels
        else { return [] }
        let real = SmallClassifier.Source(maps: training.maps, codes: codes(of: labels))
        let drawn = SmallClassifier.Source(
            maps: synthetic.maps, codes: codes(of: syntheticLabels))
        let truth = codes(of: heldOutLabels)
        let recipes = Usefulness.Recipe.allCases
        let jobs = recipes.flatMap { recipe in
            (0..<configuration.seedCount).map { seed in
                Training(
                    sources: recipe.sources(real: real, synthetic: drawn),
                    augmentation: recipe.augmentation(domain),
                    configuration: classifierConfiguration(
                        seed: Stream.seed(ofMember: seed, of: configuration.seed)))
            }
        }
        let (maps, classCount, device) = (heldOut.maps, classNames.count, configuration.device)
        let correct = try ClassifierCrew(jobCount: jobs.count).train(jobs, onSteps: onSteps) {
            job, onStep -> [Bool] in
            let classifier = try SmallClassifier(
                shape: maps.shape, classCount: classCount, configuration: job.configuration,
                device: device)
            try classifier.train(
                on: job.sources,
                varying: job.augmentation?.varied, onStep: onStep)
            return zip(try classifier.classes(of: maps), truth).map { $0 == $1 }
        }
        let results = Usefulness(
            correct: stride(from: 0, to: correct.count, by: configuration.seedCount).map {
                Array(correct[$0..<$0 + configuration.seedCount])
            }, codes: truth, groups: groups,
            resampleCount: configuration.resampleCount,
            seed: configuration.seed
        ).results
        return zip(recipes, results).flatMap { recipe, result in
            [
                (.accuracy, result.accuracy), (.balancedAccuracy, result.balancedAccuracy),
                (.accuracyAgainstReal, result.againstReal),
                (.accuracyAgainstClassic, result.againstClassic),
                (.balancedAgainstReal, result.balancedAgainstReal),
                (.balancedAgainstClassic, result.balancedAgainstClassic),
            ].map { (metric: Metric, estimate: Usefulness.Estimate) in
                Figure(
                    metric, estimate.value, subject: recipe.rawValue, low: estimate.low,
                    high: estimate.high, interval: "bootstrap", itemCount: truth.count)
            }
        }
    }

    // MARK: Draws

    private func classifierConfiguration(seed: UInt64) -> SmallClassifier.Configuration {
        var result = SmallClassifier.Configuration()
        result.stepCount = configuration.stepCount
        result.seed = seed
        return result
    }

    private func codes(of labels: [String]) -> [Int] {
        let numbers = Dictionary(uniqueKeysWithValues: zip(classNames, classNames.indices))
        return labels.map { numbers[$0] ?? 0 }
    }

    private func share(
        _ metric: Metric, _ count: Double, of total: Int,
        transform: (Double) -> Double = { $0 }
    ) -> Figure {
        // A half, of an item as near to both, is rounded outwards.
        let low = BinomialInterval(count: Int(count.rounded(.down)), of: total).low
        let high = BinomialInterval(count: Int(count.rounded(.up)), of: total).high
        return Figure(
            metric, transform(count / Double(total)), subject: "synthetic", features: "maps",
            low: transform(low), high: transform(high), interval: "clopper-pearson",
            itemCount: total)
    }

    /// Places of some items of a set, in random order; of all where they are few.
    func draw(from set: MappedItems, _ purpose: UInt64) -> [Int] {
        var generator = Generator(
            seed: configuration.seed, Stream.augmentationFigures.rawValue, purpose)
        return Array(set.items.indices.shuffled(using: &generator).prefix(configuration.itemLimit))
    }

    /// Places of equally many items of two sets, of each class where both have labels, in random order.
    private func matched(
        _ a: MappedItems, _ b: MappedItems, _ purpose: UInt64
    ) -> ([Int], [Int]) {
        var generator = Generator(
            seed: configuration.seed, Stream.augmentationFigures.rawValue, purpose)
        let isLabelled = a.labels != nil && b.labels != nil
        func groups(_ set: MappedItems) -> [String: [Int]] {
            Dictionary(grouping: set.items.indices) { isLabelled ? set.items[$0].label ?? "" : "" }
        }
        let (first, second) = (groups(a), groups(b))
        let numbers = first.mapValues(\.count).compactMap { name, count in
            second[name].map { (name, min(count, $0.count)) }
        }.sorted { $0.0 < $1.0 }
        let total = numbers.reduce(0) { $0 + $1.1 }
        let scale = min(1, Double(configuration.itemLimit) / Double(max(1, total)))
        var (left, right): ([Int], [Int]) = ([], [])
        for (name, number) in numbers {
            let kept = scale < 1 ? Int(Double(number) * scale) : number
            left += (first[name] ?? []).shuffled(using: &generator).prefix(kept)
            right += (second[name] ?? []).shuffled(using: &generator).prefix(kept)
        }
        return (left.shuffled(using: &generator), right.shuffled(using: &generator))
    }
}
