import Foundation
import Glibc
import Media

/// The folder that new items are written to: class folders, and `manifest.ndjson` with a line for
/// each file.
///
/// A file comes before its line, and both in the order of the run: what is there of a run is the start
/// of it, and the same run goes on behind it. See ``RunRecord``.
public final class OutputFolder {
    private let path: String
    /// The name of the manifest: `manifest.ndjson`, of a part `manifest-3-of-8.ndjson`.
    public let manifestName: String
    private let manifest: AppendedFile
    private let lock: FileHandle
    private let unreadablePath: String
    private var unreadable: AppendedFile?
    private let overwrites: Bool

    /// What lines of real items have as their method.
    static let originalMethod = "original"

    /// One line of the manifest.
    private struct ManifestLine: Encodable {
        struct Parent: Encodable {
            let path: String
            let sha256: String
        }

        var file = ""
        var label: String?
        var method = ""
        var parents: [Parent] = []
        var seed: UInt64?
        var draw = 0
        var mix: Double?
        var attributes: [String: String]?
        var direction: Direction?
        var transforms: [AppliedTransform]?
        var model_sha256: String?
        var judgement: Figures?
        var rejected: [String: Int]?

        /// What the posteriors of parents were moved by.
        struct Direction: Encodable {
            let toward: String
            let away_from: String?
            let strength: Double

            /// Nil where they were not.
            init?(_ configuration: Augmenter.Configuration) {
                strength = configuration.strength
                away_from = configuration.direction?.awayName
                guard configuration.direction == nil else {
                    toward = configuration.direction?.name ?? ""
                    return
                }
                guard configuration.method.movesPosteriors, !configuration.assignments.isEmpty
                else { return nil }
                toward = configuration.assignedLabels
            }
        }

        /// What was found of a new item.
        struct Figures: Encodable {
            let score: Double?
            let p_value: Double?
            let predicted: String?
            let label_p_value: Double?
            let nearest: Double?
            let nearest_p_value: Double?
            let twin: Double?

            /// Nil where there are no figures.
            init?(_ judgement: Judgement) {
                // JSON has no infinity.
                func finite(_ value: Double?) -> Double? {
                    value.flatMap { $0.isFinite ? $0 : nil }
                }
                score = finite(judgement.score)
                p_value = judgement.scorePValue
                predicted = judgement.predicted
                label_p_value = judgement.labelPValue
                nearest = finite(judgement.nearest)
                nearest_p_value = judgement.nearestPValue
                twin = finite(judgement.twin)
                guard score != nil || predicted != nil || nearest != nil || twin != nil else {
                    return nil
                }
            }
        }
    }

    /// Looks at what a folder holds of a run, without touching it.
    ///
    /// - Parameters:
    ///   - path: the folder
    ///   - record: what the run depends on
    ///   - plan: what it makes
    ///   - configuration: how, and which part; several parts may share a folder
    ///   - overwrites: whether the run begins again, whatever is there
    /// - Returns: what is there; nil where the run begins
    /// - Throws: ``LatentError`` `.exists` when the folder holds anything else and `overwrites` is
    ///   false, a run of real items that have changed since, or parts of another division
    public static func progress(
        in path: String, of record: RunRecord, plan: AugmentationPlan,
        configuration: Augmenter.Configuration, overwrites: Bool
    ) throws(LatentError) -> RunProgress? {
        let shard = configuration.shard
        try checkOtherParts(path, record: record, shard: shard, overwrites: overwrites)
        guard !overwrites else { return nil }
        let name = recordName(shard)
        guard FileManager.default.fileExists(atPath: "\(path)/\(name)") else {
            try checkIsEmpty(path, shard: shard)
            return nil
        }
        let old = RunRecord(in: path, name: name)
        if let difference = old.map({ $0.difference(from: record) }) ?? "its \(name) cannot be read"
        {
            throw LatentError(
                .exists, path: path, "the folder holds a run of other settings: \(difference)",
                hint: "give the same command to go on, name another folder, or use --force to "
                    + "start again")
        }
        var progress = RunProgress(
            manifest: "\(path)/\(Self.manifestName(shard))", folder: path, plan: plan,
            configuration: configuration)
        progress.unreadable = unreadable("\(path)/\(unreadableName(shard))")
        try progress.checkInputs(
            plan.items + configuration.furtherItems, times: old?.times, in: path,
            workerCount: configuration.workerCount)
        return progress
    }

    /// Refuses a folder that holds what a run would not replace, without touching it; and a file.
    ///
    /// - Parameters:
    ///   - path: the folder
    ///   - shard: the part of a run that is written; several parts may share a folder
    /// - Throws: ``LatentError`` `.exists` when the folder holds anything, or for a part its manifest
    public static func checkIsEmpty(_ path: String, shard: Shard? = nil) throws(LatentError) {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue
        {
            throw LatentError(
                .exists, path: path, "a file of that name is there, and no folder",
                hint: "name another folder")
        }
        let content = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        if shard != nil {
            guard content.contains(manifestName(shard)) else { return }
            throw LatentError(
                .exists, path: "\(path)/\(manifestName(shard))",
                "there is already a file of that name",
                hint: "name another folder, or use --force to write into it")
        }
        guard content.isEmpty else {
            throw LatentError(
                .exists, path: path, "the folder is not empty",
                hint: "name another folder, or use --force to write into it")
        }
    }

    /// Refuses a folder with parts of another division, or other settings: together they are no run.
    private static func checkOtherParts(
        _ path: String, record: RunRecord, shard: Shard?, overwrites: Bool
    ) throws(LatentError) {
        for name in RunRecord.names(in: path) where name != recordName(shard) {
            guard let shard else {
                guard !overwrites else { continue }
                throw LatentError(
                    .exists, path: path, "the folder holds part of a run (\(name))",
                    hint: "name another folder, or use --force to start again")
            }
            guard name.hasSuffix("-of-\(shard.count).json") else {
                throw LatentError(
                    .exists, path: path,
                    "the folder holds a run that is not in \(shard.count) parts (\(name))",
                    hint: "name another folder, or remove it")
            }
            let other = RunRecord(in: path, name: name)
            if !overwrites, let difference = other?.difference(from: record) {
                throw LatentError(
                    .exists, path: path,
                    "the folder holds a part of other settings (\(name)): \(difference)",
                    hint: "name another folder, or use --force with all parts to start again")
            }
        }
    }

    /// Prepares the folder.
    ///
    /// Where the run begins again, what earlier runs wrote is removed first, as their manifests say:
    /// files without a line would be of unknown origin.
    ///
    /// - Parameters:
    ///   - path: the folder
    ///   - record: what the run depends on
    ///   - shard: the part of the run that is written
    ///   - progress: what is there of it, as of ``progress(in:of:plan:configuration:overwrites:)``;
    ///     nil begins
    ///   - overwrites: whether files in the folder may be replaced
    /// - Throws: ``LatentError`` `.exists` when `overwrites` is false and there is something that the
    ///   run would replace, or while another process writes the run; `.cannotWrite` when the folder
    ///   cannot be made
    public init(
        path: String, record: RunRecord, shard: Shard? = nil,
        continuing progress: RunProgress? = nil,
        overwrites: Bool
    ) throws {
        try FileManager.default.makeFolder(path)
        manifestName = Self.manifestName(shard)
        unreadablePath = "\(path)/\(Self.unreadableName(shard))"
        let manifestPath = "\(path)/\(manifestName)"
        let recordPath = "\(path)/\(Self.recordName(shard))"
        if let progress {
            lock = try Self.lock(recordPath)
            try Self.cut(manifestPath, to: progress)
            if shard == nil { Self.removePartialFiles(path) }
        } else {
            if overwrites {
                try Self.removeRuns(path, shard: shard)
            } else {
                try Self.checkIsEmpty(path, shard: shard)
            }
            try FileBytes.write(
                Array(try Self.recordEncoder.encode(record)) + [0x0A], to: recordPath,
                overwrite: false)
            lock = try Self.lock(recordPath)
            try FileBytes.write([], to: manifestPath, overwrite: overwrites)
        }
        manifest = try AppendedFile(path: manifestPath, .existing)
        self.path = path
        // What an interrupted run left without a line is whole, and written again.
        self.overwrites = overwrites || progress != nil
    }

    /// Writes an item and its line; the line comes second, so that it never names a missing file.
    ///
    /// - Parameters:
    ///   - item: what is written
    ///   - configuration: how it was made
    ///   - modelHash: SHA-256 of the model's file; nil without a model
    /// - Returns: the path of the file
    /// - Throws: ``LatentError`` `.cannotWrite`, or `MediaError` for a file that exists or cannot be written
    public func write(
        _ item: SyntheticItem, configuration: Augmenter.Configuration, modelHash: ContentHash?
    ) throws -> String {
        let relative = try place(
            configuration.method.rawValue, number: item.slot, extension: item.fileExtension,
            label: item.label)
        try FileBytes.write(item.bytes, to: "\(path)/\(relative)", overwrite: overwrites)

        var line = ManifestLine()
        line.file = relative
        line.label = item.label
        line.method = configuration.method.rawValue
        line.parents = item.parents.map { .init(path: $0.path, sha256: "\($0.hash)") }
        line.seed = configuration.seed
        line.draw = item.drawIndex
        line.mix = item.mix
        line.attributes = item.attributes.isEmpty ? nil : item.attributes
        line.direction = ManifestLine.Direction(configuration)
        line.transforms = item.transforms.isEmpty ? nil : item.transforms
        line.model_sha256 = modelHash.map { "\($0)" }
        line.judgement = item.judgement.flatMap(ManifestLine.Figures.init)
        line.rejected =
            item.rejected.isEmpty
            ? nil
            : Dictionary(uniqueKeysWithValues: item.rejected.map { ($0.key.rawValue, $0.value) })
        try write(line)
        return "\(path)/\(relative)"
    }

    /// Writes a real item, or a link to it, and its line.
    ///
    /// - Returns: the path of the file
    public func write(_ original: OriginalItem, as kind: OriginalFiles) throws -> String {
        let relative = try place(
            Self.originalMethod, number: original.index, extension: original.fileExtension,
            label: original.label)
        let target = "\(path)/\(relative)"
        switch kind {
        case .copied: try FileBytes.write(original.bytes, to: target, overwrite: overwrites)
        case .linked: try FileLink.make(from: original.path, to: target, overwrite: overwrites)
        }
        var line = ManifestLine()
        line.file = relative
        line.label = original.label
        line.method = Self.originalMethod
        line.parents = [.init(path: original.path, sha256: "\(original.hash)")]
        line.draw = original.index
        line.attributes = original.attributes.isEmpty ? nil : original.attributes
        try write(line)
        return target
    }

    /// Keeps in mind that a real item cannot be read: the run ends with that, however often it is begun.
    ///
    /// - Throws: ``LatentError`` `.cannotWrite`
    public func note(_ failure: ItemFailure) throws {
        let file =
            try unreadable
            ?? AppendedFile(
                path: unreadablePath,
                FileManager.default.fileExists(atPath: unreadablePath) ? .existing : .new)
        unreadable = file
        let item = UnreadableItem(path: failure.item.path, message: failure.error.message)
        try file.append(Array(try ModelFile.encoder.encode(item)) + [0x0A])
    }

    private func write(_ line: ManifestLine) throws {
        try manifest.append(Array(try ModelFile.encoder.encode(line)) + [0x0A])
    }

    /// The name of a file below the folder, whose class folder is made.
    private func place(
        _ method: String, number: Int, extension ending: String, label: String?
    ) throws(LatentError) -> String {
        let digits = "\(number)"
        let padded = String(repeating: "0", count: max(0, 6 - digits.count)) + digits
        let name = "\(method)-\(padded).\(ending)"
        guard let folder = label.map(Self.folderName) else { return name }
        try FileManager.default.makeFolder("\(path)/\(folder)")
        return "\(folder)/\(name)"
    }

    /// A class as the name of a folder: no separators or control characters, no leading dot, and no longer
    /// than names may be; one that has to be changed ends in the start of its SHA-256, so that no two classes
    /// have one folder.
    static func folderName(_ label: String) -> String {
        let plain = String(
            String.UnicodeScalarView(
                label.unicodeScalars.map { scalar in
                    let isBad: Bool
                    switch scalar.properties.generalCategory {
                    case .control, .lineSeparator, .paragraphSeparator: isBad = true
                    default: isBad = scalar == "/"
                    }
                    return isBad ? "_" : scalar
                }))
        let name = plain.hasPrefix(".") || plain.isEmpty ? "_" + plain : plain
        guard name != label || name.utf8.count > nameLimit else { return name }
        let end = "-\(ContentHash(of: Array(label.utf8)))".prefix(17)
        var start = name.unicodeScalars
        while start.reduce(0, { $0 + UTF8.width($1) }) > nameLimit - end.count {
            start.removeLast()
        }
        return String(start) + end
    }

    /// Bytes of a file's name, at most, as Linux has it.
    private static let nameLimit = 255
}
