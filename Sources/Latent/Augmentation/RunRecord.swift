import Foundation
import Media

/// What the files of a run depend on: two runs of one record write the same bytes.
///
/// It lies in the output folder, hidden, as `.latent-augment.json`, of a part as
/// `.latent-augment-3-of-8.json`, so that the same command can go on where it was interrupted and
/// another does not.
public struct RunRecord: Codable, Sendable, Equatable {
    /// Settings as words, by name.
    public let settings: [String: String]
    /// What was chosen by ``AugmentationTrial``, and why; nil where the settings were given.
    public let choice: AugmentationChoice?
    /// When the real items were last written; nil in records of before.
    let times: String?

    /// Makes a record of settings.
    public init(_ settings: [String: String], choice: AugmentationChoice? = nil) {
        self.settings = settings
        self.choice = choice
        times = nil
    }

    /// Collects what a run depends on.
    ///
    /// - Parameters:
    ///   - configuration: how latents are drawn
    ///   - plan: what is made; its real items count by path, label, attributes and size, and where a run
    ///     goes on by what ``RunProgress`` knows, as reading all of them would take long
    ///   - modelHash: of the model file; nil without a model
    ///   - originals: whether and how the real items are taken along
    ///   - choice: what decided the method and the transforms; nil where they were given
    public init(
        _ configuration: Augmenter.Configuration, plan: AugmentationPlan, modelHash: ContentHash?,
        originals: OriginalFiles?, choice: AugmentationChoice? = nil
    ) {
        self.choice = choice
        var settings: [String: String] = [
            "program": LatentVersion.current,
            "model": modelHash.map { "\($0)" } ?? "",
            "method": configuration.method.rawValue,
            "number": configuration.amount.description,
            "spread": "\(configuration.spread)",
            "curve": configuration.path.rawValue,
            "neighbours": configuration.neighbourCount.map { "\($0)" } ?? "",
            "lambda": "\(configuration.extrapolation)",
            "condition": configuration.assignedLabels,
            "encoding": configuration.encoding?.rawValue ?? "",
            "transforms": configuration.transforms?.description ?? "",
            "reject": configuration.filters.description,
            "seed": "\(configuration.seed)",
            "data": Self.identity(of: plan.items),
            "originals": originals?.rawValue ?? "left out",
        ]
        if let choice { settings["auto"] = choice.chosen.name }
        if let direction = configuration.direction {
            settings["toward"] = "\(direction.name): \(Self.identity(of: direction.toward))"
            settings["away from"] = direction.away.map {
                "\(direction.awayName ?? ""): \(Self.identity(of: $0))"
            }
        }
        if configuration.strength != 1 { settings["strength"] = "\(configuration.strength)" }
        self.settings = settings
        times = Self.times(of: plan.items + configuration.furtherItems)
    }

    /// Real items by path, label, attributes and size, in a word.
    private static func identity(of items: [Item]) -> String {
        var lines: [UInt8] = []
        for item in items {
            var status = stat()
            let size = stat(item.path, &status) == 0 ? Int(status.st_size) : -1
            let words = [item.path, item.label] + item.attributes + ["\(size)"]
            for word in words { lines += Array((word ?? "").utf8) + [word == nil ? 1 : 0] }
        }
        return "\(items.count) files, \(ContentHash(of: lines))"
    }

    /// A setting in which another record differs, in words; nil where they are equal.
    func difference(from other: RunRecord) -> String? {
        let names = Set(settings.keys).union(other.settings.keys).sorted()
        guard let name = names.first(where: { settings[$0] != other.settings[$0] }) else {
            return nil
        }
        func text(_ record: RunRecord) -> String {
            let value = record.settings[name] ?? ""
            return value.isEmpty ? "none" : String(value.prefix(80))
        }
        return "\(name) was \(text(self)), is \(text(other))"
    }

    // MARK: Files

    static let namePrefix = ".latent-augment"

    /// What the name of a record, or of a manifest, ends in.
    static func suffix(_ shard: Shard?) -> String {
        shard.map { "-\($0.number)-of-\($0.count)" } ?? ""
    }

    /// Reads the record of a folder; nil where there is none, or none that can be read.
    init?(in folder: String, name: String) {
        guard
            let bytes = try? FileBytes.read("\(folder)/\(name)", maximumByteCount: 1 << 20),
            let record = try? JSONDecoder().decode(RunRecord.self, from: Data(bytes))
        else { return nil }
        self = record
    }

    /// What the runs in a folder chose; nil where there is none that did.
    ///
    /// Parts that share a folder are of one choice: that of the part that began first.
    public static func choice(in folder: String) -> AugmentationChoice? {
        names(in: folder).lazy.compactMap { RunRecord(in: folder, name: $0)?.choice }.first
    }

    /// Names of all records of a folder, sorted.
    static func names(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
            .filter { $0.hasPrefix(namePrefix) && $0.hasSuffix(".json") }.sorted()
    }
}

/// What of a run is in its folder: the start of its manifest, as far as each line is whole and its file
/// is there.
public struct RunProgress: Sendable, Equatable {
    /// Where to look for further originals: their place among the real items.
    public internal(set) var nextOriginal = 0
    /// New items that are there.
    public internal(set) var newCount = 0
    /// Files by class.
    public internal(set) var counts: [String?: Int] = [:]
    /// Draws that were refused for them, by reason.
    public internal(set) var rejected: [Filters.Reason: Int] = [:]
    /// Real items that the run could not read.
    public internal(set) var unreadable: [UnreadableItem] = []
    /// What the items that files were made from contained, by path: the first bytes of their SHA-256.
    var parentWords: [String: UInt64] = [:]
    /// Length of the lines, and of all that is in the manifest.
    var byteCount = 0
    var manifestByteCount = 0

    /// Whether the manifest ends in what is no whole line of this run.
    public var isTorn: Bool { manifestByteCount > byteCount }

    /// Files that are there.
    public var fileCount: Int { counts.values.reduce(0, +) }

    /// Nothing yet.
    init() {}

    /// The keys of a line that tell what it is of.
    private struct Line: Decodable {
        let file: String
        let label: String?
        let method: String
        let draw: Int
        let rejected: [String: Int]?
        let parents: [Parent]?

        struct Parent: Decodable {
            let path: String
            let sha256: String
        }
    }

    /// Reads a manifest, up to the first line that is not as the run writes it.
    ///
    /// - Parameters:
    ///   - path: the manifest
    ///   - folder: where its files are
    ///   - plan: what the run makes
    ///   - configuration: how, and which part
    /// - Complexity: one look at each file
    init(
        manifest path: String, folder: String, plan: AugmentationPlan,
        configuration: Augmenter.Configuration
    ) {
        guard let handle = FileHandle(forReadingAtPath: path) else { return }
        manifestByteCount = Int((try? handle.seekToEnd()) ?? 0)
        try? handle.seek(toOffset: 0)
        let reader = LineReader(handle)
        let decoder = JSONDecoder()
        let shard = configuration.shard
        let total = plan.slotCount(of: shard)
        while let text = reader.next() {
            let length = text.utf8.count + 1
            // What has no line end is the last, and torn.
            guard byteCount + length <= manifestByteCount,
                let line = try? decoder.decode(Line.self, from: Data(text.utf8)),
                let file = OutputFolder.location(of: line.file, in: folder), file.byteCount > 0
            else { return }
            if line.method == OutputFolder.originalMethod {
                guard newCount == 0, line.draw >= nextOriginal, line.draw < plan.items.count,
                    shard?.contains(line.draw) ?? true
                else { return }
                nextOriginal = line.draw + 1
            } else {
                guard line.method == configuration.method.rawValue, newCount < total,
                    plan.isDraw(line.draw, ofSlot: shard?.place(ofItem: newCount) ?? newCount)
                else { return }
                newCount += 1
            }
            counts[line.label, default: 0] += 1
            for parent in line.parents ?? [] {
                parentWords[parent.path] = UInt64(parent.sha256.prefix(16), radix: 16)
            }
            for (name, count) in line.rejected ?? [:] {
                if let reason = Filters.Reason(rawValue: name) {
                    rejected[reason, default: 0] += count
                }
            }
            byteCount += length
        }
    }
}
