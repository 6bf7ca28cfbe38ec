import Foundation
import Latent

/// What `augment` does once it is clear what is to be written: it writes, goes on where an earlier run ended, and
/// says how far it is.
final class AugmentRun {
    private let augmenter: Augmenter
    private let configuration: Augmenter.Configuration
    private let plan: AugmentationPlan
    private let record: RunRecord
    /// SHA-256 of the model's file; nil where no model has a part in it.
    private let modelHash: ContentHash?
    private let files: AugmentFiles
    private let console: Console
    private let progress: RunProgress?
    private lazy var unreadable = UnreadableParents(
        progress?.unreadable ?? [], console: console)
    /// Files of this part.
    private let newCount: Int
    private let total: Int

    private var folder: OutputFolder?
    private var interruption: Interruption?
    private let startedAt = Date()
    private var written = 0
    private var rejected: [Filters.Reason: Int]

    /// Looks at what is in the folder.
    ///
    /// - Parameters:
    ///   - augmenter: makes the files
    ///   - configuration: the same that it has
    ///   - plan: what is to be made
    ///   - record: of all that the result depends on
    ///   - modelHash: SHA-256 of the file of the model that draws; nil where none does
    ///   - files: where they are written, and how
    ///   - console: hears what happens
    /// - Throws: `LatentError` `.exists` for a folder that holds something else
    init(
        _ augmenter: Augmenter, configuration: Augmenter.Configuration, plan: AugmentationPlan,
        record: RunRecord, modelHash: ContentHash?, files: AugmentFiles, console: Console
    ) throws {
        (self.augmenter, self.configuration, self.plan) = (augmenter, configuration, plan)
        (self.record, self.modelHash, self.files) = (record, modelHash, files)
        self.console = console
        progress = try OutputFolder.progress(
            in: files.output, of: record, plan: plan, configuration: configuration,
            overwrites: files.force)
        newCount = plan.slotCount(of: configuration.shard)
        total =
            newCount
            + (files.includeOriginals
                ? plan.shares(of: configuration.shard).reduce(0) { $0 + $1.originalCount } : 0)
        rejected = progress?.rejected ?? [:]
    }

    /// Says what would be written, and writes nothing.
    func rehearse(format: RowFormat?) throws {
        try DryRunWriter(format: format, originals: files.includeOriginals)
            .write(plan.shares(of: configuration.shard), progress: progress)
    }

    /// Whether all is there already, but for real files that cannot be read, which it was finished without.
    private var isFinished: Bool {
        guard let progress, !progress.isTorn else { return false }
        return progress.newCount == newCount && newCount > 0 || progress.fileCount == total
    }

    /// Writes what is missing.
    ///
    /// - Parameters:
    ///   - parentCount: of real files, for messages
    ///   - onBegin: called before anything is drawn, if something is missing
    /// - Throws: `ExitStatus.badData` in the end where real files cannot be read; `LatentError`
    func write(parentCount: Int, onBegin: () -> Void) throws {
        if let progress, isFinished {
            console.note("\(files.output) is finished: it holds \(Self.all(progress.fileCount))")
            return try unreadable.conclude(of: parentCount)
        }
        if let progress, progress.fileCount > 0 {
            console.note(
                "\(files.output) holds \(progress.fileCount) of \(counted(total, "file")); going on"
            )
        }
        onBegin()
        if let originals = files.originals, progress?.newCount ?? 0 == 0 {
            try augmenter.originals(
                of: plan, from: progress?.nextOriginal ?? 0, onFailure: unreadable.add
            ) { original in
                _ = try prepared().write(original, as: originals)
                try count()
            }
        }
        try augmenter.generate(
            plan, skipping: progress?.newCount ?? 0, onFailure: unreadable.add,
            onRemark: { console.advice($0) }
        ) { item in
            rejected.merge(item.rejected) { $0 + $1 }
            _ = try prepared().write(item, configuration: configuration, modelHash: modelHash)
            try count()
        }
        console.clear()
        let manifest = try prepared().manifestName
        console.note("wrote \(counted(written, "file")) and \(manifest) to \(files.output)")
        if !rejected.isEmpty {
            console.note("refused and drawn again: \(RejectList.text(rejected))")
        }
        try unreadable.conclude(of: parentCount)
    }

    /// The folder, made when there is something to write: an error, or a signal, before leaves nothing behind.
    private func prepared() throws -> OutputFolder {
        if let folder { return folder }
        let made = try OutputFolder(
            path: files.output, record: record, shard: configuration.shard,
            continuing: progress, overwrites: files.force)
        try unreadable.keep(in: made)
        interruption = Interruption()
        folder = made
        return made
    }

    /// Takes note of a file that is written with its line.
    private func count() throws {
        written += 1
        let before = progress?.fileCount ?? 0
        if interruption?.isRequested == true {
            throw LatentError(
                .interrupted,
                "interrupted after \(before + written) of \(counted(total, "file"))",
                hint: "the files and their manifest lines are whole; the same command goes on")
        }
        // Judged files come in groups, whose last one says how fast they do.
        guard configuration.filters.isEmpty || written % Augmenter.groupSize == 0 else { return }
        console.progress {
            let seconds = Date().timeIntervalSince(self.startedAt) / Double(self.written)
            let left = self.total - before - self.written
            return "wrote \(before + self.written) of \(counted(self.total, "file")), "
                + "\(Console.duration(seconds * Double(max(0, left)))) left"
        }
    }

    private static func all(_ count: Int) -> String {
        count == 1 ? "its only file" : "all \(count) files"
    }
}
