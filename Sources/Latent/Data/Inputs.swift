import Foundation
import Glibc

/// The items that DATA arguments name, one after the other, without listing them all first.
///
/// An argument is a file, a folder (walked in sorted order; files of other kinds are left out and
/// counted), a manifest (`.csv`, `.ndjson` or `.jsonl` with `path`, `label`, `split`), or `-` for a
/// list of paths on standard input. A folder is read into memory one level at a time.
public struct Inputs: Sequence {
    /// How standard input separates paths.
    public enum Separator: Sendable { case newline, null }

    /// As on the command line.
    public let arguments: [String]
    /// The kind of files that a walk takes; nil for both.
    public let domain: Domain?
    private let separator: Separator
    private let attributeNames: [String]
    /// The part of the items that is given; nil for all.
    public var shard: Shard?
    /// Counts what a walk left out.
    public let omissions = Omissions()

    /// What a walk through folders left out, by extension.
    public final class Omissions {
        /// Number of files by extension.
        public fileprivate(set) var countByExtension: [String: Int] = [:]
        /// Number of items of other shards.
        public fileprivate(set) var otherShardCount = 0

        /// How many files of which extensions, or nil when nothing was left out.
        public var kinds: String? {
            guard !countByExtension.isEmpty else { return nil }
            return countByExtension.sorted { $0.key < $1.key }
                .map { "\($0.value) \($0.key.isEmpty ? "without extension" : "." + $0.key)" }
                .joined(separator: ", ")
        }

        /// A sentence for people, or nil when nothing was left out.
        public var note: String? {
            guard let kinds else { return nil }
            let count = countByExtension.values.reduce(0, +)
            return "left out \(count) file\(count == 1 ? "" : "s") of other kinds in the folders "
                + "(\(kinds)); name a file to have it read anyway"
        }
    }

    /// Checks that all arguments exist.
    ///
    /// - Parameters:
    ///   - arguments: as on the command line
    ///   - domain: the kind of files that a walk takes; nil takes both
    ///   - separator: what ends a path on standard input
    ///   - attributeNames: columns of manifests whose values items are to carry; `class` is the
    ///     class folder or the column `label`
    /// - Throws: ``LatentError`` with code `.notFound`
    public init(
        _ arguments: [String], domain: Domain?, separator: Separator = .newline,
        attributeNames: [String] = []
    ) throws(LatentError) {
        for argument in arguments where argument != "-" {
            guard FileManager.default.fileExists(atPath: argument) else {
                throw LatentError(
                    .notFound, path: argument, "there is no such file or folder",
                    hint: "check the path")
            }
            guard Manifest(path: argument)?.namesFiles ?? true else {
                throw LatentError(
                    .data, path: argument, "the first line names no column path",
                    hint: "begin the table with path,label,split or some of them")
            }
        }
        self.arguments = arguments
        self.domain = domain
        self.separator = separator
        self.attributeNames = attributeNames
    }

    /// Goes through the items once.
    public func makeIterator() -> Iterator {
        Iterator(
            pending: arguments.reversed().map { .argument($0) }, domain: domain,
            separator: separator, attributeNames: attributeNames, omissions: omissions,
            shard: shard)
    }

    /// A depth-first walk; what is still to do is a stack.
    public struct Iterator: IteratorProtocol {
        enum Pending {
            case argument(String)
            case folder(path: String, components: [Substring])
            case file(path: String, components: [Substring])
            case lines(LineReader)
            case manifest(Manifest)
        }

        var pending: [Pending]
        let domain: Domain?
        let separator: Separator
        let attributeNames: [String]
        let omissions: Omissions
        let shard: Shard?
        var index = 0

        /// The next item.
        public mutating func next() -> Item? {
            while let item = nextOfAll() {
                defer { index += 1 }
                if shard?.contains(index) ?? true { return item }
                omissions.otherShardCount += 1
            }
            return nil
        }

        private mutating func nextOfAll() -> Item? {
            while let top = pending.popLast() {
                switch top {
                case .argument("-"):
                    pending.append(.lines(LineReader(.standardInput, separator: separator)))
                case .argument(let path):
                    open(path)
                case .folder(let path, let components):
                    push(folder: path, components: components)
                case .file(let path, let components):
                    return Item(
                        path: path, componentsBelowRoot: components,
                        attributeNames: attributeNames)
                case .lines(let reader):
                    guard let line = reader.next() else { continue }
                    pending.append(top)
                    if !line.isEmpty { return single(line) }
                case .manifest(let manifest):
                    guard let item = manifest.next(attributeNames) else { continue }
                    pending.append(top)
                    return item
                }
            }
            return nil
        }

        private mutating func open(_ path: String) {
            var isFolder: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
            if isFolder.boolValue {
                pending.append(.folder(path: path, components: []))
            } else if let manifest = Manifest(path: path) {
                pending.append(.manifest(manifest))
            } else {
                pending.append(.file(path: path, components: [path.lastPathComponent]))
            }
        }

        private func single(_ path: String) -> Item {
            Item(
                path: path, componentsBelowRoot: [path.lastPathComponent],
                attributeNames: attributeNames)
        }

        /// What a folder holds.
        ///
        /// Foundation leaves out names that are not UTF-8; here they are kept with a replacement
        /// character, so that they are reported and not lost.
        private static func names(in folder: String) -> [String]? {
            guard let stream = opendir(folder) else { return nil }
            defer { closedir(stream) }
            var names: [String] = []
            while let entry = readdir(stream) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                names.append(name)
            }
            return names
        }

        private mutating func push(folder path: String, components: [Substring]) {
            guard let content = Self.names(in: path) else {
                // Becomes an item that cannot be read, so that it is reported and not lost.
                pending.append(.file(path: path, components: components + [path.lastPathComponent]))
                return
            }
            let names = content.filter { !$0.hasPrefix(".") }
                .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            // MVTec keeps masks, which are no inputs, beside train and test.
            let hasSplits = components.isEmpty && names.contains("train")
            for name in names.reversed() {
                let child = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
                let below = components + [Substring(name)]
                var status = stat()
                // What is listed but not found has a name that is not UTF-8.
                let isThere = lstat(child, &status) == 0
                let kind = isThere ? status.st_mode & S_IFMT : S_IFREG
                if kind == S_IFDIR {
                    if !(hasSplits && name == "ground_truth") {
                        pending.append(.folder(path: child, components: below))
                    }
                } else if let found = Domain(path: name), domain == nil || found == domain {
                    pending.append(.file(path: child, components: below))
                } else {
                    let dot = name.lastIndex(of: ".").map { name[name.index(after: $0)...] } ?? ""
                    omissions.countByExtension[String(dot).lowercased(), default: 0] += 1
                }
            }
        }
    }
}

extension String {
    /// What follows the last slash.
    var lastPathComponent: Substring { split(separator: "/").last ?? self[...] }
}
