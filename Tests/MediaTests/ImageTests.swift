import Media
import Testing

@Suite("Image") struct ImageTests {
    private func pattern(_ width: Int, _ height: Int, _ channels: Int, _ depth: Int) -> Image {
        var state: UInt64 = 88_172_645_463_325_252
        let samples = (0..<width * height * channels).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return UInt16(truncatingIfNeeded: state) & UInt16((1 << depth) - 1)
        }
        return Image(
            width: width, height: height, channelCount: channels, bitDepth: depth,
            samples: samples)
    }

    @Test("writing and reading gives the same image", arguments: [1, 2, 3, 4])
    func roundTrip(channelCount: Int) throws {
        for depth in [8, 16] {
            for (width, height) in [(1, 1), (1, 7), (7, 1), (5, 3), (31, 33), (64, 2)] {
                let image = pattern(width, height, channelCount, depth)
                for level in [0, 6, 9] {
                    let bytes = try image.pngData(compressionLevel: level)
                    #expect(try Image(pngData: bytes, path: nil) == image)
                    #expect(try image.pngData(compressionLevel: level) == bytes)
                }
            }
        }
    }

    @Test("small depths are scaled up to 8 bits when written", arguments: [1, 2, 4])
    func smallDepth(depth: Int) throws {
        let image = pattern(9, 5, 1, depth)
        let again = try Image(pngData: image.pngData(), path: nil)
        #expect(again.bitDepth == 8)
        let factor = UInt16(255 / ((1 << depth) - 1))
        #expect(again.samples == image.samples.map { $0 * factor })
        #expect(again.planarSamples(channelCount: 1) == image.planarSamples(channelCount: 1))
    }

    @Test("planes are channel by channel, full scale is 1")
    func planes() {
        let image = Image(
            width: 2, height: 1, channelCount: 3, bitDepth: 8, samples: [0, 51, 102, 153, 204, 255])
        #expect(image.planarSamples(channelCount: 3) == [0, 0.6, 0.2, 0.8, 0.4, 1])
        let luma = image.planarSamples(channelCount: 1)
        #expect(abs(luma[0] - (0.587 * 0.2 + 0.114 * 0.4)) < 1e-6)
        #expect(abs(luma[1] - (0.299 * 0.6 + 0.587 * 0.8 + 0.114)) < 1e-6)
    }

    @Test("white stays exactly 1 and black exactly 0 as grey")
    func lumaEnds() {
        for code: UInt16 in [0, 255] {
            let image = Image(
                width: 1, height: 1, channelCount: 3, bitDepth: 8, samples: [code, code, code])
            #expect(abs(image.planarSamples(channelCount: 1)[0] - Float(code) / 255) < 1e-6)
            #expect(image.planarSamples(channelCount: 1)[0] <= 1)
        }
    }

    @Test("alpha is composited over the background")
    func background() {
        let image = Image(
            width: 3, height: 1, channelCount: 2, bitDepth: 8, samples: [255, 0, 255, 51, 0, 255])
        #expect(image.planarSamples(channelCount: 1) == [0, 0.2, 0])
        let onHalf = image.planarSamples(channelCount: 3, background: 0.5)
        #expect(onHalf[0] == 0.5 && abs(onHalf[1] - 0.6) < 1e-6 && onHalf[2] == 0)
        #expect(onHalf[0..<3] == onHalf[3..<6] && onHalf[0..<3] == onHalf[6..<9])
    }

    @Test("planes give back the codes they came from", arguments: [1, 2, 4, 8, 16])
    func planarRoundTrip(depth: Int) {
        for channelCount in [1, 3] {
            let image = pattern(17, 19, channelCount, depth)
            let again = Image(
                planar: image.planarSamples(channelCount: channelCount), channelCount: channelCount,
                height: 19, width: 17, bitDepth: depth)
            #expect(again == image)
        }
    }

    @Test("values outside 0…1 are clamped and NaN is black")
    func clamping() {
        let image = Image(
            planar: [-1, 2, .nan, .infinity, -.infinity, 0.5], channelCount: 1, height: 2, width: 3,
            bitDepth: 8)
        #expect(image.samples == [0, 255, 0, 255, 0, 128])
    }
}
