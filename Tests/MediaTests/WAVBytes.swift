/// A WAV file written by hand; sizes can be made to lie.
struct WAVBytes {
    var format = 1
    var channelCount = 1
    var sampleRate = 8000
    var bits = 16
    var data: [UInt8] = []
    /// What the data chunk says, when not the truth.
    var declaredDataSize: Int?
    var riffSize: Int?
    /// Bytes after the data chunk.
    var trailer: [UInt8] = []

    static func little(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    var bytes: [UInt8] {
        let frameSize = channelCount * bits / 8
        var body = Array("WAVEfmt ".utf8) + Self.little(16, 4)
        body += Self.little(format, 2) + Self.little(channelCount, 2)
        body += Self.little(sampleRate, 4) + Self.little(sampleRate * frameSize, 4)
        body += Self.little(frameSize, 2) + Self.little(bits, 2)
        body += Array("data".utf8) + Self.little(declaredDataSize ?? data.count, 4)
        body += data + trailer
        return Array("RIFF".utf8) + Self.little(riffSize ?? body.count, 4) + body
    }
}
