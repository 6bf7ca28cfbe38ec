import Foundation
import Glibc

/// Standard output: buffered, and every failed write is seen.
final class StandardOutput {
    /// The reader has gone; the run ends quietly.
    struct Closed: Error {}
    /// The disk is full, or the like.
    struct Failed: Error {
        let reason: String
    }

    /// Whether a person is reading.
    let isTerminal = isatty(STDOUT_FILENO) == 1
    private var buffer: [UInt8] = []

    /// Writes a line; on a terminal at once, else in blocks.
    func line(_ text: String) throws {
        buffer += Array(text.utf8)
        buffer.append(0x0A)
        if isTerminal || buffer.count >= 1 << 15 { try flush() }
    }

    /// Writes what waits.
    func flush() throws {
        var start = 0
        while start < buffer.count {
            let count = buffer[start...].withUnsafeBytes {
                write(STDOUT_FILENO, $0.baseAddress, $0.count)
            }
            if count < 0 {
                if errno == EINTR { continue }
                buffer.removeAll()
                if errno == EPIPE { throw Closed() }
                throw Failed(reason: String(cString: strerror(errno)))
            }
            start += count
        }
        buffer.removeAll(keepingCapacity: true)
    }
}

/// Standard error, where what cannot be written is lost without harm: it may be closed or full.
enum StandardError {
    static func write(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}

extension String {
    /// The text without line breaks and other control characters, which the names of files may hold: a
    /// terminal would obey them.
    var onOneLine: String {
        String(
            String.UnicodeScalarView(
                unicodeScalars.map {
                    let category = $0.properties.generalCategory
                    let isBreak = category == .lineSeparator || category == .paragraphSeparator
                    return category == .control || isBreak ? " " : $0
                }))
    }
}

/// Notes and progress on standard error: a line that is rewritten on a terminal, a line now and
/// then otherwise, nothing when quiet.
final class Console {
    private let isQuiet: Bool
    private let isSilent: Bool
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private var isLineOpen = false
    private var lastProgress = Date.distantPast
    private let startedAt = Date()

    /// Makes a console; a silent one says nothing at all, as where another process speaks.
    init(quiet: Bool, silent: Bool = false) {
        isQuiet = quiet || silent
        isSilent = silent
    }

    /// A sentence that stays.
    func note(_ text: String) {
        guard !isQuiet else { return }
        write((isLineOpen ? "\r\u{1B}[K" : "") + text.onOneLine + "\n")
        isLineOpen = false
    }

    /// A warning; shown even when quiet would hide notes of progress, since it is about lost data.
    func warning(_ text: String) {
        guard !isSilent else { return }
        write((isLineOpen ? "\r\u{1B}[K" : "") + "latent: warning: \(text.onOneLine)\n")
        isLineOpen = false
    }

    /// A warning about how good the result will be; hidden when quiet, since nothing is lost.
    func advice(_ text: String) {
        guard !isQuiet else { return }
        warning(text)
    }

    /// How far the work is; `text` is made only when it is shown.
    func progress(_ text: () -> String) {
        guard !isQuiet else { return }
        let now = Date()
        // The first half second is silent: short work needs no progress.
        let pause = isTerminal ? 0.1 : 10
        guard now.timeIntervalSince(lastProgress) >= pause,
            now.timeIntervalSince(startedAt) >= (isTerminal ? 0.5 : 10)
        else { return }
        lastProgress = now
        if isTerminal {
            write("\r\u{1B}[K" + text())
            isLineOpen = true
        } else {
            write(text() + "\n")
        }
    }

    /// Removes the progress line.
    func clear() {
        guard isLineOpen else { return }
        write("\r\u{1B}[K")
        isLineOpen = false
    }

    private func write(_ text: String) { StandardError.write(text) }

    /// Seconds as people say them: `8s`, `3m20s`, `2h05m`.
    static func duration(_ seconds: Double) -> String {
        let whole = Int(min(max(seconds, 0), 1e7).rounded())
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        if whole < 60 { return "\(whole)s" }
        if whole < 3600 { return "\(whole / 60)m\(two(whole % 60))s" }
        return "\(whole / 3600)h\(two(whole / 60 % 60))m"
    }
}

extension String {
    /// With spaces before it, up to a width.
    func flushRight(_ width: Int) -> String {
        String(repeating: " ", count: Swift.max(0, width - count)) + self
    }

    /// With spaces behind it, up to a width.
    func flushLeft(_ width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - count))
    }
}

/// A number of things: `1 file`, `20 files`.
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

/// A number with so many digits after the point, or in exponent form where that says more.
func format(_ value: Double, digits: Int = 1) -> String {
    if value != 0, abs(value) < 0.001 || abs(value) >= 1e7 {
        return String(format: "%.2e", value)
    }
    return String(format: "%.\(digits)f", value)
}
