import Media

/// New items that are judged before they are let through.
extension Augmenter {
    /// Draws in the place of one item, at most, before it is given up.
    static let attemptLimit = 100

    /// Makes the items of a chunk that pass a judge: those that do not are drawn again, all of them in one
    /// batch, until each passes.
    ///
    /// - Parameters:
    ///   - chunk: the first draws
    ///   - move: what is added to the posteriors of parents
    ///   - judge: what they have to pass
    ///   - renderer: makes files of what is decoded
    ///   - next: the draws that follow some
    /// - Returns: the items with their slots, in order
    /// - Throws: ``LatentError`` `.data` when one of them does not pass in ``attemptLimit`` draws
    func passing(
        _ chunk: [Prepared], move: LatentMove, judge: Judge, renderer: Renderer,
        next: ([Prepared]) throws -> [Prepared]
    ) throws -> [(slot: Int, item: SyntheticItem)] {
        let preprocessing = judge.preprocessing
        let holdsAll = judge.holdsAll || !judge.filters.has(.copies)
        var items: [Int: SyntheticItem] = [:]
        var prints: [Fingerprint] = []
        var pending = chunk
        var rejected = [Int: [Filters.Reason: Int]]()
        for _ in 0..<Self.attemptLimit {
            let rendering = ReadAhead(
                try decode(pending, move: move).makeIterator(),
                threadCount: configuration.workerCount,
                capacity: Self.groupSize
            ) { job in
                Result {
                    let item = try renderer.render(job)
                    var candidate = try Judge.Candidate(
                        item.bytes, path: "new file", preprocessing: preprocessing,
                        label: item.label, codes: job.codes)
                    if !holdsAll {
                        candidate.parents = try job.draw.parents.map {
                            try Fingerprint(
                                of: FileBytes.read($0.path), path: $0.path,
                                preprocessing: preprocessing)
                        }
                    }
                    return (item, candidate)
                }
            }
            var made: [(item: SyntheticItem, candidate: Judge.Candidate)] = []
            while let result = rendering.next() { made.append(try result.get()) }
            var left: [Prepared] = []
            let judgements = try judge.judge(made.map(\.candidate), beside: prints)
            for ((prepared, made), judgement) in zip(zip(pending, made), judgements) {
                guard judgement.reasons.isEmpty else {
                    for reason in judgement.reasons {
                        rejected[prepared.slot, default: [:]][reason, default: 0] += 1
                    }
                    left.append(prepared)
                    continue
                }
                var item = made.item
                item.judgement = judgement
                item.rejected = rejected[prepared.slot] ?? [:]
                items[prepared.slot] = item
                prints.append(made.candidate.print)
            }
            guard !left.isEmpty else { break }
            pending = try next(left)
        }
        return try chunk.map { prepared in
            guard let item = items[prepared.slot] else {
                throw Self.exhausted(prepared, rejected[prepared.slot] ?? [:])
            }
            return (prepared.slot, item)
        }
    }

    private static func exhausted(
        _ prepared: Prepared, _ rejected: [Filters.Reason: Int]
    ) -> LatentError {
        let reasons = rejected.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            .map { "\($0.value) for \($0.key.rawValue)" }.joined(separator: ", ")
        let parent = prepared.draw.parents.first?.label.map { " of class \($0)" } ?? ""
        return LatentError(
            .data,
            "none of \(attemptLimit) draws\(parent) for one file was let through: refused were \(reasons)",
            hint: "use another --method or --spread, or leave that out of --reject")
    }
}
