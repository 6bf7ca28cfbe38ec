import Torch

/// Tries ways of making new files on the real ones themselves, and chooses one: cross-validation.
///
/// Of each of a few parts of the real files in turn, classes in proportion, new files are made from the
/// other parts, by a way, with the same filters as they would be written with; ``SmallClassifier`` is
/// trained on the other parts and the new files, all alike, as on a folder that has both; and its
/// balanced accuracy is measured on the part left out. All ways have the same parts, first weights and
/// numbers of steps. Files of one group, such as a speaker, are all of one part.
///
/// It is a race, as most of the time goes into what is not taken: after the first part, of the transforms
/// and of the ways that draw from a model the most accurate few go on. The leaders, with and without a model, are then tried
/// with other numbers of new files for each real one.
///
/// Intervals are those of ``Usefulness`` on all files left out, at the level 1 - 0.05 / m for m ways
/// that are not plain (Bonferroni; those that were given up count), so that they hold for all of them
/// at once with 95 %.
///
/// The model and its deformations were fitted to all of the real files where these are what it was trained
/// on, those left out among them. That favours what draws from it, and its gain is an upper estimate.
/// Tried are only methods that start from real items, which are never those left out: a density that
/// was fitted to few latents of a class draws near each of them, and so copies of what is left out.
public struct AugmentationTrial {
    /// How much is tried.
    public struct Configuration: Sendable {
        /// Real files of each class, at most; of more, so many are drawn by the seed.
        public var realCount = 50
        /// Real files of all classes together, where that leaves six of a class.
        public var totalLimit = 2_000
        /// New files for each real one that are tried, ascending; no more than are asked for, which the last
        /// of them stands for.
        public var ratios = [1, 4, 10]
        /// New files of a part and way, at most.
        public var newLimit = 4_000
        /// Parts of the real files.
        public var foldCount = 3
        /// Trainings for each part and way.
        public var seedCount = 2
        /// Steps of each training of the classifier.
        public var stepCount = 300
        /// Transforms, and ways that draw from a model, that go on after the first part.
        public var survivorCount = 2
        /// Resamples of the bootstrap.
        public var resampleCount = 4_000

        /// Makes the defaults.
        public init() {}
    }

    /// What new files are asked for.
    public struct Request: Sendable {
        /// Number of new files.
        public var count: Int
        /// Which of the attributes that items carry says what group they are of, from 0; nil where each stands
        /// for itself.
        public var groupIndex: Int?

        /// Makes a request.
        public init(count: Int, groupIndex: Int? = nil) {
            self.count = count
            self.groupIndex = groupIndex
        }
    }

    /// How far it is.
    public struct Progress: Sendable {
        /// The way that is tried.
        public let way: AugmentationChoice.Way
        /// The share of all that is done, 0…1.
        public let share: Double
    }

    let source: (file: ModelFile, model: VAE)?
    let drawing: Augmenter.Configuration
    let domain: Domain
    let filters: (LatentSampling) -> Filters
    let device: Device
    let configuration: Configuration

    /// Prepares a trial.
    ///
    /// - Parameters:
    ///   - source: the model with its file; nil leaves transforms of real files
    ///   - drawing: how new files are drawn but for method, transforms and part; fewer than its amount
    ///     are tried where that is a limit
    ///   - domain: the kind of files
    ///   - filters: what new files of a method are refused for; nil for what `drawing` has
    ///   - device: where classifiers are trained
    ///   - configuration: how much is tried
    public init(
        source: (file: ModelFile, model: VAE)?, drawing: Augmenter.Configuration, domain: Domain,
        filters: ((LatentSampling) -> Filters)? = nil,
        device: Device = .cpu, configuration: Configuration = .init()
    ) {
        self.source = source
        self.drawing = drawing
        self.domain = domain
        self.filters = filters ?? { _ in drawing.filters }
        self.device = device
        self.configuration = configuration
    }

    /// The ways that are tried: real files alone, classic transforms, these and a random smooth change, of
    /// images both with half the shift, and what the model can draw, by itself and with classic transforms.
    ///
    /// What is in the middle of all images, as digits are, need not be found elsewhere.
    public var ways: [AugmentationChoice.Way] {
        let transforms =
            domain == .image
            ? ["classic,elastic", "rotate,scale,shift=0.075", "rotate,scale,shift=0.075,elastic"]
            : ["classic,time-stretch"]
        var ways = [.real, .classic] + transforms.map { AugmentationChoice.Way(.transform, $0) }
        guard let source else { return ways }
        var methods: [LatentSampling] = source.file.record.deformation != nil ? [.deform] : []
        methods += [.posterior, .smote]
        for method in methods { ways += [.init(method), .init(method, "classic")] }
        return ways
    }

    /// Trainings of the small classifier, at most.
    public var trainingCount: Int {
        let drawn = ways.count(where: \.drawsFromModel)
        let families = [ways.count - drawn - 1, drawn].filter { $0 > 0 }
        let survivors = families.reduce(1) { $0 + min(configuration.survivorCount, $1) }
        let others = drawing.amount.isLimit ? configuration.ratios.count - 1 : 0
        return configuration.seedCount
            * (ways.count + survivors * (configuration.foldCount - 1)
                + families.count * others * configuration.foldCount)
    }

    // MARK: Choosing

    /// Tries all ways and chooses one.
    ///
    /// The same items, seed and configuration give the same choice on one machine.
    ///
    /// - Parameters:
    ///   - items: real files with their classes; those that cannot be read are left out
    ///   - request: what is asked for
    ///   - usual: what is taken where the items have too few classes, too few of one, or too few groups
    ///   - onProgress: called now and then; throwing ends the trial
    /// - Returns: what is chosen
    /// - Throws: ``LatentError`` `.data` for an item without group, `TorchError`, and what the closure throws
    /// - Complexity: ``trainingCount`` trainings of the small classifier, and for each part and way as many new files as are trained on
    public func choice(
        of items: [Item], request: Request, otherwise usual: AugmentationChoice.Way,
        onProgress: (Progress) throws -> Void = { _ in }
    ) throws -> AugmentationChoice {
        try onProgress(Progress(way: .real, share: 0))
        let bare = items.count { $0.label == nil }
        guard bare == 0 else {
            return AugmentationChoice(
                untried: usual, because: "\(bare) of \(items.count) files have no class")
        }
        let names = Set(items.compactMap(\.label)).sorted()
        let drawn = drawn(from: items, classCount: names.count)
        let view = try SmallMapView(
            of: Survey(of: drawn, domain: domain, threadCount: drawing.workerCount) { _, _ in
                try onProgress(Progress(way: .real, share: 0))
            }, domain: domain)
        // A file that is there twice would be on both sides.
        let real = try MappedItems(
            reading: drawn, view: view, threadCount: drawing.workerCount
        ) { _, _ in try onProgress(Progress(way: .real, share: 0)) }.withoutCopies()
        let groups = try request.groupIndex.map { try TrialParts.groups(of: real.items, at: $0) }
        let parts = TrialParts(
            labels: real.items.map { $0.label ?? "" }, groups: groups,
            count: configuration.foldCount)
        if let lack = parts.lack(of: names) {
            return AugmentationChoice(untried: usual, because: lack)
        }
        return try TrialRace(
            self, TrialRace.Data(real: real, names: names, parts: parts, view: view),
            asked: Double(request.count) / Double(max(1, items.count))
        ).choice(onProgress)
    }

    /// Of each class as many as are tried with, in random order.
    private func drawn(from items: [Item], classCount: Int) -> [Item] {
        var generator = Generator(seed: drawing.seed, Stream.augmentationTrial.rawValue, 0)
        let classes = Dictionary(grouping: items) { $0.label ?? "" }.sorted { $0.key < $1.key }
        let count = min(
            configuration.realCount,
            max(2 * configuration.foldCount, configuration.totalLimit / max(1, classCount)))
        return classes.flatMap { $0.value.shuffled(using: &generator).prefix(count) }
    }
}
