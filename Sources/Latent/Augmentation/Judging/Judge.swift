import Media
import Torch

/// Judges new files one by one: against the model, and against fixed real files.
///
/// A file's judgement depends on nothing that is judged with it, but for near-duplicates, which are looked
/// for among the files of a group. So parts of a run, and what is left of an interrupted one, come to
/// the same as the whole.
final class Judge {
    /// A file that is to be judged.
    struct Candidate: Sendable {
        let print: Fingerprint
        let windows: ItemWindows
        /// Its class.
        let label: String?
        /// The labels that a conditional model is told.
        let codes: [Int]
        /// Real files that it was made from and that are not among those of the judge.
        var parents: [Fingerprint] = []
    }

    let filters: Filters
    /// What cannot be judged, and why, for people.
    let remarks: [String]
    /// Real files that cannot be read, in order.
    let failures: [ItemFailure]
    /// Whether all real files are compared with, or a sample of them.
    let holdsAll: Bool
    /// How the model reads files.
    var preprocessing: Preprocessing { record.preprocessing }
    private let model: VAE
    private let record: ModelRecord
    private let seed: UInt64
    private let classifier: LabelClassifier?
    private let distances: RealDistances?
    /// Scores of real files, ascending.
    private let scores: [Double]

    /// Real files that are compared with, at most; of more, evenly spread ones.
    static let referenceLimit = 5_000
    /// Real files that are scored, at most, where the model has too few scores of its own.
    private static let scoredLimit = 500
    /// Fewer scores than this are no ground to refuse a file.
    private static let smallestCount = 19

    /// Looks at the real files.
    ///
    /// - Parameters:
    ///   - filters: what is looked for
    ///   - file: the model
    ///   - model: the same on its device
    ///   - items: real files; unreadable ones are left out, and kept in ``failures``
    ///   - classes: of each
    ///   - seed: of the draws of scores
    ///   - workerCount: threads that read
    /// - Throws: `TorchError` when the model cannot be run
    /// - Complexity: N²·E and 6 D³, for N files of E values and D cells of edges
    init(
        _ filters: Filters, file: ModelFile, model: VAE, items: [Item], classes: [String?],
        seed: UInt64, workerCount: Int
    ) throws {
        self.filters = filters
        self.seed = seed
        self.model = model
        record = file.record
        let preprocessing = file.record.preprocessing
        let conditioning = model.configuration.conditioning
        let rate = filters.rates[.offManifold] ?? 1
        let own = file.record.calibration.scores(.reconstructionProbability)
        let lacksScores = own.count < max(Self.smallestCount, Calibration.neededCount(rate: rate))
        let needed = filters.needsRealItems || filters.has(.duplicates) || lacksScores
        let step = max(1, (items.count + Self.referenceLimit - 1) / Self.referenceLimit)
        holdsAll = step == 1
        let gate = LargeFileGate()
        let reader = ReadAhead(
            stride(from: 0, to: needed ? items.count : 0, by: step).makeIterator(),
            threadCount: workerCount, capacity: 64,
            byteCount: { (try? $0.get().windows.byteCount) ?? 0 }
        ) { index -> Result<Candidate, ItemFailure> in
            let item = items[index]
            do {
                return .success(
                    try Candidate(
                        reading: item, preprocessing: preprocessing, conditioning: conditioning,
                        gate: gate
                    ) { _ in classes[index] })
            } catch {
                return .failure(ItemFailure(item: item, error: ItemError(error)))
            }
        }
        let scoredStep = max(1, items.count / step / Self.scoredLimit)
        var prints: [Fingerprint] = []
        var labels: [String?] = []
        var found: [Double] = []
        var failures: [ItemFailure] = []
        while let result = reader.next() {
            let candidate: Candidate
            switch result {
            case .success(let read): candidate = read
            case .failure(let failure):
                failures.append(failure)
                continue
            }
            prints.append(candidate.print)
            labels.append(candidate.label)
            if lacksScores, filters.has(.offManifold), prints.count % scoredStep == 0 {
                found.append(try Self.score(candidate, model: model, record: record, seed: seed))
            }
        }
        scores = found.count > own.count ? found.sorted() : own
        distances =
            filters.has(.copies) || filters.has(.duplicates)
            ? try RealDistances(prints, labels: labels) : nil
        classifier =
            filters.has(.mislabelled)
            ? try LabelClassifier(edges: prints.map(\.edges), labels: labels) : nil
        var remarks: [String] = []
        if filters.has(.offManifold), scores.count < Self.smallestCount {
            remarks.append(
                "off-manifold is not judged: the model has \(scores.count) scores of real files")
        }
        if filters.has(.mislabelled), classifier == nil {
            remarks.append("mislabelled is not judged: there are too few real files with labels")
        }
        let compared = distances?.nearness.count ?? 0
        if filters.has(.copies), compared < RealDistances.smallestCount {
            remarks.append(
                items.isEmpty
                    ? "copies is not judged: no real files are named"
                    : "copies are only files that are the same: \(compared) different real files say "
                        + "too little of how near real files are; it takes "
                        + "\(RealDistances.smallestCount)")
        }
        self.remarks = remarks
        self.failures = failures
    }

    /// Judges files of one group.
    ///
    /// - Parameters:
    ///   - candidates: the files, in order
    ///   - accepted: fingerprints of files of the group that were let through before
    /// - Returns: what is found of each; of files that are alike the first is let through
    /// - Throws: `TorchError` when the model cannot be run
    func judge(_ candidates: [Candidate], beside accepted: [Fingerprint]) throws -> [Judgement] {
        var judgements = candidates.map { _ in Judgement() }
        let looks = try classifier?.judge(
            candidates.map(\.print.edges), labels: candidates.map(\.label))
        let nearest =
            filters.has(.copies) ? try distances?.nearest(to: candidates.map(\.print)) : nil
        var accepted = accepted
        for (index, candidate) in candidates.enumerated() {
            var judgement = Judgement()
            func refuse(_ reason: Filters.Reason, _ isSo: Bool) {
                if isSo { judgement.reasons.append(reason) }
            }
            judgement.flaw = candidate.print.flaw
            refuse(.broken, filters.has(.broken) && candidate.print.flaw != nil)
            if let rate = filters.rates[.offManifold] {
                let score = try Self.score(candidate, model: model, record: record, seed: seed)
                judgement.score = score
                if scores.count >= Self.smallestCount {
                    judgement.scorePValue = Calibration.pValue(score, among: scores)
                }
                refuse(.offManifold, Self.isRare(judgement.scorePValue, rate, of: scores.count))
            }
            if let rate = filters.rates[.mislabelled], let classifier, let looks {
                judgement.predicted = looks[index].predicted
                judgement.labelPValue = looks[index].pValue
                refuse(
                    .mislabelled,
                    Self.isRare(looks[index].pValue, rate, of: classifier.unlikeness.count))
            }
            if let rate = filters.rates[.copies], let distances, let nearest {
                let parents = candidate.parents.map { candidate.print.distance(to: $0) }
                let distance = ([nearest[index]] + parents).min() ?? .infinity
                judgement.nearest = distance
                judgement.nearestPValue = distances.pValue(distance, of: candidate.label)
                refuse(.copies, isNear(distance, rate, of: candidate.label))
            }
            if let rate = filters.rates[.duplicates] {
                judgement.twin = accepted.map { candidate.print.distance(to: $0) }.min()
                refuse(
                    .duplicates,
                    judgement.twin.map { isNear($0, rate, of: candidate.label) } ?? false)
            }
            if judgement.reasons.isEmpty { accepted.append(candidate.print) }
            judgements[index] = judgement
        }
        return judgements
    }

    /// Whether a p-value among so many is at most a rate, or the least there is.
    private static func isRare(_ pValue: Double?, _ rate: Double, of count: Int) -> Bool {
        pValue.map { $0 <= max(rate, 1 / Double(count + 1)) * (1 + 1e-12) } ?? false
    }

    private func isNear(_ distance: Double, _ rate: Double, of label: String?) -> Bool {
        if distance < Fingerprint.sameness { return true }
        guard let distances else { return false }
        return Self.isRare(
            distances.pValue(distance, of: label), rate, of: distances.nearness(of: label).count)
    }

    /// Windows that are scored at once.
    private static let batchSize = 32

    /// The negative reconstruction probability of a file, in nats, as ``Scorer`` has it: a batch has the
    /// windows of one file, so that it does not depend on others.
    private static func score(
        _ candidate: Candidate, model: VAE, record: ModelRecord, seed: UInt64
    ) throws -> Double {
        let windows = candidate.windows
        var values: [Double] = []
        for start in stride(from: 0, to: windows.count, by: batchSize) {
            let range = start..<min(windows.count, start + batchSize)
            let statistics = try model.statistics(
                of: model.batch(windows.values(range)),
                condition: model.condition(range.map { _ in candidate.codes }),
                drawCount: record.drawCount
            ) { window, draws in
                draws.flatMap { draw -> [Float] in
                    var generator = Generator(
                        seed: seed, Stream.scoring.rawValue, windows.hash.word,
                        UInt64(start + window), UInt64(draw))
                    return generator.normals(model.noiseCount)
                }
            }
            values += statistics.reconstruction.map { -$0 }
        }
        return record.aggregate(values)
    }
}

extension Judge.Candidate {
    /// Reads what is needed of the bytes of a file.
    ///
    /// - Throws: `MediaError` for a file that cannot be read right
    init(
        _ bytes: [UInt8], path: String, preprocessing: Preprocessing, label: String?, codes: [Int]
    ) throws {
        self.init(
            print: try Fingerprint(of: bytes, path: path, preprocessing: preprocessing),
            windows: try preprocessing.windows(of: bytes, path: path), label: label, codes: codes)
    }

    /// Reads a file.
    ///
    /// - Parameters:
    ///   - item: the file
    ///   - preprocessing: of the model
    ///   - conditioning: of the model; nil where it is told no labels
    ///   - gate: shared by threads that read at the same time
    ///   - label: the class of the file, which the codes of its labels may say
    /// - Throws: ``LatentError`` for labels that the model does not know, `MediaError` for a file that
    ///   cannot be read right
    init(
        reading item: Item, preprocessing: Preprocessing, conditioning: Conditioning?,
        gate: LargeFileGate, label: (_ codes: [Int]) -> String?
    ) throws {
        let codes = try conditioning?.codes(of: item) ?? []
        let bytes = try FileBytes.read(item.path)
        self = try gate.run(bytes) {
            try Self(
                bytes, path: item.path, preprocessing: preprocessing, label: label(codes),
                codes: codes)
        }
    }
}
