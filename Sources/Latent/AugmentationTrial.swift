import Torch

/// Tries ways of making new files on the real ones themselves, and chooses one: cross-validation.
///
/// Of each of a few parts of the real files in turn, classes in proportion, new files are made from the
/// other parts, by every way, with the same filters as they would be written with; ``SmallClassifier`` is
/// trained on the other parts and the new files, half a batch each, and its balanced accuracy is
/// measured on the part left out. All ways have the same parts, first weights and numbers of steps.
///
/// Intervals are those of ``Usefulness`` on all files left out, at the level 1 - 0.05 / m for m ways
/// beside real and classic (Bonferroni), so that they hold for all of them at once with 95 %.
///
/// The model and its deformations were fitted to all of the real files where these are what it was trained
/// on, those left out among them. That favours what draws from it, and its gain is an upper estimate.
/// Tried are only methods that start from real items, which are never those left out: a density that
/// was fitted to few latents of a class draws near each of them, and so copies of what is left out.
/// Files of one origin, such as a speaker, may lie on both sides.
public struct AugmentationTrial {
    /// How much is tried.
    public struct Configuration: Sendable {
        /// Real files of each class, at most; of more, so many are drawn by the seed.
        public var realCount = 50
        /// New files of each class.
        public var newCount = 50
        /// Files of all classes together, of each kind, where that leaves six of a class.
        public var totalLimit = 2_000
        /// Parts of the real files.
        public var foldCount = 3
        /// Trainings for each part and way.
        public var seedCount = 2
        /// Steps of each training of the classifier.
        public var stepCount = 300
        /// Resamples of the bootstrap.
        public var resampleCount = 4_000

        /// Makes the defaults.
        public init() {}
    }

    /// How far it is.
    public struct Progress: Sendable {
        /// The way that is tried.
        public let way: AugmentationChoice.Way
        /// The share of all that is done, 0…1.
        public let share: Double
    }

    private let source: (file: ModelFile, model: VAE)?
    private let drawing: Augmenter.Configuration
    private let domain: Domain
    private let filters: (LatentSampling) -> Filters
    private let device: Device
    private let configuration: Configuration

    /// Prepares a trial.
    ///
    /// - Parameters:
    ///   - source: the model with its file; nil leaves transforms of real files
    ///   - drawing: how new files are drawn but for method, amount, transforms and part
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

    /// The ways that are tried: real files alone, classic transforms, these and a random smooth change,
    /// and what the model can draw, by itself and with classic transforms.
    public var ways: [AugmentationChoice.Way] {
        let more = domain == .image ? "classic,elastic" : "classic,time-stretch"
        var ways: [AugmentationChoice.Way] = [.real, .classic, .init(.transform, more)]
        guard let source else { return ways }
        var methods: [LatentSampling] = source.file.record.deformation != nil ? [.deform] : []
        methods += [.posterior, .smote]
        for method in methods { ways += [.init(method), .init(method, "classic")] }
        return ways
    }

    /// Trainings of the small classifier, at most.
    public var trainingCount: Int {
        ways.count * configuration.foldCount * configuration.seedCount
    }

    // MARK: Choosing

    /// Tries all ways and chooses one.
    ///
    /// The same items, seed and configuration give the same choice on one machine.
    ///
    /// - Parameters:
    ///   - items: real files with their classes; those that cannot be read are left out
    ///   - usual: what is taken where the items have too few classes, or too few of one
    ///   - onProgress: called now and then; throwing ends the trial
    /// - Returns: what is chosen
    /// - Throws: `TorchError`, and what the closure throws
    /// - Complexity: ``trainingCount`` trainings of the small classifier, and for each part and way as many new files as are trained on
    public func choice(
        of items: [Item], otherwise usual: AugmentationChoice.Way,
        onProgress: (Progress) throws -> Void = { _ in }
    ) throws -> AugmentationChoice {
        try onProgress(Progress(way: .real, share: 0))
        let drawn = drawn(from: items)
        let view = try SmallMapView(
            of: Survey(of: drawn, domain: domain, threadCount: drawing.workerCount) { _, _ in },
            domain: domain)
        let read = try MappedItems(
            reading: drawn, view: view, threadCount: drawing.workerCount
        ) { _, _ in try onProgress(Progress(way: .real, share: 0)) }
        // A file that is there twice would be on both sides.
        var seen: Set<UInt64> = []
        let real = read.picked(
            read.items.indices.filter { seen.insert(read.contentWords[$0]).inserted })
        if let reason = lack(of: real, asked: items) {
            return AugmentationChoice(untried: usual, because: reason)
        }
        let trial = Rounds(
            real: real, names: Set(real.items.compactMap(\.label)).sorted(),
            folds: folds(of: real.items), view: view)
        return try run(trial, onProgress)
    }

    private func generator(_ purpose: UInt64) -> Generator {
        Generator(seed: drawing.seed, Stream.augmentationTrial.rawValue, purpose)
    }

    /// Of each class as many as are tried with, in random order.
    private func drawn(from items: [Item]) -> [Item] {
        var generator = generator(0)
        let classes = Dictionary(grouping: items.filter { $0.label != nil }) { $0.label ?? "" }
            .sorted { $0.key < $1.key }
        let count = limit(configuration.realCount, classCount: classes.count)
        return classes.flatMap { $0.value.shuffled(using: &generator).prefix(count) }
    }

    private func limit(_ count: Int, classCount: Int) -> Int {
        min(count, max(smallestCount, configuration.totalLimit / max(1, classCount)))
    }

    /// Files of a class, at least.
    private var smallestCount: Int { 2 * configuration.foldCount }

    /// Why nothing can be tried; nil where it can.
    private func lack(of real: MappedItems, asked: [Item]) -> String? {
        let bare = asked.count { $0.label == nil }
        guard bare == 0 else { return "\(bare) of \(asked.count) files have no class" }
        let counts = Dictionary(grouping: real.items) { $0.label ?? "" }.mapValues(\.count)
        guard counts.count > 1 else { return "the files are of one class" }
        let names = Set(asked.compactMap(\.label))
        guard
            let least = names.map({ (count: counts[$0] ?? 0, name: $0) })
                .min(by: { ($0.count, $0.name) < ($1.count, $1.name) }),
            least.count < smallestCount
        else { return nil }
        return "class \(least.name) has \(least.count) different files that can be read, and "
            + "\(smallestCount) of each are needed"
    }

    /// Which part each item is of: of each class as many in each, as far as that goes.
    private func folds(of items: [Item]) -> [Int] {
        var folds = [Int](repeating: 0, count: items.count)
        var place = 0
        // Items of a class are in random order.
        for (_, members) in Dictionary(grouping: items.indices, by: { items[$0].label ?? "" })
            .sorted(by: { $0.key < $1.key })
        {
            for index in members {
                folds[index] = place % configuration.foldCount
                place += 1
            }
        }
        return folds
    }

    // MARK: Rounds

    /// What all rounds have in common.
    private struct Rounds {
        let real: MappedItems
        /// Of the classes, sorted.
        let names: [String]
        /// The part of each real item.
        let folds: [Int]
        let view: SmallMapView

        /// The class of an item; nil for a strange one.
        func code(_ label: String?) -> Int? { label.flatMap { names.firstIndex(of: $0) } }

        /// Maps with classes, of the real items at some places.
        func source(_ places: [Int]) -> SmallClassifier.Source {
            .init(
                maps: real.maps.picked(places),
                codes: places.map { code(real.items[$0].label) ?? 0 })
        }
    }

    private func run(
        _ rounds: Rounds, _ onProgress: (Progress) throws -> Void
    ) throws -> AugmentationChoice {
        let ways = ways
        var remarks: [Int: String] = [:]
        let codes = rounds.real.items.map { rounds.code($0.label) ?? 0 }
        let blank = [Bool](repeating: false, count: codes.count)
        var correct = ways.map { _ in
            [[Bool]](repeating: blank, count: configuration.seedCount)
        }
        for fold in 0..<configuration.foldCount {
            let rest = rounds.folds.indices.filter { rounds.folds[$0] != fold }
            let left = rounds.folds.indices.filter { rounds.folds[$0] == fold }
            let training = rounds.source(rest)
            for (index, way) in ways.enumerated() where remarks[index] == nil {
                func report(_ share: Double) throws {
                    let cell = Double(fold * ways.count + index) + share
                    try onProgress(
                        Progress(
                            way: way, share: cell / Double(ways.count * configuration.foldCount)))
                }
                var sources = [training]
                do {
                    if let made = try files(by: way, from: rest, rounds, report) {
                        sources.append(made)
                    }
                } catch let error as LatentError
                    where index > 1 && [.usage, .data].contains(error.code)
                {
                    // What a model cannot do is no fault of the others.
                    remarks[index] = "\(way.name): \(error.message)"
                    continue
                }
                for place in sources.indices { sources[place].share = 1 / Double(sources.count) }
                for seed in 0..<configuration.seedCount {
                    let found = try classes(
                        of: rounds.real.maps.picked(left), trainedOn: sources,
                        classCount: rounds.names.count, seed: seed
                    ) { step in
                        let done = Double(seed) + Double(step) / Double(configuration.stepCount)
                        try report(0.3 + 0.7 * done / Double(configuration.seedCount))
                    }
                    for (item, code) in zip(left, found) {
                        correct[index][seed][item] = code == codes[item]
                    }
                }
            }
        }
        let tried = ways.indices.filter { remarks[$0] == nil }
        let results = Usefulness(
            correct: tried.map { correct[$0] }, codes: codes,
            resampleCount: configuration.resampleCount, seed: drawing.seed,
            level: 1 - 0.05 / Double(max(1, tried.count - 2))
        ).results
        return AugmentationChoice(
            rows: zip(tried, results).map { index, result in
                .init(
                    ways[index], balancedAccuracy: result.balancedAccuracy.value,
                    overReal: .init(result.balancedAgainstReal),
                    overClassic: .init(result.balancedAgainstClassic))
            }, remarks: remarks.sorted { $0.key < $1.key }.map(\.value))
    }

    /// New files made of real ones; nil where the way makes none.
    ///
    /// - Throws: ``LatentError`` `.usage` or `.data` for what cannot be made
    private func files(
        by way: AugmentationChoice.Way, from places: [Int], _ rounds: Rounds,
        _ onShare: (Double) throws -> Void
    ) throws -> SmallClassifier.Source? {
        guard let method = way.method else { return nil }
        let count = limit(configuration.newCount, classCount: rounds.names.count)
        var drawing = drawing
        drawing.method = method
        drawing.filters = filters(method)
        drawing.amount = .perClass(count)
        drawing.shard = nil
        drawing.transforms = try way.transforms.map { try FileTransforms($0, domain: domain) }
        let augmenter: Augmenter
        if method == .transform {
            augmenter = try Augmenter(transforming: drawing)
        } else if let source {
            augmenter = try Augmenter(
                file: source.file, model: source.model, configuration: drawing)
        } else {
            throw LatentError(.usage, "--method \(method.rawValue) draws from a model")
        }
        var maps = SmallMaps(shape: rounds.view.shape)
        var codes: [Int] = []
        try augmenter.generate(
            parents: places.map { rounds.real.items[$0] }, onFailure: { _ in },
            emit: { item in
                guard let code = rounds.code(item.label) else {
                    throw LatentError(
                        .data, "its files are of \(item.label.map { "class \($0)" } ?? "no class")")
                }
                maps.append(try rounds.view.map(ofBytes: item.bytes, path: "new file"))
                codes.append(code)
                try onShare(0.3 * Double(codes.count) / Double(count * rounds.names.count))
            })
        guard Set(codes).count == rounds.names.count else {
            throw LatentError(.data, "it makes no files of some classes")
        }
        return .init(maps: maps, codes: codes)
    }

    /// The classes that a classifier finds, trained anew.
    private func classes(
        of maps: SmallMaps, trainedOn sources: [SmallClassifier.Source], classCount: Int, seed: Int,
        onStep: (Int) throws -> Void
    ) throws -> [Int] {
        var knobs = SmallClassifier.Configuration()
        knobs.stepCount = configuration.stepCount
        knobs.seed = drawing.seed &+ UInt64(seed)
        let classifier = try SmallClassifier(
            shape: maps.shape, classCount: classCount, configuration: knobs, device: device)
        try classifier.train(on: sources, onStep: onStep)
        return try classifier.classes(of: maps)
    }
}
