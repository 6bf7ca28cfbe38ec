import Media
import Testing

@Suite("Audio") struct AudioTests {
    private func error(_ bytes: [UInt8], _ limits: AudioLimits = .init()) -> MediaError? {
        do throws(MediaError) {
            _ = try Audio(data: bytes, path: nil, limits: limits)
            return nil
        } catch {
            return error
        }
    }

    private func float(_ values: [Float]) -> [UInt8] {
        values.flatMap { WAVBytes.little(Int($0.bitPattern), 4) }
    }

    @Test("integer samples are scaled to ±1")
    func integers() throws {
        let eight = WAVBytes(bits: 8, data: [0, 64, 128, 192, 255])
        var audio = try Audio(data: eight.bytes, path: nil)
        #expect(audio.samples == [-1, -0.5, 0, 0.5, 127.0 / 128])
        #expect(audio.encoding == "WAV, unsigned 8-bit PCM")

        let sixteen = [-32_768, -16_384, 0, 1, 32_767].flatMap { WAVBytes.little($0, 2) }
        audio = try Audio(data: WAVBytes(bits: 16, data: sixteen).bytes, path: nil)
        #expect(audio.samples == [-1, -0.5, 0, 1 / 32_768, 32_767.0 / 32_768])
        #expect(audio.encoding == "WAV, signed 16-bit PCM")
        #expect(audio.sampleRate == 8000 && audio.frameCount == 5)

        let three = [-8_388_608, 1, 4_194_304].flatMap { WAVBytes.little($0, 3) }
        audio = try Audio(data: WAVBytes(bits: 24, data: three).bytes, path: nil)
        #expect(audio.samples == [-1, 1 / 8_388_608, 0.5])

        let four = [-2_147_483_648, 1_073_741_824].flatMap { WAVBytes.little($0, 4) }
        audio = try Audio(data: WAVBytes(bits: 32, data: four).bytes, path: nil)
        #expect(audio.samples == [-1, 0.5])
    }

    @Test("float samples are read as they are, beyond full scale too")
    func floats() throws {
        let values: [Float] = [0, 1e-30, -0.123456, 1.5, -3e30]
        let wav = WAVBytes(format: 3, channelCount: 1, bits: 32, data: float(values))
        let audio = try Audio(data: wav.bytes, path: nil)
        #expect(audio.samples == values)
        #expect(audio.encoding == "WAV, 32-bit float")
    }

    @Test("channels are interleaved and mono is their mean")
    func channels() throws {
        let wav = WAVBytes(format: 3, channelCount: 2, bits: 32, data: float([1, 0, 0.5, -0.5]))
        let audio = try Audio(data: wav.bytes, path: nil)
        #expect(audio.channelCount == 2 && audio.frameCount == 2)
        #expect(audio.mono() == [0.5, 0])
    }

    @Test("writing and reading gives the same samples", arguments: WAVEncoding.allCases)
    func roundTrip(encoding: WAVEncoding) throws {
        for channelCount in [1, 2, 3, 64] {
            for frameCount in [1, 2, 3, 1001] {
                let samples = (0..<channelCount * frameCount).map {
                    Float($0 * 7919 % 2001 - 1000) / 1001
                }
                let audio = Audio(
                    sampleRate: 44_100, channelCount: channelCount, samples: samples, encoding: "")
                let bytes = try audio.wavData(encoding)
                let again = try Audio(data: bytes, path: nil)
                #expect(again.sampleRate == 44_100 && again.channelCount == channelCount)
                let worst = zip(samples, again.samples).map { abs($0 - $1) }.max() ?? 1
                #expect(again.samples.count == samples.count)
                #expect(worst <= (encoding == .pcm16 ? 0.5 / 32_768 + 1e-7 : 0))
                #expect(try again.wavData(encoding) == bytes)
            }
        }
    }

    @Test("16-bit samples clip and do not wrap around")
    func clipping() throws {
        let audio = Audio(
            sampleRate: 8000, channelCount: 1, samples: [1, -1, 2, -2, 1e30, 0.99999], encoding: "")
        let again = try Audio(data: audio.wavData(.pcm16), path: nil)
        let top: Float = 32_767.0 / 32_768
        #expect(again.samples == [top, -1, top, -1, top, top])
    }

    @Test("NaN and infinity are refused, with their place")
    func notFinite() throws {
        let wav = WAVBytes(
            format: 3, channelCount: 2, bits: 32, data: float([0, 0, 0, .nan, .infinity, 0]))
        let found = try #require(error(wav.bytes))
        #expect(found.code == .notFinite)
        #expect(found.message.contains("2 of 6") && found.message.contains("frame 1"))
        let audio = Audio(sampleRate: 8000, channelCount: 1, samples: [.nan], encoding: "")
        let writing = try #require(throws: MediaError.self) { try audio.wavData(.float32) }
        #expect(writing.code == .notFinite)
    }

    @Test("a data chunk that declares more than there is, is a truncation")
    func declaredTooMuch() throws {
        let data = [UInt8](repeating: 1, count: 100)
        for declared in [104, 200, 1_000_000, 0x7000_0000, 0xF000_0000] {
            let found = try #require(error(WAVBytes(data: data, declaredDataSize: declared).bytes))
            #expect(found.code == .truncated)
            #expect(found.message.contains("\(declared)") && found.message.contains("100"))
        }
        #expect(error(WAVBytes(data: data, declaredDataSize: 102).bytes) == nil)
    }

    @Test(
        "lengths that streaming programs leave are read to the end",
        arguments: [
            0, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, 0x7FFF_F000, 0xFFFF_FFDB,
        ])
    func streaming(declared: Int) throws {
        let data = [UInt8](repeating: 0x40, count: 100)
        let wav = WAVBytes(data: data, declaredDataSize: declared, riffSize: 0xFFFF_FFFF)
        #expect(try Audio(data: wav.bytes, path: nil).frameCount == 50)
    }

    @Test("a file without samples is empty")
    func empty() {
        #expect(error([])?.code == .empty)
        #expect(error(WAVBytes().bytes)?.code == .empty)
        let list = Array("LIST".utf8) + WAVBytes.little(4, 4) + Array("INFO".utf8)
        #expect(error(WAVBytes(trailer: list).bytes)?.code == .empty)
    }

    @Test("headers beyond the limits are refused")
    func limits() throws {
        let data = [UInt8](repeating: 0, count: 6500)
        #expect(error(WAVBytes(channelCount: 65, data: data).bytes)?.code == .tooLarge)
        let rate = try #require(error(WAVBytes(sampleRate: 999, data: data).bytes))
        #expect(rate.code == .corrupt && rate.message.contains("999 Hz"))
        var limits = AudioLimits()
        limits.maximumByteCount = 4 * 3250
        #expect(error(WAVBytes(data: data).bytes, limits) == nil)
        limits.maximumByteCount -= 1
        #expect(error(WAVBytes(data: data).bytes, limits)?.code == .tooLarge)
    }

    @Test("other kinds of file are named")
    func otherKinds() throws {
        var found = try #require(error(PNGBytes().bytes))
        #expect(found.code == .unsupported && found.message.contains("a PNG image"))
        found = try #require(error(Array("RIFF\u{4}\u{0}\u{0}\u{0}AVI ".utf8)))
        #expect(found.code == .unsupported && found.message.contains("an AVI video"))
    }

    @Test("a WAV file cut at any byte is an error, or whole but for padding")
    func truncation() throws {
        let bytes = WAVBytes(data: [UInt8](repeating: 9, count: 40)).bytes
        for count in 0..<bytes.count {
            let found = error(Array(bytes[..<count]))
            #expect(found != nil || bytes.count - count <= 3, "\(count) bytes")
        }
    }

    @Test("a flipped bit never stops the program, and what is read is finite")
    func bitFlips() throws {
        let samples = (0..<16).map { Float($0) / 16 }
        for encoding in WAVEncoding.allCases {
            let bytes = try Audio(
                sampleRate: 8000, channelCount: 2, samples: samples, encoding: ""
            ).wavData(encoding)
            for bit in 0..<bytes.count * 8 {
                var flipped = bytes
                flipped[bit / 8] ^= 1 << UInt8(bit % 8)
                if let audio = try? Audio(data: flipped, path: nil) {
                    let isFinite = audio.samples.allSatisfy(\.isFinite)
                    #expect(isFinite)
                    #expect(audio.samples.count <= 4 * bytes.count)
                }
            }
        }
    }

    @Test("the kind of media is told from the first bytes")
    func kinds() {
        #expect(MediaKind.sniff(PNGBytes().bytes) == .png)
        #expect(MediaKind.sniff(WAVBytes().bytes) == .audio)
        #expect(MediaKind.sniff(Array("fLaC".utf8)) == .audio)
        #expect(MediaKind.sniff([0xFF, 0xFB, 0x90, 0x00]) == .audio)
        #expect(MediaKind.sniff([0xFF, 0xFF, 0xFF, 0xFF]) == nil)
        #expect(MediaKind.sniff([0xFF, 0xD8, 0xFF, 0xE0]) == nil)
        #expect(MediaKind.sniff([]) == nil)
    }
}
