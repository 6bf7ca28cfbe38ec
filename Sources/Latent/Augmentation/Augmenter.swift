import Foundation
import Media
import Torch

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
        ///
        /// Posteriors of parents are moved from where
        /// the latents of their own labels lie to where those of the new ones do.
        public var assignments: [String: String] = [:]
        /// An attribute that posteriors of parents are moved by.
        public var direction: LatentDirection?
        /// Factor on how far posteriors are moved: 1 is as far as the sets of items, or of labels, differ.
        public var strength = 1.0
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
    let source: (file: ModelFile, model: VAE)?
    let reading: ParentReading
    let configuration: Configuration
    let density: LatentDensity?
    let flow: LatentFlow?
    let deformations: DeformationDistribution?
    let labelling: Labelling
    /// Where latents of labels lie, where posteriors are moved from one to another.
    let labelMeans: LabelMeans?

    /// The model's file; nil where real files are transformed.
    var file: ModelFile? { source?.file }

    /// Makes an augmenter; the model stays on the calling thread.
    ///
    /// - Throws: ``LatentError`` `.usage` for a model that reads what no file can be made of, that has
    ///   no density, flow, pseudo-inputs or deformations where they are asked for, or does not know the
    ///   labels
    public init(file: ModelFile, model: VAE, configuration: Configuration) throws {
        guard file.record.preprocessing.isInvertible else {
            let name = file.record.preprocessing.viewName
            throw LatentError(
                .usage, path: file.path,
                "a model for detection: it reads \(name), which cannot be turned back into files",
                hint: "train one with --for augmentation")
        }
        source = (file, model)
        let preprocessing = file.record.preprocessing
        reading =
            switch configuration.method {
            case .transform: .whole(preprocessing.domain)
            case .deform: .deformed(preprocessing)
            case .prior, .density, .flow, .vamp, .posterior, .interpolate, .smote, .extrapolate:
                .windows(preprocessing)
            }
        self.configuration = configuration
        density =
            configuration.method == .density ? try file.naming { try LatentDensity(file) } : nil
        guard configuration.method != .density || density != nil else {
            throw LatentError(
                .usage, path: file.path, "the model has no density of its latents",
                hint: "use --method prior, or train again with --for augmentation")
        }
        flow = configuration.method == .flow ? try file.naming { try LatentFlow(file) } : nil
        guard configuration.method != .flow || flow != nil else {
            throw LatentError(
                .usage, path: file.path, "the model has no flow of its latents",
                hint:
                    "train again with --for augmentation --flow-steps \(LatentFlow.usualStepCount), or "
                    + "use --method \(file.hasDensity ? "density" : "prior")")
        }
        guard configuration.method != .vamp || model.pseudoInputs != nil else {
            throw LatentError(
                .usage, path: file.path,
                "the model has no pseudo-inputs: it was trained with --objective "
                    + "\(model.configuration.objective.kind.rawValue)",
                hint: "train with --objective vamp, or use --method "
                    + "\(file.hasDensity ? "density" : "prior")")
        }
        deformations =
            configuration.method == .deform
            ? try file.naming { try DeformationDistribution(file) } : nil
        guard configuration.method != .deform || deformations != nil else {
            throw LatentError(
                .usage, path: file.path, "the model has no deformations",
                hint: "train again with --for augmentation, on whole images or short recordings, "
                    + "two or more of a class; or use another --method")
        }
        guard deformations == nil || configuration.assignments.isEmpty else {
            throw LatentError(
                .usage, "--condition with --method deform: what is deformed keeps its labels",
                hint: "name the files of these labels, or use another --method")
        }
        let movesLabels =
            configuration.method.movesPosteriors && !configuration.assignments.isEmpty
        labelMeans = movesLabels ? try file.naming { try LabelMeans(file) } : nil
        labelling = try Labelling(
            density == nil && flow == nil && labelMeans == nil
                ? model.configuration.conditioning : LatentDensity.groups(of: file.record),
            assignments: configuration.assignments,
            fitted: file.fittedCombinations(for: configuration.method))
        try checkMoves(movesLabels: movesLabels)
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
        flow = nil
        deformations = nil
        labelMeans = nil
        self.configuration = configuration
        labelling = try Labelling(nil, assignments: configuration.assignments, fitted: nil)
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
    /// - Throws: as ``plan(for:)`` and ``generate(_:skipping:onFailure:onRemark:emit:)``
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
    ///   - onRemark: told what cannot be judged, and why, and what is doubtful of a direction
    ///   - emit: called once for each item, on the calling thread
    /// - Throws: ``LatentError`` `.data` when no parent of an item can be read, or no draw of it passes
    ///   the filters
    public func generate(
        _ plan: AugmentationPlan, skipping skipped: Int = 0,
        onFailure: (ItemFailure) throws -> Void, onRemark: (String) -> Void = { _ in },
        emit: (SyntheticItem) throws -> Void
    ) throws {
        let shard = configuration.shard
        let workerCount = configuration.workerCount
        var failedPaths: Set<String> = []
        func report(_ failure: ItemFailure) throws {
            if failedPaths.insert(failure.item.path).inserted { try onFailure(failure) }
        }
        let reader = DrawReader(
            plan: plan, neighbours: try neighbours(of: plan, onFailure: report),
            labelling: labelling, reading: reading, seed: configuration.seed)
        let move = try move(for: plan, onFailure: report, onRemark: onRemark)
        // A group is decoded from its first item on, whatever of it is there.
        let begun = skipped / Self.groupSize * Self.groupSize
        let attempts = ReadAhead(
            (begun..<max(begun, plan.slotCount(of: shard))).lazy
                .map { shard?.place(ofItem: $0) ?? $0 }.makeIterator(),
            threadCount: workerCount, capacity: Self.groupSize,
            byteCount: { $0.prepared?.byteCount ?? 0 }
        ) { reader.attempt($0, from: 0) }
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
            conditioning: labelling.conditioning, deformations: deformations)
        let first = shard?.place(ofItem: skipped) ?? skipped
        var chunk: [Prepared] = []
        var chunkBytes = 0
        var group = 0
        func flush() throws {
            defer { (chunk, chunkBytes) = ([], 0) }
            guard let judge else {
                let jobs = zip(chunk, try decode(chunk, move: move)).filter { $0.0.slot >= first }
                    .map(\.1)
                let rendering = ReadAhead(
                    jobs.makeIterator(), threadCount: workerCount, capacity: Self.groupSize
                ) { job in Result { try renderer.render(job) } }
                while let result = rendering.next() { try emit(result.get()) }
                return
            }
            for (slot, item) in try passing(
                chunk, move: move, judge: judge, renderer: renderer,
                next: { making in
                    let attempts = ReadAhead(
                        making.makeIterator(), threadCount: workerCount, capacity: Self.groupSize
                    ) { reader.attempt($0.slot, from: $0.attempt + 1) }
                    var prepared: [Prepared] = []
                    while let attempt = attempts.next() {
                        prepared.append(try reader.prepared(attempt, onFailure: report))
                    }
                    return prepared
                })
            where slot >= first { try emit(item) }
        }
        while let attempt = attempts.next() {
            let prepared = try reader.prepared(attempt, onFailure: report)
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
}
