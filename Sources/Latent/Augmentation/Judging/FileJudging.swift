import Media

/// Judges files that are there, as ``Augmenter`` judges those that it makes.
public final class FileJudging {
    private let judge: Judge
    private let file: ModelFile
    private let workerCount: Int

    /// Looks at the real files.
    ///
    /// - Parameters:
    ///   - file: a model that draws
    ///   - model: the same on its device; it stays on the calling thread
    ///   - filters: what is looked for
    ///   - real: files to compare with
    ///   - seed: of the draws of scores
    ///   - workerCount: threads that read
    /// - Throws: ``LatentError`` `.usage` for a model that reads what files cannot be compared by; `.data`
    ///   for a real file of a class that a conditional model does not know
    public init(
        file: ModelFile, model: VAE, filters: Filters, real: [Item], seed: UInt64 = 0,
        workerCount: Int
    ) throws {
        guard file.record.preprocessing.isInvertible else {
            throw LatentError(
                .usage, "a model for detection: it reads \(file.record.preprocessing.viewName)",
                hint: "train one with --for augmentation, or use latent score")
        }
        let conditioning = model.configuration.conditioning
        let classes = try real.map { item -> String? in
            try conditioning.map { $0.label(of: try $0.codes(of: item)) } ?? item.label
        }
        judge = try Judge(
            filters, file: file, model: model, items: real, classes: classes, seed: seed,
            workerCount: workerCount)
        self.file = file
        self.workerCount = workerCount
    }

    /// What cannot be judged, and why.
    public var remarks: [String] { judge.remarks }

    /// Real files that cannot be read, and are not compared with.
    public var failures: [ItemFailure] { judge.failures }

    /// Judges items and hands each judgement on in the order of the items.
    ///
    /// Near-duplicates are looked for among the last 5,000 files that would be let through.
    ///
    /// - Parameters:
    ///   - items: consumed lazily, on reader threads
    ///   - pause: seconds without a further item after which those that wait are judged; nil waits for 64
    ///   - emit: called once for each item, on the calling thread
    /// - Throws: what `emit` throws, and `TorchError` when the model cannot be run
    public func judge(
        _ items: some Sequence<Item>, pause: Double? = nil,
        emit: (Item, Result<Judgement, ItemFailed>) throws -> Void
    ) throws {
        let preprocessing = file.record.preprocessing
        let conditioning = file.record.configuration.conditioning
        let gate = LargeFileGate()
        typealias Read = (item: Item, candidate: Result<Judge.Candidate, ItemFailed>)
        let reader = ReadAhead(
            items.makeIterator(), threadCount: workerCount, capacity: Augmenter.groupSize,
            byteCount: { (try? $0.candidate.get().windows.byteCount) ?? 0 }
        ) { item -> Read in
            do {
                let candidate = try Judge.Candidate(
                    reading: item, preprocessing: preprocessing, conditioning: conditioning,
                    gate: gate
                ) { conditioning?.label(of: $0) ?? item.label }
                return (item, .success(candidate))
            } catch {
                return (item, .failure(ItemFailed(ItemError(error))))
            }
        }
        var accepted: [Fingerprint] = []
        try reader.forEachGroup(of: Augmenter.groupSize, pause: pause) { group in
            let candidates = group.compactMap { try? $0.candidate.get() }
            let judgements = try judge.judge(candidates, beside: accepted)
            for (candidate, judgement) in zip(candidates, judgements)
            where judgement.reasons.isEmpty { accepted.append(candidate.print) }
            accepted.removeFirst(max(0, accepted.count - Judge.referenceLimit))
            var next = judgements.makeIterator()
            for read in group {
                switch read.candidate {
                case .success:
                    if let judgement = next.next() { try emit(read.item, .success(judgement)) }
                case .failure(let failed): try emit(read.item, .failure(failed))
                }
            }
        }
    }
}
