import Foundation
import Glibc

/// Lines that `latent score` wrote, as far as figures need them.
///
/// Of each line less than a hundred bytes are kept, so that there may be many millions.
public struct ScoredLines: Sendable {
    /// Names that mean a normal item where nothing else is said.
    public static let usualNormalNames = ["good", "normal", "ok"]

    /// The number of items that have no score, because they could not be read.
    public private(set) var errorCount = 0
    /// The number of lines of files that an earlier line is of too.
    public private(set) var repeatedCount = 0
    /// The number of lines, those included.
    public private(set) var lineCount = 0
    /// The threshold of all verdicts, where it is one.
    public var threshold: Double? { component == nil && hasOneThreshold ? firstThreshold : nil }
    /// The labels that occur, in the order of their bytes.
    public var labels: [String] {
        names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private let component: String?
    private let truth: LabelTable?
    private let keepsPaths: Bool
    private var entries: [Entry] = []
    private(set) var paths: [String] = []
    private var names: [String] = []
    /// By the hash of a path, the label of its first line.
    private var firstLabels: [Int: Int32] = [:]
    private var numbers: [String: Int32] = [:]
    private var kind: String?
    private var firstThreshold: Double?
    private var hasOneThreshold = true
    private var missing: (count: Int, first: String) = (0, "")

    private struct Entry {
        let score: Double
        let label: Int32
        let verdict: Bool?
    }

    /// Makes an empty collection.
    ///
    /// - Parameters:
    ///   - component: the figure to rank by instead of the score, such as `mse`; larger is taken as
    ///     more anomalous, but for `reconstruction_nats`, a log-likelihood, which is negated
    ///   - labels: the labels of all files, instead of those that lines and folders have
    ///   - keepsPaths: whether the paths are kept, for ``HeatMaps``
    public init(component: String? = nil, labels: LabelTable? = nil, keepsPaths: Bool = false) {
        self.component = component
        truth = labels
        self.keepsPaths = keepsPaths
    }

    /// Reads the lines of a file, or of standard input for `-`.
    ///
    /// - Throws: ``LatentError`` `.notFound`, or `.data` with the number of a line that is not one of
    ///   `latent score`
    public mutating func read(_ path: String) throws(LatentError) {
        guard path != "-" else {
            return try read(LineReader(.standardInput), named: "standard input")
        }
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw LatentError(
                .notFound, path: path, "there is no such file", hint: "check the path")
        }
        guard status.st_mode & S_IFMT != S_IFDIR, let handle = FileHandle(forReadingAtPath: path)
        else {
            throw LatentError(
                .data, path: path, "is a folder, or may not be read",
                hint: "name files with the lines that latent score wrote")
        }
        try read(LineReader(handle), named: path)
    }

    private mutating func read(_ reader: LineReader, named name: String) throws(LatentError) {
        let decoder = JSONDecoder()
        if let component, let key = Line.component { decoder.userInfo[key] = component }
        var number = 0
        while let text = reader.next() {
            number += 1
            guard !text.allSatisfy(\.isWhitespace) else { continue }
            let line: Line
            do {
                line = try decoder.decode(Line.self, from: Data(text.utf8))
            } catch {
                throw Self.broken(name, number, Self.reason(error, text), Self.hint(text))
            }
            try add(line) { what, hint in Self.broken(name, number, what, hint) }
        }
    }

    /// Takes a file that was just scored, as if its line had been read.
    ///
    /// - Throws: ``LatentError`` `.data` for a file without a label
    public mutating func add(_ item: Item, score: Double) throws(LatentError) {
        lineCount += 1
        let label = try label(given: item.label, path: item.path) { what, hint in
            LatentError(.data, path: item.path, what, hint: hint)
        }
        guard let label else { return }
        entries.append(Entry(score: score, label: label, verdict: nil))
        if keepsPaths { paths.append(item.path) }
    }

    private static func broken(
        _ name: String, _ number: Int, _ what: String, _ hint: String?
    ) -> LatentError {
        LatentError(.data, path: name, "line \(number) \(what)", hint: hint)
    }

    private static func hint(_ text: String) -> String {
        text.hasPrefix("{")
            ? "give lines as latent score writes them"
            : "give NDJSON, as latent score --format ndjson writes it"
    }

    private static func reason(_ error: any Error, _ text: String) -> String {
        switch error {
        case DecodingError.typeMismatch(_, let context) where !context.codingPath.isEmpty,
            DecodingError.valueNotFound(_, let context) where !context.codingPath.isEmpty:
            let key = context.codingPath.map(\.stringValue).joined(separator: ".")
            return "has a \(key) of another kind than it should be"
        default:
            // Of a file that is no text, nothing that a terminal would obey.
            let readable = text.unicodeScalars.map {
                $0.properties.generalCategory == .control || $0 == "\u{FFFD}" ? "·" : String($0)
            }
            return "is not a JSON object: \(readable.joined().shortened(to: 60))"
        }
    }

    private mutating func add(
        _ line: Line, broken: (String, String?) -> LatentError
    ) throws(LatentError) {
        let hint = "give lines as latent score writes them"
        guard line.schema ?? 1 == 1 else {
            throw broken("has schema \(line.schema ?? 0), but 1 is known", "use a newer latent")
        }
        // The last line of score --summary is of no file.
        if line.isSummary { return }
        guard let path = line.path else { throw broken("has no path", hint) }
        lineCount += 1
        if line.isError {
            errorCount += 1
            return
        }
        let score = try score(of: line, broken: broken)
        if component == nil, let kind = line.kind {
            guard kind == self.kind ?? kind else {
                throw broken(
                    "ranks by \(kind), those before by \(self.kind ?? "")",
                    "rank all by one figure with --score, such as --score mse")
            }
            self.kind = kind
        }
        guard let label = try label(given: line.label, path: path, broken: broken) else { return }
        if let first = firstLabels.updateValue(label, forKey: path.hashValue) {
            guard first == label else {
                throw broken(
                    "says that \(path) is \(names[Int(label)]), which an earlier one says is "
                        + names[Int(first)], "leave one of the lines out")
            }
            repeatedCount += 1
        }
        if entries.isEmpty { firstThreshold = line.threshold }
        hasOneThreshold = hasOneThreshold && line.threshold == firstThreshold
        // Verdicts are of the score itself.
        let verdict = component == nil ? line.anomaly : nil
        entries.append(Entry(score: score, label: label, verdict: verdict))
        if keepsPaths { paths.append(path) }
    }

    private func score(
        of line: Line, broken: (String, String?) -> LatentError
    ) throws(LatentError) -> Double {
        guard let component else {
            guard let score = line.score else {
                throw broken(
                    "has no number as its score", "leave the line out, or score the file again")
            }
            return score
        }
        guard let value = line.componentValue else {
            let names = line.componentNames.sorted().joined(separator: ", ")
            throw broken(
                "has no number as its component \(component)",
                names.isEmpty ? nil : "choose one of \(names)")
        }
        return component == "reconstruction_nats" ? -value : value
    }

    /// The number of a line's label; nil where the table of labels lacks it, which is counted.
    private mutating func label(
        given: String?, path: String, broken: (String, String?) -> LatentError
    ) throws(LatentError) -> Int32? {
        let name: String
        if let truth {
            guard let found = truth.labels[path] else {
                if missing.count == 0 { missing.first = path }
                missing.count += 1
                return nil
            }
            name = found
        } else if let found = given ?? Self.folder(of: path) {
            name = found
        } else {
            throw broken(
                "has no label, and its path \(path) no folder",
                "name the labels of all files with --labels")
        }
        if let number = numbers[name] { return number }
        let number = Int32(names.count)
        names.append(name)
        numbers[name] = number
        return number
    }

    /// The name of the folder that holds a file.
    private static func folder(of path: String) -> String? {
        guard let name = path.split(separator: "/").dropLast().last, name != ".", name != ".."
        else { return nil }
        return String(name)
    }

    // MARK: What is normal

    /// Which of the given names no line has.
    public func unused(_ names: [String]) -> [String] { names.filter { numbers[$0] == nil } }

    /// The labels of normal items: the given ones, or the usual names in any case.
    ///
    /// - Throws: ``LatentError`` `.data` where no line, or each, has one of them
    public func normalLabels(_ given: [String]?) throws(LatentError) -> Set<String> {
        if missing.count > 0 {
            throw LatentError(
                .data, path: truth?.path,
                "lacks the labels of \(missing.count) of \(lineCount) scored files, the first of "
                    + "them \(missing.first)",
                hint: "add them, with paths as those files have them")
        }
        guard !entries.isEmpty else {
            throw LatentError(
                .data,
                "no scores were found"
                    + (errorCount > 0 ? ": all \(errorCount) lines are of files not read" : ""),
                hint: "give the lines that latent score writes")
        }
        let normal = Set(
            names.filter { name in
                given?.contains(name) ?? Self.usualNormalNames.contains(name.lowercased())
            })
        let wanted = (given ?? Self.usualNormalNames).joined(separator: ", ")
        let found = Self.listed(labels)
        guard !normal.isEmpty else {
            throw LatentError(
                .data, "no file has a label that means normal (\(wanted)); found \(found)",
                hint: "name the normal ones with --normal, or all labels with --labels")
        }
        guard normal.count < names.count else {
            throw LatentError(
                .data, "all files have labels that mean normal: \(found)",
                hint: "give anomalous files as well, or name the normal labels with --normal")
        }
        return normal
    }

    private static func listed(_ labels: [String]) -> String {
        labels.prefix(12).joined(separator: ", ")
            + (labels.count > 12 ? " and \(labels.count - 12) more" : "")
    }

    /// Ranks the items, those of the labels as normal ones.
    ///
    /// - Parameters:
    ///   - normalLabels: what ``normalLabels(_:)`` gave
    ///   - verdictThreshold: the score above which items count as flagged, instead of by their lines
    /// - Returns: the ranking
    /// - Throws: ``LatentError`` `.data` for a score that is no number
    public func evaluation(
        normalLabels: Set<String>, flaggedAbove verdictThreshold: Double? = nil
    ) throws(LatentError) -> DetectionEvaluation {
        let classes = labels.filter { !normalLabels.contains($0) }
        let places = Dictionary(uniqueKeysWithValues: zip(classes, classes.indices))
        let classOfLabel = names.map { places[$0] }
        return try DetectionEvaluation(
            entries.map { entry in
                Ranking.Entry(
                    score: entry.score, classIndex: classOfLabel[Int(entry.label)],
                    verdict: verdictThreshold.map { entry.score > $0 } ?? entry.verdict)
            }, classes, threshold: verdictThreshold ?? threshold, errorCount: errorCount)
    }

    /// The scores of normal and of anomalous items.
    public func scores(
        normalLabels: Set<String>
    ) -> (normal: [Double], anomalous: [Double]) {
        let isNormal = names.map(normalLabels.contains)
        return (
            entries.filter { isNormal[Int($0.label)] }.map(\.score),
            entries.filter { !isNormal[Int($0.label)] }.map(\.score)
        )
    }

    /// The label of each path.
    var labelsOfPaths: [String] { entries.map { names[Int($0.label)] } }
}

/// The labels of files, by path.
public struct LabelTable: Sendable {
    /// The manifest that they come from.
    public let path: String
    let labels: [String: String]

    /// Reads a manifest (`.csv`, `.ndjson`, `.jsonl`) with `path` and `label`.
    ///
    /// Its paths are those of score lines, either as they stand or below the manifest's folder.
    ///
    /// - Throws: ``LatentError`` `.notFound`, or `.data` for what is no manifest, a file without a
    ///   label, or with two
    public init(manifest path: String) throws(LatentError) {
        guard FileManager.default.fileExists(atPath: path) else {
            throw LatentError(
                .notFound, path: path, "there is no such file", hint: "check the path")
        }
        guard let manifest = Manifest(path: path), manifest.namesFiles else {
            throw LatentError(
                .data, path: path, "is not a manifest with a column path",
                hint: "give .csv with a first line path,label, or .ndjson with both keys")
        }
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        var labels: [String: String] = [:]
        while let item = manifest.next() {
            guard let label = item.label else {
                throw LatentError(
                    .data, path: path, "gives \(item.path.shortened(to: 80)) no label",
                    hint: "fill in the column label")
            }
            var keys: Set = [item.path]
            if item.path == folder + item.relativePath { keys.insert(item.relativePath) }
            for key in keys {
                guard labels.updateValue(label, forKey: key) ?? label == label else {
                    throw LatentError(
                        .data, path: path, "gives \(key) two labels", hint: "keep one of them")
                }
            }
        }
        self.path = path
        self.labels = labels
    }
}

/// A line, of which only what is asked for is decoded.
private struct Line: Decodable {
    let schema: Int?
    let path: String?
    let label: String?
    let score: Double?
    let kind: String?
    let threshold: Double?
    let anomaly: Bool?
    let isError: Bool
    let isSummary: Bool
    let componentValue: Double?
    let componentNames: [String]

    /// Tells the decoder which component is asked for.
    static let component = CodingUserInfoKey(rawValue: "component")

    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
        init(_ name: String) { stringValue = name }
    }

    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        schema = try values.decodeIfPresent(Int.self, forKey: Key("schema"))
        path = try values.decodeIfPresent(String.self, forKey: Key("path"))
        isError = try values.contains(Key("error")) && !values.decodeNil(forKey: Key("error"))
        isSummary = values.contains(Key("summary")) && !values.contains(Key("path"))
        label = try values.decodeIfPresent(String.self, forKey: Key("label"))
        score = try values.decodeIfPresent(Double.self, forKey: Key("score"))
        kind = try values.decodeIfPresent(String.self, forKey: Key("kind"))
        threshold = try values.decodeIfPresent(Double.self, forKey: Key("threshold"))
        anomaly = try values.decodeIfPresent(Bool.self, forKey: Key("anomaly"))
        guard let component = Self.component.flatMap({ decoder.userInfo[$0] as? String }),
            values.contains(Key("components"))
        else {
            (componentValue, componentNames) = (nil, [])
            return
        }
        let parts = try values.nestedContainer(keyedBy: Key.self, forKey: Key("components"))
        componentValue = try parts.decodeIfPresent(Double.self, forKey: Key(component))
        componentNames = parts.allKeys.map(\.stringValue)
    }
}
