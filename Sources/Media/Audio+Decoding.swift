import CSndFile
import Foundation

extension Audio {
    /// Reads a sound file of any kind that libsndfile knows: WAV, AIFF, FLAC, Ogg, MP3 and others.
    ///
    /// Integer samples are scaled so that full scale is ±1. A file that ends before what it
    /// declares is an error, but a WAV file whose length was never filled in (0 or the largest
    /// value, as streaming programs leave it) is read to its end.
    ///
    /// - Parameters:
    ///   - path: the file
    ///   - limits: what is refused before memory is spent on it
    /// - Throws: ``MediaError`` of ``FileBytes/read(_:maximumByteCount:)``, or with code `.empty`,
    ///   `.unsupported`, `.truncated`, `.corrupt`, `.tooLarge` or `.notFinite`
    /// - Complexity: four bytes per sample, besides the file itself
    public init(contentsOf path: String, limits: AudioLimits = .init()) throws(MediaError) {
        try self.init(data: FileBytes.read(path), path: path, limits: limits)
    }

    /// Reads a sound file held in memory; see ``init(contentsOf:limits:)``.
    ///
    /// - Parameters:
    ///   - data: the whole file
    ///   - path: the name to give in errors
    ///   - limits: what is refused before memory is spent on it
    /// - Throws: ``MediaError`` as above, but for those of reading the file
    public init(
        data: [UInt8], path: String?, limits: AudioLimits = .init()
    ) throws(MediaError) {
        do throws(MediaError) {
            // libsndfile prints to standard output about damaged ones, where our results go.
            guard !FileSignature.midiSampleDump.matches(data) else {
                throw MediaError(
                    .unsupported, "MIDI sample dumps are not read", hint: "convert it to WAV")
            }
            let layout = try WAVLayout(data)
            self = try data.withUnsafeBufferPointer { (buffer) throws(MediaError) in
                let file = MemoryFile(
                    UnsafeRawBufferPointer(buffer), correction: layout?.correction)
                return try Self.decode(file, layout, limits)
            }
        } catch {
            throw error.at(path)
        }
    }

    private static func decode(
        _ file: MemoryFile, _ layout: WAVLayout?, _ limits: AudioLimits
    ) throws(MediaError) -> Audio {
        var info = SF_INFO()
        let handle = try open(file, &info, layout)
        // The close must come after the last read, and the file must outlive both.
        defer { withExtendedLifetime(file) { _ = sf_close(handle) } }
        try check(info, limits)

        let channelCount = Int(info.channels)
        let declared = Int(info.frames)
        let maximum = limits.maximumByteCount / 4
        let blockFrames = max(1, 65_536 / channelCount)
        var block = [Float](repeating: 0, count: blockFrames * channelCount)
        var samples = [Float]()
        // Some formats do not know their length; then the array grows as it must.
        if declared <= maximum / channelCount { samples.reserveCapacity(declared * channelCount) }
        while true {
            let frames = Int(sf_readf_float(handle, &block, sf_count_t(blockFrames)))
            guard frames > 0 else { break }
            guard samples.count + frames * channelCount <= maximum else {
                throw tooLarge(frames: "more than \(maximum / channelCount)", channelCount, limits)
            }
            samples += block[..<(frames * channelCount)]
        }

        let frameCount = samples.count / channelCount
        guard sf_error(handle) == 0 else {
            throw MediaError(
                .corrupt,
                "the sound is damaged after frame \(frameCount) of \(declared) "
                    + "(libsndfile: \(oneLine(sf_strerror(handle))))",
                hint: "copy or download the file again")
        }
        guard frameCount > 0 else { throw MediaError(.empty, "there are no samples in the file") }
        guard frameCount >= declared || isLengthEstimated(info.format) else {
            throw MediaError(
                .truncated, "\(declared) frames are declared, but only \(frameCount) are there",
                hint: "copy or download the file again")
        }
        try checkFinite(samples, channelCount)
        return Audio(
            sampleRate: Int(info.samplerate), channelCount: channelCount, samples: samples,
            encoding: encoding(of: info.format))
    }

    /// libsndfile keeps the reason of a failed open in one place for all threads.
    private static let opening = NSLock()

    private static func open(
        _ file: MemoryFile, _ info: inout SF_INFO, _ layout: WAVLayout?
    ) throws(MediaError) -> OpaquePointer {
        var number: Int32 = 0
        var reason = ""
        var io = MemoryFile.callbacks
        opening.lock()
        let handle = sf_open_virtual(
            &io, Int32(SFM_READ), &info, Unmanaged.passUnretained(file).toOpaque())
        if handle == nil {
            number = sf_error(nil)
            reason = oneLine(sf_strerror(nil))
        }
        opening.unlock()
        if let handle { return handle }

        let head = Array(file.bytes.prefix(64))
        let isAudio = MediaKind.sniff(head) == .audio
        let isTruncated = layout?.isShorterThanDeclared ?? false
        if number == Int32(SF_ERR_UNRECOGNISED_FORMAT) && !isAudio {
            throw MediaError(
                .unsupported, "this is \(FileSignature.describe(head)), not a sound file",
                hint: "convert it to WAV")
        }
        // The numbers of such errors are private to libsndfile, and its texts are not.
        if reason.contains("unimplemented") || reason.contains("nsupported") {
            throw MediaError(
                .unsupported, "the encoding of the sound is not supported (libsndfile: \(reason))",
                hint: "convert it to 16-bit or float WAV")
        }
        // Said of an MP3 file of one frame, and of no file in memory true.
        if reason.contains("not a regular file") { reason = "no sound found" }
        throw MediaError(
            isTruncated ? .truncated : .corrupt,
            "the header of the sound file is \(isTruncated ? "cut short" : "damaged") "
                + "(libsndfile: \(reason))",
            hint: "copy or download the file again, or convert it to WAV")
    }

    private static func check(_ info: SF_INFO, _ limits: AudioLimits) throws(MediaError) {
        let channelCount = Int(info.channels)
        guard (1...limits.maximumChannelCount).contains(channelCount) else {
            throw MediaError(
                channelCount < 1 ? .corrupt : .tooLarge,
                "\(channelCount) channels, expected 1 to \(limits.maximumChannelCount)")
        }
        guard limits.sampleRates.contains(Int(info.samplerate)) else {
            throw MediaError(
                .corrupt,
                "a sample rate of \(info.samplerate) Hz, expected "
                    + "\(limits.sampleRates.lowerBound) to \(limits.sampleRates.upperBound) Hz",
                hint: "the header is wrong, or the sound must be resampled")
        }
        guard info.frames > 0 else { throw MediaError(.empty, "there are no samples in the file") }
        // The largest value stands for an unknown length; reading then watches the limit.
        let isKnown = info.frames < sf_count_t.max
        guard !isKnown || Int(info.frames) <= limits.maximumByteCount / 4 / channelCount else {
            throw tooLarge(frames: "\(info.frames)", channelCount, limits)
        }
    }

    /// Whether the declared number of frames is a guess from the size of the file.
    ///
    /// The end of an MPEG stream is wherever its last whole frame is.
    private static func isLengthEstimated(_ format: Int32) -> Bool {
        let codec = Int(format) & Int(SF_FORMAT_SUBMASK)
        return (Int(SF_FORMAT_MPEG_LAYER_I)...Int(SF_FORMAT_MPEG_LAYER_III)).contains(codec)
    }

    private static func tooLarge(
        frames: String, _ channelCount: Int, _ limits: AudioLimits
    ) -> MediaError {
        MediaError(
            .tooLarge,
            "\(frames) frames of \(channelCount) channels at 4 bytes exceed the limit "
                + "of \(limits.maximumByteCount) bytes", hint: "split the recording")
    }

    private static func checkFinite(_ samples: [Float], _ channelCount: Int) throws(MediaError) {
        let count = samples.count { !$0.isFinite }
        guard count > 0, let first = samples.firstIndex(where: { !$0.isFinite }) else { return }
        throw MediaError(
            .notFinite,
            "\(count) of \(samples.count) samples are NaN or infinite, "
                + "the first in frame \(first / channelCount)",
            hint: "repair or leave out the file")
    }

    private static func encoding(of format: Int32) -> String {
        let container = formatName(format & Int32(SF_FORMAT_TYPEMASK))
        let codec = formatName(format & Int32(SF_FORMAT_SUBMASK))
        return "\(container), \(codec)"
    }

    /// Returns libsndfile's name, such as `Signed 16 bit PCM`, as `signed 16-bit PCM`.
    private static func formatName(_ format: Int32) -> String {
        var info = SF_FORMAT_INFO()
        info.format = format
        let size = Int32(MemoryLayout<SF_FORMAT_INFO>.size)
        guard sf_command(nil, Int32(SFC_GET_FORMAT_INFO), &info, size) == 0,
            let name = info.name
        else { return "unknown" }
        var text = String(cString: name)
        for spaced in ["8 bit", "12 bit", "16 bit", "24 bit", "32 bit", "64 bit"] {
            if let range = text.firstRange(of: spaced) {
                text.replaceSubrange(range, with: spaced.replacing(" ", with: "-"))
                break
            }
        }
        if let parenthesis = text.firstRange(of: " (") {
            text = String(text[..<parenthesis.lowerBound])
        }
        for word in ["Signed", "Unsigned"] where text.hasPrefix(word) {
            text = word.lowercased() + text.dropFirst(word.count)
        }
        return text
    }

    private static func oneLine(_ text: UnsafePointer<CChar>?) -> String {
        guard let text else { return "no reason given" }
        let words = String(cString: text).split(whereSeparator: \.isWhitespace)
        let line = words.joined(separator: " ")
        return line.hasSuffix(".") ? String(line.dropLast()) : line
    }
}
