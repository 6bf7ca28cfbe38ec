import Foundation
import Media
import Torch

/// The ways to draw latents for new items; one more is one more case and its branch in
/// ``Augmenter``.
public enum LatentSampling: String, Codable, Sendable, CaseIterable {
    /// z ~ p(z).
    case prior
    /// z from where the latents of the training files of a class lie: ``LatentDensity``.
    case density
    /// z ~ q(z|x) of a real item, its deviation times the spread.
    case posterior
    /// z on the way between the posterior means of two real items of one class.
    case interpolate
    /// z between the posterior mean of a real item and that of one of the nearest of its class.
    ///
    /// Source: Chawla et al., "SMOTE", JAIR 16, 2002, in the latent space instead of that of the data.
    case smote
    /// z beyond the posterior mean of a real item zᵢ, away from one of the nearest of its class zⱼ:
    /// zᵢ + λ · (zᵢ - zⱼ).
    ///
    /// Source: DeVries & Taylor, "Dataset augmentation in feature space", ICLR workshop 2017.
    case extrapolate
    /// No latents and no model: a real item as it is, for ``FileTransforms`` to change.
    case transform
    /// A real item, deformed as one of its class-mates, or one of any class, differs from another:
    /// ``DeformationNetwork``.
    case deform

    /// Real items that one draw needs; one that is deformed by a pair of others has one more.
    public var parentCount: Int {
        switch self {
        case .prior, .density: 0
        case .posterior, .transform: 1
        case .interpolate, .smote, .extrapolate, .deform: 2
        }
    }

    /// Whether the second parent is one of the nearest to the first, and how many those usually are: k of
    /// the papers.
    public var neighbourCount: Int? {
        switch self {
        case .smote: 5
        case .extrapolate: 10
        case .prior, .density, .posterior, .interpolate, .transform, .deform: nil
        }
    }
}

/// One new item, before it is written.
public struct SyntheticItem: Sendable {
    /// The content of the file.
    public let bytes: [UInt8]
    /// `png` or `wav`.
    public let fileExtension: String
    /// The class, where the model or the parents say.
    public let label: String?
    /// The real items it was made from.
    public let parents: [Parent]
    /// Which draw of the seed it is.
    public let drawIndex: Int
    /// Where between two parents it lies: 0 at the first, 1 at the second, below 0 beyond the first.
    public let mix: Double?
    /// The labels that it was decoded with, by attribute; empty without conditioning.
    public let attributes: [String: String]
    /// What was done to it afterwards, in order.
    public let transforms: [AppliedTransform]
    /// What was found of it; nil where nothing was looked for.
    public internal(set) var judgement: Judgement?
    /// Draws in its place that were refused before, by reason.
    public internal(set) var rejected: [Filters.Reason: Int] = [:]

    /// A real item that a new one was made from.
    public struct Parent: Sendable {
        /// The path as given.
        public let path: String
        /// SHA-256 of the file.
        public let hash: ContentHash
    }
}

/// Makes new items from a model: latents drawn in one of several ways, decoded, turned into files.
public final class Augmenter {
    /// What is to be drawn.
    public struct Configuration: Sendable {
        /// The way to draw latents.
        public var method: LatentSampling
        /// How many new items of which class.
        public var amount: AugmentationAmount
        /// Factor on the deviation of the posterior, the prior or the density: below 1 draws are more typical
        /// and less varied.
        public var spread = 1.0
        /// The way between two items, for ``LatentSampling/interpolate``.
        public var path = LatentPath.linear
        /// Nearest items that the second parent is one of; nil for what is usual for the method.
        public var neighbourCount: Int?
        /// How far ``LatentSampling/extrapolate`` goes beyond an item, in distances to its neighbour: λ.
        public var extrapolation = 0.5
        /// Labels that all new items are to have, by attribute; the others are those of the parent,
        /// or every combination that training saw in turn.
        public var assignments: [String: String] = [:]
        /// The source of every draw.
        public var seed: UInt64 = 0
        /// Encoding of recordings; nil takes 16 bits, or floats where a real file that is transformed has more.
        public var encoding: WAVEncoding?
        /// What is done to each item before it is written; nil for nothing.
        public var transforms: FileTransforms?
        /// What new items are refused for; of real files that are transformed without a model, nothing is.
        public var filters = Filters.none
        /// Threads that read parents and write files.
        public var workerCount = 2
        /// The part of the items that is made; nil for all.
        public var shard: Shard? {
            didSet { shard?.groupSize = Augmenter.groupSize }
        }

        /// Makes a configuration of so many items.
        public init(method: LatentSampling, count: Int) {
            self.init(method: method, amount: .total(count))
        }

        /// Makes a configuration.
        public init(method: LatentSampling, amount: AugmentationAmount) {
            self.method = method
            self.amount = amount
        }
    }

    /// The model and its file; nil where real files are transformed.
    private let source: (file: ModelFile, model: VAE)?
    let reading: ParentReading
    let configuration: Configuration
    private let density: LatentDensity?
    private let deformer: Deformer?
    let labelling: Labelling

    /// The model's file; nil where real files are transformed.
    var file: ModelFile? { source?.file }

    /// Makes an augmenter; the model stays on the calling thread.
    ///
    /// - Throws: ``LatentError`` `.usage` for a model that reads what no file can be made of, that has
    ///   no density or deformations where they are asked for, or does not know the labels
    public init(file: ModelFile, model: VAE, configuration: Configuration) throws {
        guard file.record.preprocessing.isInvertible else {
            let name = file.record.preprocessing.viewName
            throw LatentError(
                .usage,
                "a model for detection: it reads \(name), which cannot be turned back into files",
                hint: "train one with --for augmentation")
        }
        source = (file, model)
        let preprocessing = file.record.preprocessing
        reading =
            configuration.method == .transform
            ? .whole(preprocessing.domain) : .windows(preprocessing)
        self.configuration = configuration
        density = configuration.method == .density ? try LatentDensity(file) : nil
        guard configuration.method != .density || density != nil else {
            throw LatentError(
                .usage, "the model has no density of its latents",
                hint: "use --method prior, or train again with --for augmentation")
        }
        deformer = configuration.method == .deform ? try Deformer(file) : nil
        guard configuration.method != .deform || deformer != nil else {
            throw LatentError(
                .usage, "the model has no deformations",
                hint: "train again with --for augmentation, on whole images or short recordings, "
                    + "two or more of a class; or use another --method")
        }
        guard deformer == nil || configuration.assignments.isEmpty else {
            throw LatentError(
                .usage, "--condition with --method deform: what is deformed keeps its labels",
                hint: "name the files of these labels, or use another --method")
        }
        labelling = try Labelling(
            density == nil
                ? model.configuration.conditioning : LatentDensity.groups(of: file.record),
            assignments: configuration.assignments, density: density)
    }

    /// Makes an augmenter that transforms real items, for which no model is needed.
    ///
    /// - Throws: ``LatentError`` `.usage` for a method that needs one, or without transforms
    public init(transforming configuration: Configuration) throws(LatentError) {
        guard configuration.method == .transform, let transforms = configuration.transforms else {
            throw LatentError(
                .usage, "without a model there is nothing to make files of but --transform",
                hint: "name a model, or transforms of real files")
        }
        source = nil
        reading = .whole(transforms.domain)
        density = nil
        deformer = nil
        self.configuration = configuration
        labelling = try Labelling(nil, assignments: configuration.assignments, density: nil)
    }

    private struct Prepared: Sendable {
        /// Its place among all.
        let slot: Int
        /// Which of the slot's draws it is, from 0.
        let attempt: Int
        let draw: ParentSchedule.Draw
        /// Of each parent; none where the only one is taken as it is.
        let windows: [ItemWindows]
        let real: RealFile?
        /// Codes of each parent's labels, and those to decode with.
        let parentCodes: [[Int]]
        let codes: [Int]

        var byteCount: Int {
            windows.reduce(real?.byteCount ?? 0) { $0 + $1.byteCount }
        }

        /// What there is to render of a real file.
        var untouched: Renderer.Job {
            Renderer.Job(
                draw: draw, parents: windows, windows: [], real: real, mix: nil,
                codes: codes)
        }
    }

    /// What became of an item that is to be made.
    private struct Attempt: Sendable {
        /// Its place among all.
        let slot: Int
        /// Nil when no draw has parents that can be read.
        var prepared: Prepared?
        /// Parents that cannot be read, of the draws before.
        var failures: [ItemFailure] = []
    }

    /// Latents are decoded for this many items at once; no batch has items of two such groups, so
    /// that their bytes do not depend on what else is made.
    public static let groupSize = 64
    private static let chunkByteLimit = 16 << 20

    /// Makes all items from real ones: those of the plan for them.
    ///
    /// - Parameters:
    ///   - parents: real items; needed by the methods that start from some
    ///   - onFailure: as below
    ///   - emit: as below
    /// - Throws: as ``plan(for:)`` and ``generate(_:skipping:onFailure:emit:)``
    public func generate(
        parents: [Item], onFailure: (ItemFailure) throws -> Void,
        emit: (SyntheticItem) throws -> Void
    ) throws {
        try generate(try plan(for: parents), onFailure: onFailure, emit: emit)
    }

    /// Makes the items one after the other, in their order.
    ///
    /// Parents are read and signals rebuilt on other threads; a few items are in memory at a time.
    ///
    /// - Parameters:
    ///   - plan: what is to be made
    ///   - skipped: the first of them that are not made, as they are there already; what follows comes
    ///     out as it does without
    ///   - onFailure: called once for a parent that cannot be read; a further draw takes the place
    ///     of one that lost its parent, so that the count is reached
    ///   - onRemark: told what cannot be judged, and why
    ///   - emit: called once for each item, on the calling thread
    /// - Throws: ``LatentError`` `.data` when no parent of an item can be read, or no draw of it passes
    ///   the filters
    public func generate(
        _ plan: AugmentationPlan, skipping skipped: Int = 0,
        onFailure: (ItemFailure) throws -> Void, onRemark: (String) -> Void = { _ in },
        emit: (SyntheticItem) throws -> Void
    ) throws {
        let labelling = labelling
        let reading = reading
        let gate = LargeFileGate()
        let shard = configuration.shard
        let workerCount = configuration.workerCount
        var failedPaths: Set<String> = []
        func report(_ failure: ItemFailure) throws {
            if failedPaths.insert(failure.item.path).inserted { try onFailure(failure) }
        }
        let neighbours = try neighbours(of: plan, onFailure: report)
        /// The first of a slot's draws, from one of them on, whose parents can be read.
        let prepare = { @Sendable [seed = configuration.seed] (index: Int, start: Int) -> Attempt in
            var attempt = Attempt(slot: index)
            let slot = plan.slot(index)
            // All parents there are, twice.
            for number in start..<start + 2 * max(1, slot.group.parents.count) {
                let drawn = plan.draw(number, of: slot)
                guard let draw = neighbours.map({ $0.joined(drawn, seed: seed) }) ?? drawn else {
                    continue
                }
                do throws(ItemFailure) {
                    attempt.prepared = try Self.prepare(
                        draw, attempt: number, of: slot, labelling: labelling, reading: reading,
                        gate: gate)
                    break
                } catch {
                    attempt.failures.append(error)
                }
            }
            return attempt
        }
        // A group is decoded from its first item on, whatever of it is there.
        let begun = skipped / Self.groupSize * Self.groupSize
        let reader = ReadAhead(
            (begun..<max(begun, plan.slotCount(of: shard))).lazy
                .map { shard?.place(ofItem: $0) ?? $0 }.makeIterator(),
            threadCount: workerCount, capacity: Self.groupSize,
            byteCount: { $0.prepared?.byteCount ?? 0 }
        ) { prepare($0, 0) }
        func checked(_ attempt: Attempt) throws -> Prepared {
            for failure in attempt.failures { try report(failure) }
            guard let prepared = attempt.prepared else {
                throw LatentError(
                    .data,
                    "none of the \(plan.slot(attempt.slot).group.parents.count) parents can be read",
                    hint: "name other files")
            }
            return prepared
        }
        let judge = try source.flatMap { source in
            configuration.filters.isEmpty
                ? nil
                : try Judge(
                    configuration.filters, file: source.file, model: source.model,
                    items: plan.items, classes: plan.classes, seed: configuration.seed,
                    workerCount: workerCount)
        }
        for remark in judge?.remarks ?? [] { onRemark(remark) }
        let renderer = Renderer(
            record: source?.file.record, configuration: configuration,
            conditioning: labelling.conditioning)
        let first = shard?.place(ofItem: skipped) ?? skipped
        var chunk: [Prepared] = []
        var chunkBytes = 0
        var group = 0
        func flush() throws {
            defer { (chunk, chunkBytes) = ([], 0) }
            guard let judge else {
                let jobs = zip(chunk, try decode(chunk)).filter { $0.0.slot >= first }.map(\.1)
                let rendering = ReadAhead(
                    jobs.makeIterator(), threadCount: workerCount, capacity: Self.groupSize
                ) { job in Result { try renderer.render(job) } }
                while let result = rendering.next() { try emit(result.get()) }
                return
            }
            for (slot, item) in try passing(
                chunk, judge: judge, renderer: renderer,
                next: { making in
                    let reading = ReadAhead(
                        making.makeIterator(), threadCount: workerCount, capacity: Self.groupSize
                    ) { prepare($0.slot, $0.attempt + 1) }
                    var prepared: [Prepared] = []
                    while let attempt = reading.next() { prepared.append(try checked(attempt)) }
                    return prepared
                })
            where slot >= first { try emit(item) }
        }
        while let attempt = reader.next() {
            let prepared = try checked(attempt)
            if attempt.slot / Self.groupSize != group || chunkBytes >= Self.chunkByteLimit {
                try flush()
                group = attempt.slot / Self.groupSize
            }
            chunk.append(prepared)
            chunkBytes += prepared.byteCount
        }
        try flush()
    }

    /// The neighbours of all parents, where the method needs them.
    private func neighbours(
        of plan: AugmentationPlan, onFailure: (ItemFailure) throws -> Void
    ) throws -> LatentNeighbours? {
        guard let usual = configuration.method.neighbourCount, let source, plan.slotCount > 0
        else { return nil }
        let order = plan.schedule.order.sorted()
        return try LatentNeighbours(
            encoding: order.map { plan.items[$0] }, classes: order.map { plan.classes[$0] },
            count: configuration.neighbourCount ?? usual, by: source.model,
            source.file.record.preprocessing, labelling: labelling,
            workerCount: configuration.workerCount, onFailure: onFailure)
    }

    /// Where between its parents an item lies.
    private func mix(using generator: inout Generator) -> Double? {
        switch configuration.method {
        case .interpolate: 0.2 + 0.6 * Double(generator.uniform())
        case .smote: Double(generator.uniform())
        case .extrapolate: -configuration.extrapolation
        case .prior, .density, .posterior, .transform, .deform: nil
        }
    }

    /// Draws in the place of one item, at most, before it is given up.
    static let attemptLimit = 100

    /// Makes the items of a chunk that pass a judge: those that do not are drawn again, all of them in one
    /// batch, until each passes.
    ///
    /// - Parameters:
    ///   - chunk: the first draws
    ///   - judge: what they have to pass
    ///   - renderer: makes files of what is decoded
    ///   - next: the draws that follow some
    /// - Returns: the items with their slots, in order
    /// - Throws: ``LatentError`` `.data` when one of them does not pass in ``attemptLimit`` draws
    private func passing(
        _ chunk: [Prepared], judge: Judge, renderer: Renderer,
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
                try decode(pending).makeIterator(), threadCount: configuration.workerCount,
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

    /// Reads the parents of a draw.
    private static func prepare(
        _ draw: ParentSchedule.Draw, attempt: Int, of slot: AugmentationPlan.Slot,
        labelling: Labelling, reading: ParentReading, gate: LargeFileGate
    ) throws(ItemFailure) -> Prepared {
        var windows: [ItemWindows] = []
        var codes: [[Int]] = []
        var real: RealFile?
        for parent in draw.parents {
            do {
                codes.append(try labelling.codes(of: parent))
                switch reading {
                case .windows(let preprocessing):
                    windows.append(try preprocessing.windows(ofFile: parent.path, gate: gate))
                case .whole(let domain):
                    real = try RealFile(path: parent.path, domain: domain, gate: gate)
                }
            } catch {
                throw ItemFailure(item: parent, error: ItemError(error))
            }
        }
        return Prepared(
            slot: slot.index, attempt: attempt, draw: draw, windows: windows, real: real,
            parentCodes: codes,
            codes: codes.first.map(labelling.codes) ?? slot.codes)
    }

    /// Draws the latents of a chunk and decodes them in one batch.
    private func decode(_ chunk: [Prepared]) throws -> [Renderer.Job] {
        guard !chunk.isEmpty else { return [] }
        guard let model = source?.model else { return chunk.map(\.untouched) }
        return try withoutGradients {
            let latentCount = model.noiseCount
            var mixes: [Double?] = []
            var noise: [Float] = []
            var counts: [Int] = []
            var choices: [Float] = []
            var codes: [[Int]] = []
            for prepared in chunk {
                var generator = prepared.draw.generator
                // Parents of unequal length share as many windows as the shorter one has.
                let count = prepared.windows.map(\.count).min() ?? 1
                mixes.append(mix(using: &generator))
                counts.append(count)
                noise += generator.normals(count * latentCount)
                choices += (0..<count).map { _ in generator.uniform() }
                codes += [[Int]](repeating: prepared.codes, count: count)
            }
            let condition = try model.condition(codes)
            let total = counts.reduce(0, +)
            let noiseTensor = try Tensor(noise, shape: [total, latentCount]).to(model.device)
            let z: Tensor
            switch configuration.method {
            case .transform: return chunk.map(\.untouched)
            case .prior:
                z = try model.priorLatents(
                    noise: noiseTensor * configuration.spread, choices: choices,
                    condition: condition)
            case .density:
                let top = density?.draws(
                    groups: codes.map(labelling.group),
                    noise: noise.map { $0 * Float(configuration.spread) }, noiseCount: latentCount,
                    choices: choices)
                z = try model.latents(
                    below: Tensor(top ?? [], shape: [total, model.configuration.latentCount])
                        .to(model.device),
                    noise: noiseTensor * configuration.spread, condition: condition)
            case .posterior:
                z = try encode(
                    chunk, by: model, parent: 0, counts: counts,
                    noise: noiseTensor * configuration.spread)
            case .deform:
                return try deform(chunk)
            case .interpolate, .smote, .extrapolate:
                let first = try encode(chunk, by: model, parent: 0, counts: counts)
                let second = try encode(chunk, by: model, parent: 1, counts: counts)
                let weights = zip(mixes, counts).flatMap { mix, count in
                    [Float](repeating: Float(mix ?? 0), count: count)
                }
                z = try configuration.path.points(from: first, to: second, mixes: weights)
            }
            let decoded = try model.decode(z, condition: condition).mean.floats()
            let length = model.configuration.elementCount
            var jobs: [Renderer.Job] = []
            var start = 0
            for (index, prepared) in chunk.enumerated() {
                let end = start + counts[index] * length
                jobs.append(
                    Renderer.Job(
                        draw: prepared.draw, parents: prepared.windows,
                        windows: Array(decoded[start..<end]), real: nil, mix: mixes[index],
                        codes: prepared.codes))
                start = end
            }
            return jobs
        }
    }

    /// Draws what is done to the first parent of each: what makes the last of them of the last but one.
    private func deform(_ chunk: [Prepared]) throws -> [Renderer.Job] {
        guard let deformer else { return [] }
        let deformations = try deformer.deformations(
            of: chunk.map { ($0.windows[$0.windows.count - 2], $0.windows[$0.windows.count - 1]) },
            generators: chunk.map(\.draw.generator), spread: configuration.spread)
        return zip(chunk, deformations).map { prepared, deformation in
            Renderer.Job(
                draw: prepared.draw, parents: prepared.windows, windows: [], real: nil,
                mix: nil, codes: prepared.codes, deformation: deformation)
        }
    }

    private func encode(
        _ chunk: [Prepared], by model: VAE, parent: Int, counts: [Int], noise: Tensor? = nil
    ) throws -> Tensor {
        var values: [Float] = []
        var codes: [[Int]] = []
        for (prepared, count) in zip(chunk, counts) {
            values += prepared.windows[parent].values(0..<count)
            codes += [[Int]](repeating: prepared.parentCodes[parent], count: count)
        }
        return try model.latents(
            of: model.batch(values), condition: model.condition(codes), noise: noise)
    }
}

/// Which labels parents have and new items get.
struct Labelling: Sendable {
    let conditioning: Conditioning?
    let assigned: [Int?]
    /// Combinations that training saw and that fit what is assigned.
    let combinations: [[Int]]

    init(
        _ conditioning: Conditioning?, assignments: [String: String], density: LatentDensity?
    ) throws(LatentError) {
        guard let conditioning else {
            guard assignments.isEmpty else {
                throw LatentError(
                    .usage, "the model is not conditioned on labels",
                    hint: "leave --condition out, or train with --condition class")
            }
            (self.conditioning, assigned, combinations) = (nil, [], [])
            return
        }
        let assigned = try conditioning.codes(ofAssignments: assignments)
        self.conditioning = conditioning
        self.assigned = assigned
        let fitting = conditioning.combinations.enumerated().filter { index, codes in
            zip(codes, assigned).allSatisfy { $1 == nil || $0 == $1 }
                && (density.map { $0.mixtures[index] != nil } ?? true)
        }.map(\.element)
        // A combination that training never saw may still be asked for whole, but has no density.
        let whole = assigned.compactMap { $0 }
        let isWhole = density == nil && whole.count == assigned.count
        combinations = fitting.isEmpty && isWhole ? [whole] : fitting
        guard !combinations.isEmpty else {
            throw LatentError(
                .usage, "no training file had these labels together",
                hint: density == nil
                    ? "give a value of each of \(conditioning.names.joined(separator: ", "))"
                    : "give others, or use --method prior")
        }
    }

    func codes(of parent: Item) throws(LatentError) -> [Int] {
        try conditioning?.codes(of: parent) ?? []
    }

    /// The codes of an item that starts from one of other codes.
    func codes(parent: [Int]) -> [Int] {
        zip(parent, assigned).map { $1 ?? $0 }
    }

    /// Which of the combinations of training codes are.
    func group(_ codes: [Int]) -> Int {
        conditioning?.combinations.firstIndex(of: codes) ?? 0
    }
}
