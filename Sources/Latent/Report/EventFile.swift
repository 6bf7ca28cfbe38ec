import Foundation
import Glibc

/// A TensorBoard event file: curves and pictures of a run, to watch while it trains.
///
///     tensorboard --logdir FOLDER
///
/// Events are collected in memory and written, whole, by ``flush()``: call it once an epoch. A run
/// that resumes makes another file in the same folder; TensorBoard joins them.
///
/// Format: TFRecord frames around the protocol-buffer messages `Event` and `Summary` of
/// `tensorflow/core/util/event.proto` and `tensorflow/core/framework/summary.proto`.
public final class EventFile {
    private let file: AppendedFile
    private let now: () -> Date
    private var waiting: [UInt8] = []

    /// The name of the file, in its folder.
    public var path: String { file.path }

    /// Makes a new event file.
    ///
    /// - Parameters:
    ///   - folder: where; made when it is not there
    ///   - step: where a resumed run goes on: what earlier files of the folder say of this step and
    ///     later ones is not shown any more
    ///   - now: the clock
    /// - Throws: ``LatentError`` `.cannotWrite`
    public init(
        folder: String, resumingAtStep step: Int? = nil, now: @escaping () -> Date = { Date() }
    ) throws(LatentError) {
        try FileManager.default.makeFolder(folder)
        file = try Self.newFile("\(folder)/\(Self.name(at: now()))")
        self.now = now
        append { $0.string(3, "brain.Event:2") }
        if let step {
            // SessionLog with status START: a run began anew here.
            append(step: step) { $0.message(7) { $0.integer(1, 1) } }
        }
        try flush()
    }

    /// Adds a point of a curve; TensorBoard keeps seven digits.
    ///
    /// - Parameters:
    ///   - tag: the name of the curve; those alike before a `/` are shown together
    ///   - value: any number, also NaN
    ///   - step: where on the horizontal axis, such as the epoch
    public func scalar(_ tag: String, _ value: Double, step: Int) {
        summary(tag, step) { $0.float(2, Float(value)) }
    }

    /// Adds a picture.
    ///
    /// - Parameters:
    ///   - tag: the name of the picture
    ///   - png: the whole PNG file
    ///   - height: in pixels
    ///   - width: in pixels
    ///   - channelCount: 1 for grey, 2 for grey + alpha, 3 for RGB, 4 for RGBA
    ///   - step: which of the pictures of that name, such as the epoch
    public func image(
        _ tag: String, png: [UInt8], height: Int, width: Int, channelCount: Int, step: Int
    ) {
        summary(tag, step) {
            $0.message(4) {
                $0.integer(1, height)
                $0.integer(2, width)
                $0.integer(3, channelCount)
                $0.bytes(4, png)
            }
        }
    }

    /// Adds a sheet of windows.
    public func image(_ tag: String, _ sheet: ContactSheet, step: Int) {
        image(
            tag, png: sheet.png, height: sheet.height, width: sheet.width, channelCount: 3,
            step: step)
    }

    /// Writes what was added; after an error it waits for the next call.
    ///
    /// - Throws: ``LatentError`` `.cannotWrite`
    public func flush() throws(LatentError) {
        guard !waiting.isEmpty else { return }
        try file.append(waiting)
        waiting.removeAll(keepingCapacity: true)
    }

    /// Writes what was added and closes the file; nothing can be added afterwards.
    ///
    /// - Throws: ``LatentError`` `.cannotWrite`
    public func close() throws(LatentError) {
        try flush()
        try file.close()
    }

    private func summary(_ tag: String, _ step: Int, _ value: (inout WireMessage) -> Void) {
        append(step: step) {
            $0.message(5) {
                $0.message(1) {
                    $0.string(1, tag)
                    value(&$0)
                }
            }
        }
    }

    private func append(step: Int = 0, _ what: (inout WireMessage) -> Void) {
        var event = WireMessage()
        event.double(1, now().timeIntervalSince1970)
        if step != 0 { event.integer(2, step) }
        what(&event)
        waiting += Self.record(event.content)
    }

    /// A TFRecord: length, its check, the content, its check; integers with the low byte first.
    private static func record(_ content: [UInt8]) -> [UInt8] {
        let length = WireMessage.littleEndian(UInt64(content.count))
        return length + WireMessage.littleEndian(CRC32C.masked(length)) + content
            + WireMessage.littleEndian(CRC32C.masked(content))
    }

    // MARK: The name

    /// As TensorFlow names them; TensorBoard reads the files of a folder in the order of names.
    private static func name(at date: Date) -> String {
        var host = [CChar](repeating: 0, count: 256)
        // One short, so that the name ends with a zero even where it was cut.
        let isKnown = gethostname(&host, host.count - 1) == 0
        let text = host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let name = isKnown && !text.isEmpty ? String(decoding: text, as: UTF8.self) : "localhost"
        // As text, since no integer holds every date.
        let seconds = String(format: "%010.0f", date.timeIntervalSince1970.rounded(.down))
        return "events.out.tfevents.\(seconds).\(name).\(getpid())"
    }

    /// Two files of one process and second differ in a number at the end.
    private static func newFile(_ path: String) throws(LatentError) -> AppendedFile {
        var number = 0
        while true {
            do throws(LatentError) {
                return try AppendedFile(path: number == 0 ? path : "\(path).\(number)", .new)
            } catch {
                guard error.code == .exists, number < 1000 else { throw error }
                number += 1
            }
        }
    }
}
