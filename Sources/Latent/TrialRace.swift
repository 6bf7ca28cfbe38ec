import Torch

/// The trainings of an ``AugmentationTrial``: which ways are tried on which parts, one after the other.
final class TrialRace {
    /// What all ways are tried on.
    struct Data {
        let real: MappedItems
        /// Of the classes, sorted.
        let names: [String]
        let parts: TrialParts
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

    /// A way, and what was found with it.
    private struct Entry {
        let way: AugmentationChoice.Way
        /// New files for each real one.
        let multiple: Double
        /// By seed and item: whether its class was found.
        var correct: [[Bool]]
        var isOut = false
    }

    private let trial: AugmentationTrial
    private let data: Data
    private let crew: ClassifierCrew
    private let codes: [Int]
    /// Numbers of new files for each real one that are tried, ascending; nil stands for as many as are
    /// asked for.
    private let ratios: [(ratio: Int?, multiple: Double)]
    private var entries: [Entry]
    private var remarks: [String] = []
    /// In steps of training; `total` is at most.
    private var done = 0.0
    private var total = 0.0

    private var configuration: AugmentationTrial.Configuration { trial.configuration }

    /// Prepares a race.
    ///
    /// - Parameters:
    ///   - trial: what is to be tried
    ///   - data: what it is tried on
    ///   - asked: new files for each real one that are asked for
    init(_ trial: AugmentationTrial, _ data: Data, asked: Double) {
        self.trial = trial
        self.data = data
        crew = ClassifierCrew(jobCount: trial.configuration.seedCount)
        let count = data.real.count
        codes = data.real.items.map { data.code($0.label) ?? 0 }
        let knobs = trial.configuration
        let rest = Double(count) * (1 - 1 / Double(data.parts.count))
        let most = min(
            asked, Double(knobs.ratios.last ?? 1), Double(knobs.newLimit) / max(1, rest))
        // What is nearly as many as are asked for is no other number.
        let fewer =
            trial.drawing.amount.isLimit ? knobs.ratios.filter { Double($0) * 1.5 <= most } : []
        let ratios: [(ratio: Int?, multiple: Double)] =
            fewer.map { ($0, Double($0)) } + [(nil, most)]
        self.ratios = ratios
        // Transforms cost little; what a model draws begins with the middle one.
        let middle = ratios[ratios.count / 2]
        let blank = [[Bool]](
            repeating: [Bool](repeating: false, count: count), count: knobs.seedCount)
        entries = trial.ways.map { way in
            way.drawsFromModel
                ? Entry(
                    way: way.with(ratio: middle.ratio), multiple: middle.multiple, correct: blank)
                : Entry(way: way, multiple: most, correct: blank)
        }
    }

    /// Runs all trainings and chooses.
    ///
    /// - Parameter onProgress: called now and then; throwing ends the race
    /// - Returns: what is chosen
    /// - Throws: `TorchError`, and what the closure throws
    func choice(
        _ onProgress: (AugmentationTrial.Progress) throws -> Void
    ) throws -> AugmentationChoice {
        let parts = data.parts.count
        let drawn = entries.filter(\.way.drawsFromModel)
        let plain = entries.filter { !$0.way.drawsFromModel }
        func costs(_ some: [Entry]) -> [Double] { some.map { cost($0) } }
        // At most: the dearest go on, and lead.
        let finish = [plain.dropFirst(), drawn[...]].reduce(trainingCost) {
            $0 + costs(Array($1)).sorted().suffix(configuration.survivorCount).reduce(0, +)
        }
        let last = [plain, drawn].reduce(0.0) { sum, some in
            sum
                + ratios.filter { $0.multiple != some.first?.multiple }.reduce(0) { sum, ratio in
                    sum + (some.map { cost($0, multiple: ratio.multiple) }.max() ?? 0)
                }
        }
        total =
            costs(entries).reduce(0, +) + finish * Double(parts - 1) + last * Double(parts)

        for index in entries.indices { try run(index, 0, onProgress) }
        for drawn in [false, true] { giveUp(drawn: drawn) }
        total =
            done + costs(running.map { entries[$0] }).reduce(0, +) * Double(parts - 1)
            + last * Double(parts)
        for part in 1..<parts { for index in running { try run(index, part, onProgress) } }
        let others = leading().flatMap { further(of: $0) }
        total = done + costs(others).reduce(0, +) * Double(parts)
        for entry in others {
            entries.append(entry)
            for part in 0..<parts { try run(entries.count - 1, part, onProgress) }
        }
        try onProgress(.init(way: entries[0].way, share: 1))
        return chosen()
    }

    /// Places of the ways that are still in the race.
    private var running: [Int] { entries.indices.filter { !entries[$0].isOut } }

    // MARK: Who goes on

    /// Ends the race for all but the most accurate transforms, or ways that draw from a model, after the
    /// first part.
    private func giveUp(drawn: Bool) {
        let items = data.parts.places(0, isLeftOut: true)
        let ranked =
            running.filter {
                let way = entries[$0].way
                return way.method != nil && way.drawsFromModel == drawn
            }
            .map { (index: $0, accuracy: accuracy($0, of: items)) }
            .sorted { ($1.accuracy, $0.index) < ($0.accuracy, $1.index) }
        for (index, accuracy) in ranked.dropFirst(configuration.survivorCount) {
            entries[index].isOut = true
            remarks.append(
                "\(entries[index].way.name): given up after the first of \(data.parts.count) parts, "
                    + "with \(decimal(100 * accuracy, digits: 1))")
        }
    }

    /// The most accurate ways that make files: the best without a model, and the best with one where that is
    /// as good as all without.
    private func leading() -> [Int] {
        let all = running.map { (index: $0, accuracy: accuracy($0, of: codes.indices)) }
        func best(_ isIn: (AugmentationChoice.Way) -> Bool) -> (index: Int, accuracy: Double)? {
            all.filter { isIn(entries[$0.index].way) }
                .max { ($0.accuracy, $1.index) < ($1.accuracy, $0.index) }
        }
        let plain = best { $0.method == .transform }
        let drawn = best(\.drawsFromModel)
        let level = all.filter { !entries[$0.index].way.drawsFromModel }.map(\.accuracy).max() ?? 0
        return [plain?.index, drawn.flatMap { $0.accuracy >= level ? $0.index : nil }]
            .compactMap(\.self)
    }

    /// The same way with the other numbers of new files.
    private func further(of index: Int) -> [Entry] {
        let entry = entries[index]
        return ratios.filter { $0.multiple != entry.multiple }.map {
            Entry(
                way: entry.way.with(ratio: $0.ratio), multiple: $0.multiple,
                correct: entry.correct.map { $0.map { _ in false } })
        }
    }

    /// The mean over classes of the share of some items whose class is found.
    private func accuracy(_ index: Int, of items: some Collection<Int>) -> Double {
        var hits = [Int](repeating: 0, count: data.names.count)
        var counts = hits
        for seed in entries[index].correct {
            for item in items {
                counts[codes[item]] += 1
                if seed[item] { hits[codes[item]] += 1 }
            }
        }
        let shares = zip(hits, counts).compactMap { $1 > 0 ? Double($0) / Double($1) : nil }
        return shares.reduce(0, +) / Double(max(1, shares.count))
    }

    private func chosen() -> AugmentationChoice {
        // Numbers of files of a way stand together, fewest first.
        let ways = trial.ways
        let ranks = entries.map { entry in
            (ways.firstIndex(of: entry.way.with(ratio: nil)) ?? 0, entry.multiple)
        }
        let places = running.sorted { ranks[$0] < ranks[$1] }
        let floor = AugmentationChoice.floor(
            of: places.map { (entries[$0].way, accuracy($0, of: codes.indices)) })
        let count = entries.count { !$0.way.isPlain }
        let results = Usefulness(
            correct: places.map { entries[$0].correct }, second: floor, codes: codes,
            groups: data.parts.groups, resampleCount: configuration.resampleCount,
            seed: trial.drawing.seed, level: 1 - 0.05 / Double(max(1, count))
        ).results
        return AugmentationChoice(
            rows: zip(places, results).map { place, result in
                .init(
                    entries[place].way, balancedAccuracy: result.balancedAccuracy.value,
                    overReal: .init(result.balancedAgainstReal),
                    overFloor: .init(result.balancedAgainstClassic))
            }, floor: entries[places[floor]].way, remarks: remarks)
    }

    // MARK: Trainings

    /// The steps of training that making a file takes as long as.
    private static let transformCost = 0.02
    private static let drawingCost = 0.3

    private var trainingCost: Double {
        Double(configuration.seedCount * configuration.stepCount)
    }

    /// What trying a way on a part takes, in steps of training.
    ///
    /// - Parameters:
    ///   - entry: the way
    ///   - multiple: new files for each real one, where they are others than its own
    /// - Returns: at least that of training
    private func cost(_ entry: Entry, multiple: Double? = nil) -> Double {
        guard entry.way.method != nil else { return trainingCost }
        let rest = Double(codes.count) * (1 - 1 / Double(data.parts.count))
        return trainingCost
            + Double(newCount(multiple ?? entry.multiple, of: Int(rest)))
            * (entry.way.drawsFromModel ? Self.drawingCost : Self.transformCost)
    }

    /// New files that are made of so many real ones: of each class one at least.
    private func newCount(_ multiple: Double, of rest: Int) -> Int {
        max(data.names.count, Int((multiple * Double(rest)).rounded()))
    }

    /// Tries a way on a part.
    private func run(
        _ index: Int, _ part: Int, _ onProgress: (AugmentationTrial.Progress) throws -> Void
    ) throws {
        let entry = entries[index]
        guard !entry.isOut else { return }
        let (before, own) = (done, cost(entry))
        func report(_ cost: Double) throws {
            done = before + min(cost, own)
            try onProgress(.init(way: entry.way, share: min(1, done / total)))
        }
        let rest = data.parts.places(part, isLeftOut: false)
        let left = data.parts.places(part, isLeftOut: true)
        var sources = [data.source(rest)]
        do {
            if let made = try files(
                by: entry, from: rest,
                { share in
                    try report(share * (own - trainingCost))
                })
            {
                sources.append(made)
            }
        } catch let error as LatentError
            where ![.real, .classic].contains(entry.way.with(ratio: nil))
            && [.usage, .data].contains(error.code)
        {
            // What one cannot do is no fault of the others.
            remarks.append("\(entry.way.name): not tried: \(error.message)")
            entries[index].isOut = true
            return try report(own)
        }
        let count = sources.reduce(0) { $0 + $1.codes.count }
        for place in sources.indices {
            sources[place].share = Double(sources[place].codes.count) / Double(count)
        }
        let found = try classes(of: data.real.maps.picked(left), trainedOn: sources) { steps in
            try report(own - trainingCost + Double(steps))
        }
        for (seed, codes) in found.enumerated() {
            for (item, code) in zip(left, codes) {
                entries[index].correct[seed][item] = code == self.codes[item]
            }
        }
        try report(own)
    }

    /// New files made of real ones; nil where the way makes none.
    ///
    /// - Throws: ``LatentError`` `.usage` or `.data` for what cannot be made
    private func files(
        by entry: Entry, from places: [Int], _ onShare: (Double) throws -> Void
    ) throws -> SmallClassifier.Source? {
        guard let method = entry.way.method else { return nil }
        let count = newCount(entry.multiple, of: places.count)
        var drawing = trial.drawing
        drawing.method = method
        drawing.filters = trial.filters(method)
        switch drawing.amount {
        // Classes in turn, as often as there are files of them.
        case .total, .multiple: drawing.amount = .total(count)
        case .perClass, .fill, .counts:
            drawing.amount = .perClass(max(1, count / max(1, data.names.count)))
        }
        drawing.shard = nil
        drawing.transforms = try entry.way.transforms.map {
            try FileTransforms($0, domain: trial.domain)
        }
        let augmenter: Augmenter
        if method == .transform {
            augmenter = try Augmenter(transforming: drawing)
        } else if let source = trial.source {
            augmenter = try Augmenter(
                file: source.file, model: source.model, configuration: drawing)
        } else {
            throw LatentError(.usage, "--method \(method.rawValue) draws from a model")
        }
        var maps = SmallMaps(shape: data.view.shape)
        var codes: [Int] = []
        try augmenter.generate(
            parents: places.map { data.real.items[$0] }, onFailure: { _ in },
            emit: { item in
                guard let code = data.code(item.label) else {
                    throw LatentError(
                        .data, "its files are of \(item.label.map { "class \($0)" } ?? "no class")")
                }
                maps.append(try data.view.map(ofBytes: item.bytes, path: "new file"))
                codes.append(code)
                try onShare(min(1, Double(codes.count) / Double(count)))
            })
        guard !codes.isEmpty else { throw LatentError(.data, "it makes no files") }
        return .init(maps: maps, codes: codes)
    }

    /// The classes that a classifier of each seed finds, trained anew.
    private func classes(
        of maps: SmallMaps, trainedOn sources: [SmallClassifier.Source],
        onSteps: (Int) throws -> Void
    ) throws -> [[Int]] {
        let jobs = (0..<configuration.seedCount).map { seed in
            var knobs = SmallClassifier.Configuration()
            knobs.stepCount = configuration.stepCount
            knobs.seed = Stream.seed(ofMember: seed, of: trial.drawing.seed)
            return knobs
        }
        let (classCount, device) = (data.names.count, trial.device)
        return try crew.train(jobs, onSteps: onSteps) { knobs, onStep in
            let classifier = try SmallClassifier(
                shape: maps.shape, classCount: classCount, configuration: knobs, device: device)
            try classifier.train(on: sources, onStep: onStep)
            return try classifier.classes(of: maps)
        }
    }
}
