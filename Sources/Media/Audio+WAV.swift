/// How the samples of a WAV file are written.
public enum WAVEncoding: String, Sendable, CaseIterable, Codable {
    /// 16-bit integers: what every program reads; clips at full scale.
    case pcm16
    /// 32-bit floats: every sample as it is.
    case float32
}

extension Audio {
    /// Returns the audio as a WAV file.
    ///
    /// Written here and not by libsndfile, which stamps float files with the time of writing: the
    /// same audio gives the same bytes. As 16-bit PCM a sample is rounded to the nearest multiple
    /// of 1/32768 and clipped to `-1...32767/32768`, never wrapped around.
    ///
    /// - Parameter encoding: the format of the samples
    /// - Returns: the whole file
    /// - Throws: ``MediaError`` with code `.notFinite` when samples are NaN or infinite,
    ///   `.tooLarge` when the file would exceed the 4 GiB that WAV can name
    public func wavData(_ encoding: WAVEncoding) throws(MediaError) -> [UInt8] {
        if let first = samples.firstIndex(where: { !$0.isFinite }) {
            let count = samples.count { !$0.isFinite }
            throw MediaError(
                .notFinite,
                "\(count) of \(samples.count) samples to be written are NaN or "
                    + "infinite, the first in frame \(first / channelCount)")
        }
        let sampleSize = encoding == .pcm16 ? 2 : 4
        let dataSize = samples.count * sampleSize
        guard dataSize <= Int(UInt32.max) - 64 else {
            throw MediaError(
                .tooLarge, "\(dataSize) bytes of sound, but a WAV file holds less than 4 GiB",
                hint: "split the recording")
        }
        var bytes = header(encoding, sampleSize: sampleSize, dataSize: dataSize)
        bytes.reserveCapacity(bytes.count + dataSize)
        switch encoding {
        case .pcm16:
            for sample in samples {
                let code = (sample * 32_768).rounded(.toNearestOrEven)
                append(UInt16(bitPattern: Int16(max(-32_768, min(32_767, code)))), to: &bytes)
            }
        case .float32:
            for sample in samples { append(sample.bitPattern, to: &bytes) }
        }
        return bytes
    }

    /// Returns everything up to the first sample.
    private func header(_ encoding: WAVEncoding, sampleSize: Int, dataSize: Int) -> [UInt8] {
        let frameSize = channelCount * sampleSize
        // Formats other than PCM must have an extension size and say their number of frames.
        let isFloat = encoding == .float32
        let headerSize = isFloat ? 58 : 44
        var bytes = [UInt8]("RIFF".utf8)
        append(UInt32(headerSize - 8 + dataSize), to: &bytes)
        bytes += "WAVEfmt ".utf8
        append(UInt32(isFloat ? 18 : 16), to: &bytes)
        append(UInt16(isFloat ? 3 : 1), to: &bytes)
        append(UInt16(channelCount), to: &bytes)
        append(UInt32(sampleRate), to: &bytes)
        append(UInt32(clamping: sampleRate * frameSize), to: &bytes)
        append(UInt16(frameSize), to: &bytes)
        append(UInt16(8 * sampleSize), to: &bytes)
        if isFloat {
            append(UInt16(0), to: &bytes)
            bytes += "fact".utf8
            append(UInt32(4), to: &bytes)
            append(UInt32(frameCount), to: &bytes)
        }
        bytes += "data".utf8
        append(UInt32(dataSize), to: &bytes)
        return bytes
    }

    private func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
}
