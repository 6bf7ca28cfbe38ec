import Foundation
import Torch

/// Gives files without a class the class that a classifier of labelled files is sure of.
///
/// ``SmallClassifier`` is trained on the labelled files, varied by ``MapAugmentation`` at each step, and, where
/// there are some, on files without classes by what it guesses of them (FixMatch; Sohn et al., NeurIPS 2020), a
/// few times from other first weights; the mean of their probabilities is what it is sure by.
public final class FileLabeller {
    /// How it is done.
    public struct Configuration: Sendable {
        /// Equal seeds give equal labels.
        public var seed: UInt64 = 0
        /// Trainings whose probabilities are averaged, at least 1.
        public var memberCount = 3
        /// Parts of the labelled files, each of which is left out of one further training to see how
        /// often labels are right; below 2 none is.
        public var foldCount = 3
        /// Steps of each training; nil for 600, and for 1,500 with files without classes, which take longer.
        public var stepCount: Int?
        /// Files without classes that are learned from at most, drawn from all there are; each takes some
        /// kilobytes of memory.
        public var unlabelledLimit = 20_000
        /// Threads that read.
        public var workerCount = 2

        /// Makes the defaults.
        public init() {}
    }

    /// The class that a file most probably has.
    public struct Verdict: Sendable, Equatable {
        /// The class.
        public let label: String
        /// Of the class, 0…1, as the classifiers have it: near 1 it is too sure of itself.
        public let probability: Double
        /// Whether the content is that of a labelled file, or of one that had its verdict before.
        public fileprivate(set) var isCopy = false
    }

    /// One of the trainings.
    private struct Training: Sendable {
        let seed: UInt64
        /// Labelled files that are trained on.
        let places: [Int]
        /// Those that it is asked about, to see how often it is right; none for what labels in the end.
        let leftOut: [Int]
    }

    /// A labelled file that was left out of training, and what was made of it.
    private struct Check: Sendable {
        let verdict: Verdict
        let label: String
    }

    /// The classes, sorted.
    public let labels: [String]
    /// Labelled files that were trained on, each content once.
    public let realCount: Int
    /// Files without classes that were trained on, but for those that are among the labelled ones.
    public let unlabelledCount: Int
    /// Labelled files that cannot be read.
    public let failures: [ItemFailure]

    private let view: SmallMapView
    private let workerCount: Int
    private let members: [SmallClassifier]
    private let checks: [Check]
    /// Of the labelled files.
    private let realWords: Set<UInt64>

    /// Learns the classes.
    ///
    /// - Parameters:
    ///   - real: files with their classes, of two classes at least
    ///   - unlabelled: files to learn from by what is guessed of them, such as those that are then labelled;
    ///     those that cannot be read are passed over
    ///   - domain: the kind of files
    ///   - configuration: how it is done
    ///   - device: where classifiers are trained
    ///   - onProgress: called with the share of all that is done; throwing ends it
    /// - Throws: ``LatentError`` `.data` for files without classes or of one class, or none that can be
    ///   read; what `onProgress` throws; `TorchError`
    /// - Complexity: a training of the small classifier for each member and each part; `unlabelled` is gone
    ///   through once
    public init(
        real: [Item], unlabelled: some Sequence<Item> = [Item](), domain: Domain,
        configuration: Configuration = .init(), device: Device = .cpu,
        onProgress: (Double) throws -> Void = { _ in }
    ) throws {
        let bare = real.count { $0.label == nil }
        guard bare == 0 else {
            throw LatentError(
                .data, path: real.first { $0.label == nil }?.path,
                "\(bare) of \(real.count) labelled files have no class",
                hint: "put them into folders of their classes, or name a manifest with labels")
        }
        guard !real.isEmpty else {
            throw LatentError(
                .data, "no labelled files", hint: "name files of two classes or more")
        }
        view = try SmallMapView(
            of: Survey(of: real, domain: domain, threadCount: configuration.workerCount) { _, _ in
                try onProgress(0)
            }, domain: domain)
        let all = try MappedItems(
            reading: real, view: view, threadCount: configuration.workerCount
        ) { _, _ in try onProgress(0) }
        failures = all.failures
        // A file that is there twice would be on both sides of what is left out; and parts are of files in
        // random order.
        var generator = Generator(seed: configuration.seed, Stream.classifier.rawValue, 4)
        let distinct = all.withoutCopies()
        let read = distinct.picked(distinct.items.indices.shuffled(using: &generator))
        realCount = read.count
        realWords = Set(read.contentWords)
        labels = Set(read.items.compactMap(\.label)).sorted()
        workerCount = configuration.workerCount
        guard labels.count > 1 else {
            throw LatentError(
                .data, path: real.first?.path,
                labels.isEmpty
                    ? "none of the \(real.count) labelled files can be read"
                    : "the \(read.count) labelled files are all of class \(labels[0])",
                hint: "name files of two classes or more")
        }
        let names = labels
        let codes = read.items.map { names.firstIndex(of: $0.label ?? "") ?? 0 }
        let others = try MappedItems(
            reading: Self.drawn(
                configuration.unlabelledLimit, from: unlabelled, seed: configuration.seed),
            view: view, threadCount: configuration.workerCount
        ) { _, _ in try onProgress(0) }.without(filesOf: read)
        unlabelledCount = others.count
        let trainings = Self.trainings(of: codes.map { names[$0] }, configuration)
        let stepCount = configuration.stepCount ?? (others.count > 0 ? 1500 : 600)
        // Warped images are labelled better (mnist 96.3 % rightly instead of 95.4, fashion 84.8 instead of
        // 83.3), warped recordings worse (fsdd 90.4 instead of 97.2; all of one seed).
        let augmentation = MapAugmentation(domain: domain, isElastic: domain == .image)
        let found = try ClassifierCrew(jobCount: trainings.count).train(
            trainings,
            onSteps: { try onProgress(Double($0) / Double(stepCount * trainings.count)) }
        ) { training, onStep in
            var knobs = SmallClassifier.Configuration()
            knobs.stepCount = stepCount
            knobs.seed = training.seed
            let classifier = try SmallClassifier(
                shape: read.maps.shape, classCount: names.count, configuration: knobs,
                device: device)
            try classifier.train(
                on: [
                    .init(
                        maps: read.maps.picked(training.places),
                        codes: training.places.map { codes[$0] })
                ],
                guessing: .init(maps: others.maps),
                varying: augmentation.varied, onStep: onStep)
            let verdicts = try Self.verdicts(
                of: read.maps.picked(training.leftOut), by: [classifier], labels: names)
            return (
                weights: training.leftOut.isEmpty ? try classifier.weights : nil,
                checks: zip(training.leftOut, verdicts).map {
                    Check(verdict: $1, label: names[codes[$0]])
                }
            )
        }
        members = try found.compactMap(\.weights).map {
            try SmallClassifier(
                shape: read.maps.shape, classCount: names.count, weights: $0, device: device)
        }
        checks = found.flatMap(\.checks)
    }

    /// The trainings: of all files for each member, then of all but those of each part.
    private static func trainings(
        of labels: [String], _ configuration: Configuration
    ) -> [Training] {
        let members = (0..<max(1, configuration.memberCount)).map { _ in
            (places: Array(labels.indices), leftOut: [Int]())
        }
        let parts = TrialParts(
            labels: labels, groups: nil, count: max(1, configuration.foldCount))
        let folds = (0..<parts.count).map { part in
            (
                places: parts.places(part, isLeftOut: false),
                leftOut: parts.places(part, isLeftOut: true)
            )
        }.filter { !$0.places.isEmpty && !$0.leftOut.isEmpty }
        return (members + folds).enumerated().map { index, part in
            Training(
                seed: Stream.seed(ofMember: index, of: configuration.seed), places: part.places,
                leftOut: part.leftOut)
        }
    }

    /// How it went with labelled files that were left out of training, each once: how many were sure
    /// enough, and how many of these were right.
    ///
    /// One classifier that saw two thirds of the files is a little worse than those that label.
    public func agreement(atLeast probability: Double) -> (sure: Int, right: Int, count: Int) {
        let sure = checks.filter { $0.verdict.probability >= probability }
        return (sure.count, sure.count { $0.verdict.label == $0.label }, checks.count)
    }

    /// Labels items, and hands each verdict on in their order.
    ///
    /// - Parameters:
    ///   - items: consumed lazily, on reader threads
    ///   - pause: seconds without a further item after which those that wait are labelled; nil waits for 64
    ///   - emit: called once for each item, on the calling thread
    /// - Throws: what `emit` throws, and `TorchError`
    /// - Complexity: 8 bytes are kept for each item
    public func label(
        _ items: some Sequence<Item>, pause: Double? = nil,
        emit: (Item, Result<Verdict, ItemFailed>) throws -> Void
    ) throws {
        let reader = try view.reader(items, threadCount: workerCount)
        var seen = realWords
        try reader.forEachGroup(of: Self.groupSize, pause: pause) { group in
            var maps = SmallMaps(shape: view.shape)
            for read in group {
                if let content = try? read.content.get() {
                    maps.append(try view.map(of: content.views[0]))
                }
            }
            var next = try Self.verdicts(of: maps, by: members, labels: labels).makeIterator()
            for read in group {
                switch read.content {
                case .success(let content):
                    guard var verdict = next.next() else { continue }
                    verdict.isCopy = !seen.insert(content.views[0].hash.word).inserted
                    try emit(read.item, .success(verdict))
                case .failure(let failed): try emit(read.item, .failure(failed))
                }
            }
        }
    }

    private static let groupSize = 64

    /// Items drawn without repeats, all of them where there are no more (reservoir sampling; Vitter, ACM TOMS
    /// 1985, algorithm R).
    private static func drawn(
        _ count: Int, from items: some Sequence<Item>, seed: UInt64
    ) -> [Item] {
        var generator = Generator(seed: seed, Stream.classifier.rawValue, 3)
        var drawn: [Item] = []
        for (index, item) in items.enumerated() {
            guard index >= count else {
                drawn.append(item)
                continue
            }
            let place = Int.random(in: 0...index, using: &generator)
            if place < count { drawn[place] = item }
        }
        return drawn
    }

    private static func verdicts(
        of maps: SmallMaps, by members: [SmallClassifier], labels: [String]
    ) throws -> [Verdict] {
        let all = try members.map { try $0.probabilities(of: maps) }
        return (0..<maps.count).map { row in
            let means = labels.indices.map { code in
                all.reduce(0) { $0 + Double($1[row * labels.count + code]) } / Double(all.count)
            }
            let best = means.indices.max { means[$0] < means[$1] } ?? 0
            return Verdict(label: labels[best], probability: means[best])
        }
    }
}
