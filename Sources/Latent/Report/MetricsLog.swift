import Foundation
import Media

/// The figures of a run as `metrics.ndjson`: one JSON object a line, keys sorted, to plot or to
/// follow with `tail -f`.
///
/// A number that JSON cannot hold is the string `NaN`, `Infinity` or `-Infinity`.
public final class MetricsLog {
    private let file: AppendedFile

    /// The name of the file.
    public var path: String { file.path }

    /// The one key of a line that the log itself looks at.
    private struct Line: Decodable {
        let epoch: Int?
    }

    /// Begins a log.
    ///
    /// - Parameters:
    ///   - path: the file; its folder must be there
    ///   - overwrite: whether to replace a file of that name
    /// - Throws: ``LatentError`` or ``MediaError`` `.exists` or `.cannotWrite`
    public init(path: String, overwrite: Bool) throws {
        try FileBytes.write([], to: path, overwrite: overwrite)
        file = try AppendedFile(path: path, .existing)
    }

    /// Goes on with the log of a run that resumes; begins one where there is none.
    ///
    /// Lines up to the epoch stay. Later ones go, as does a line that is not whole: the run makes
    /// those epochs again, and none may be there twice. Lines are told by their key `epoch`; one
    /// without it stays if it stands before a later epoch.
    ///
    /// - Parameters:
    ///   - path: the file; its folder must be there
    ///   - epoch: the last epoch that is done; 0 for none
    /// - Throws: ``LatentError`` or ``MediaError`` `.unreadable` or `.cannotWrite`
    public init(path: String, resumingAfterEpoch epoch: Int) throws {
        var before: [UInt8] = []
        do throws(MediaError) {
            before = try FileBytes.read(path)
        } catch {
            guard error.code == .notFound else { throw error }
        }
        let kept = Self.lines(of: before, through: epoch)
        // Rewritten even where nothing goes: the last line may lack its end.
        try FileBytes.write(kept, to: path, overwrite: true)
        file = try AppendedFile(path: path, .existing)
    }

    /// Adds a line.
    ///
    /// - Parameter record: what becomes a JSON object, such as an ``EpochRecord``
    /// - Throws: ``LatentError`` `.cannotWrite`; then no part of the line is there
    public func append(_ record: some Encodable) throws {
        let encoder = ModelFile.encoder
        // A run that diverges must be able to say so.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        try file.append(Array(try encoder.encode(record)) + [0x0A])
    }

    private static func lines(of content: [UInt8], through last: Int) -> [UInt8] {
        let decoder = JSONDecoder()
        var kept: [UInt8] = []
        for bytes in content.split(separator: 0x0A) {
            guard let line = try? decoder.decode(Line.self, from: Data(bytes)) else { continue }
            if let epoch = line.epoch, epoch > last { break }
            kept += bytes + [0x0A]
        }
        return kept
    }
}
