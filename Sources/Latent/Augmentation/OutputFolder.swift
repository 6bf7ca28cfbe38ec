import Foundation
import Media

/// The folder that new items are written to: class folders, and `manifest.ndjson` with a line for
/// each file.
public final class OutputFolder {
    private let path: String
    /// The name of the manifest: `manifest.ndjson`, of a part `manifest-3-of-8.ndjson`.
    public let manifestName: String
    private let overwrites: Bool
    private let manifest: FileHandle
    private var manifestLine = ManifestLine()

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
        var seed: UInt64 = 0
        var draw = 0
        var mix: Double?
        var attributes: [String: String]?
        var model_sha256 = ""
    }

    /// Refuses a folder that holds what a run would not replace, without touching it.
    ///
    /// - Parameters:
    ///   - path: the folder
    ///   - shard: the part of a run that is written; several parts may share a folder
    /// - Throws: ``LatentError`` `.exists` when the folder holds anything
    public static func checkIsEmpty(_ path: String, shard: Shard? = nil) throws(LatentError) {
        guard shard == nil,
            let content = try? FileManager.default.contentsOfDirectory(atPath: path),
            !content.isEmpty
        else { return }
        throw LatentError(
            .exists, path: path, "the folder holds \(content.count) files or folders already",
            hint: "name another folder, or use --force to write into it")
    }

    /// Prepares the folder.
    ///
    /// - Parameters:
    ///   - path: the folder
    ///   - shard: the part of a run that is written; several parts may share a folder
    ///   - overwrites: whether files in the folder may be replaced
    /// - Throws: ``LatentError`` `.exists` when `overwrites` is false and the folder holds anything, or
    ///   for a part its manifest; `.cannotWrite` when it cannot be made
    public init(path: String, shard: Shard? = nil, overwrites: Bool) throws {
        if !overwrites { try Self.checkIsEmpty(path, shard: shard) }
        try FileManager.default.makeFolder(path)
        manifestName =
            "manifest" + (shard.map { "-\($0.number)-of-\($0.count)" } ?? "") + ".ndjson"
        let manifestPath = "\(path)/\(manifestName)"
        try FileBytes.write([], to: manifestPath, overwrite: overwrites)
        guard let handle = FileHandle(forWritingAtPath: manifestPath) else {
            throw LatentError(
                .cannotWrite, path: manifestPath, "the manifest cannot be opened",
                hint: "check the permissions")
        }
        manifest = handle
        self.path = path
        self.overwrites = overwrites
    }

    /// Writes an item and its line; the line comes second, so that it never names a missing file.
    ///
    /// - Returns: the path of the file
    public func write(
        _ item: SyntheticItem, configuration: Augmenter.Configuration, modelHash: ContentHash
    ) throws -> String {
        let number = String(item.drawIndex)
        let padded = String(repeating: "0", count: max(0, 6 - number.count)) + number
        let name = "\(configuration.method.rawValue)-\(padded).\(item.fileExtension)"
        let folder = item.label.map(Self.folderName)
        if let folder { try FileManager.default.makeFolder("\(path)/\(folder)") }
        let relative = (folder.map { "\($0)/" } ?? "") + name
        try FileBytes.write(item.bytes, to: "\(path)/\(relative)", overwrite: overwrites)

        manifestLine.file = relative
        manifestLine.label = item.label
        manifestLine.method = configuration.method.rawValue
        manifestLine.parents = item.parents.map { .init(path: $0.path, sha256: "\($0.hash)") }
        manifestLine.seed = configuration.seed
        manifestLine.draw = item.drawIndex
        manifestLine.mix = item.mix
        manifestLine.attributes = item.attributes.isEmpty ? nil : item.attributes
        manifestLine.model_sha256 = "\(modelHash)"
        do {
            try manifest.write(contentsOf: try ModelFile.encoder.encode(manifestLine) + [0x0A])
        } catch {
            throw LatentError(
                .cannotWrite, path: "\(path)/\(manifestName)", "the manifest cannot be written",
                hint: "make room on the disk")
        }
        return "\(path)/\(relative)"
    }

    /// A class as the name of a folder: no separators, no leading dot.
    static func folderName(_ label: String) -> String {
        let name = label.replacing("/", with: "_").replacing("\0", with: "_")
        return name.hasPrefix(".") || name.isEmpty ? "_" + name : name
    }
}
