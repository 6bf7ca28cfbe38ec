import Foundation
import Glibc

/// Lines of a stream, read in blocks.
final class LineReader {
    private let handle: FileHandle
    private let separator: UInt8
    private var buffer = Data()
    private var isAtEnd = false

    /// No path is longer; what has no line ends, such as a device, must not fill the memory.
    static let maximumByteCount = 1 << 20

    init(_ handle: FileHandle, separator: Inputs.Separator = .newline) {
        self.handle = handle
        self.separator = separator == .newline ? 0x0A : 0
    }

    /// The next line without its end, or nil at the end of the stream.
    ///
    /// A line of more than ``maximumByteCount`` is given by its start, which is still too long to
    /// name a file, and ends the stream.
    func next() -> String? {
        while true {
            if isAtEnd, buffer.count > Self.maximumByteCount {
                defer { buffer = Data() }
                return Self.text(buffer.prefix(5000), trimsReturn: false)
            }
            if let end = buffer.firstIndex(of: separator) {
                let line = buffer[buffer.startIndex..<end]
                buffer = buffer[buffer.index(after: end)...]
                return Self.text(line, trimsReturn: separator == 0x0A)
            }
            if isAtEnd {
                guard !buffer.isEmpty else { return nil }
                defer { buffer = Data() }
                return Self.text(buffer, trimsReturn: separator == 0x0A)
            }
            let block = Self.block(handle.fileDescriptor)
            if !block.isEmpty {
                buffer = Data(buffer) + block
                isAtEnd = buffer.count > Self.maximumByteCount && !buffer.contains(separator)
            } else {
                isAtEnd = true
            }
        }
    }

    /// What is there; Foundation would wait until a block is full, where lines come one by one.
    private static func block(_ descriptor: Int32) -> Data {
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &bytes, bytes.count)
            if count < 0, errno == EINTR { continue }
            return Data(bytes.prefix(max(0, count)))
        }
    }

    private static func text(_ bytes: Data, trimsReturn: Bool) -> String {
        // A byte order mark, as spreadsheets write it, is no part of a name.
        let isMarked = bytes.starts(with: [0xEF, 0xBB, 0xBF])
        let line = String(decoding: isMarked ? bytes.dropFirst(3) : bytes, as: UTF8.self)
        return trimsReturn && line.hasSuffix("\r") ? String(line.dropLast()) : line
    }
}

/// A list of files with labels: CSV with a header line, or one JSON object a line.
///
/// Columns or keys: `path` (below the manifest's folder unless absolute), `label`, `split`; others
/// are left alone, so that the manifest of `latent augment` (with `file`) can be read back.
final class Manifest {
    private let reader: LineReader
    private let path: String
    private let folder: String
    private let header: [String]?
    private var lineNumber = 0

    /// Opens a manifest; nil when the path is not named like one.
    init?(path: String) {
        let lowered = path.lowercased()
        let isCSV = lowered.hasSuffix(".csv")
        var status = stat()
        guard isCSV || lowered.hasSuffix(".ndjson") || lowered.hasSuffix(".jsonl"),
            // A pipe that nobody writes to would be waited for without end.
            stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            let handle = FileHandle(forReadingAtPath: path)
        else { return nil }
        self.path = path
        reader = LineReader(handle)
        folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        header = isCSV ? Self.fields(reader.next() ?? "") : nil
        if isCSV { lineNumber = 1 }
    }

    /// Whether its columns say where the files are; lines of JSON each say so themselves.
    var namesFiles: Bool { header?.contains { $0 == "path" || $0 == "file" } ?? true }

    /// The next item; a line that names no file becomes an item that cannot be read, so that it is
    /// reported and not lost.
    func next(_ attributeNames: [String] = []) -> Item? {
        while let line = reader.next() {
            lineNumber += 1
            guard !line.allSatisfy(\.isWhitespace) else { continue }
            let values: [String: String]
            let path: String
            do throws(Flaw) {
                if let header {
                    values = try Self.values(line, header: header)
                } else {
                    values = try Self.values(line)
                }
                guard let named = values["path"] ?? values["file"] else {
                    throw Flaw(text: "names no path")
                }
                path = named
            } catch {
                let place = "\(self.path):\(lineNumber): \(error.text)"
                return Item(
                    path: place, relativePath: String(place.lastPathComponent), label: nil,
                    split: nil, attributes: attributeNames.map { _ in nil })
            }
            let full = path.hasPrefix("/") ? path : folder + path
            return Item(
                path: full,
                relativePath: path.hasPrefix("/") ? String(path.lastPathComponent) : path,
                label: values["label"], split: values["split"]?.lowercased(),
                attributes: attributeNames.map {
                    values[$0] ?? ($0 == Item.className ? values["label"] : nil)
                })
        }
        return nil
    }

    /// What is wrong with a line.
    private struct Flaw: Error {
        let text: String
    }

    /// The values of a line of CSV by column, without empty ones.
    private static func values(
        _ line: String, header: [String]
    ) throws(Flaw) -> [String: String] {
        var values: [String: String] = [:]
        guard let fields = wholeFields(line) else { throw Flaw(text: "a quote is not closed") }
        // Spreadsheets leave empty fields at the end; any others would be lost, or be another column's.
        guard fields.count >= header.count, fields.dropFirst(header.count).allSatisfy(\.isEmpty)
        else {
            throw Flaw(
                text: "has \(fields.count) \(fields.count == 1 ? "field" : "fields"), expected "
                    + "\(header.count) as in the first line")
        }
        for (name, value) in zip(header, fields) where !value.isEmpty {
            guard values[name] == nil || !["path", "file", "label", "split"].contains(name) else {
                throw Flaw(text: "there are two columns \(name)")
            }
            values[name] = value
        }
        return values
    }

    /// The values of a line of JSON by key; empty ones are none, as in CSV, and those of other keys that are no
    /// text or number are left out.
    private static func values(_ line: String) throws(Flaw) -> [String: String] {
        guard
            let fields = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        else { throw Flaw(text: "is no JSON object") }
        for key in ["path", "file"] where fields[key] != nil && !(fields[key] is String) {
            throw Flaw(text: "its \(key) is no text")
        }
        for key in ["label", "split"] {
            guard let value = fields[key], !(value is NSNull) else { continue }
            guard value is String || value is NSNumber else {
                throw Flaw(text: "its \(key) is no text or number")
            }
        }
        return fields.compactMapValues { ($0 as? String) ?? ($0 as? NSNumber)?.stringValue }
            .filter { !$0.value.isEmpty }
    }

    /// The fields of a CSV line (RFC 4180, without line breaks inside quotes).
    static func fields(_ line: String) -> [String] { wholeFields(line) ?? [line] }

    /// The fields of a CSV line; nil where a quote is not closed in it.
    private static func wholeFields(_ line: String) -> [String]? {
        var fields: [String] = []
        var field = ""
        var isQuoted = false
        var wasQuote = false
        for character in line {
            if isQuoted {
                if wasQuote {
                    wasQuote = false
                    if character == "\"" {
                        field.append(character)
                        continue
                    }
                    isQuoted = false
                } else if character == "\"" {
                    wasQuote = true
                    continue
                } else {
                    field.append(character)
                    continue
                }
            }
            switch character {
            case ",":
                fields.append(field)
                field = ""
            case "\"" where field.isEmpty: isQuoted = true
            default: field.append(character)
            }
        }
        return isQuoted && !wasQuote ? nil : fields + [field]
    }
}
