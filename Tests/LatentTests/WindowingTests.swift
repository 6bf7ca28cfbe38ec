import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Windowing") struct WindowingTests {
    private static func map(
        channels: Int = 1, height: Int, width: Int, seed: UInt64 = 0
    ) -> FeatureMap {
        var generator = Generator(seed: seed, UInt64(height), UInt64(width))
        return FeatureMap(
            channelCount: channels, height: height, width: width,
            values: (0..<channels * height * width).map { _ in generator.uniform() })
    }

    @Test("windows start every stride, and one ends at the end")
    func starts() {
        #expect(Windowing.starts(length: 20, window: 8, stride: 4) == [0, 4, 8, 12])
        #expect(Windowing.starts(length: 21, window: 8, stride: 4) == [0, 4, 8, 12, 13])
        #expect(Windowing.starts(length: 8, window: 8, stride: 4) == [0])
        #expect(Windowing.starts(length: 9, window: 8, stride: 4) == [0, 1])
        #expect(Windowing.starts(length: 3, window: 8, stride: 4) == [0])
    }

    @Test("windows cover everything, in order and without repetition", arguments: 1...40)
    func cover(length: Int) {
        for window in [1, 5, 8] {
            for stride in 1...window {
                let starts = Windowing.starts(length: length, window: window, stride: stride)
                #expect(starts == Array(Set(starts)).sorted())
                var covered = Set<Int>()
                for start in starts { covered.formUnion(start..<start + window) }
                #expect(covered.isSuperset(of: 0..<length))
                #expect(starts.allSatisfy { $0 >= 0 && $0 + window <= max(length, window) })
            }
        }
    }

    @Test(
        "patches put together again are the image, and are as many as counted",
        arguments: [1, 3, 7, 8, 9, 13, 24], [1, 5, 8, 10, 17])
    func gridRoundTrip(height: Int, width: Int) throws {
        for (channels, stride) in [(1, 4), (3, 3), (1, 8)] {
            let windowing = Windowing(mode: .grid, height: 8, width: 8, stride: stride)
            let map = Self.map(channels: channels, height: height, width: width)
            let windows = try windowing.windows(of: map)
            let count = windowing.windowCount(height: height, width: width)
            #expect(windows.count == count * channels * 64)
            let again = try windowing.assemble(
                windows, channelCount: channels, height: height, width: width)
            #expect(again.height == height && again.width == width)
            #expect(mismatch(again.values, map.values, absolute: 1e-6) == nil)
        }
    }

    @Test(
        "frame ranges put together again are the spectrogram, and are as many as counted",
        arguments: [1, 2, 7, 8, 9, 16, 30, 31])
    func framesRoundTrip(width: Int) throws {
        for stride in [1, 3, 4, 8] {
            let windowing = Windowing(mode: .frames, height: 5, width: 8, stride: stride)
            let map = Self.map(height: 5, width: width)
            let windows = try windowing.windows(of: map)
            #expect(windows.count == windowing.windowCount(height: 5, width: width) * 40)
            let again = try windowing.assemble(windows, channelCount: 1, height: 5, width: width)
            #expect(mismatch(again.values, map.values, absolute: 1e-6) == nil)
        }
    }

    @Test("a whole image of the window's size is its one window, as it is")
    func wholeRoundTrip() throws {
        let windowing = Windowing(mode: .whole, height: 7, width: 9, stride: 1)
        let map = Self.map(channels: 3, height: 7, width: 9)
        #expect(try windowing.windows(of: map) == map.values)
        #expect(
            try windowing.assemble(map.values, channelCount: 3, height: 7, width: 9) == map)
        #expect(windowing.windowCount(height: 300, width: 500) == 1)
    }

    @Test("a whole image of another size is resized to the window and back")
    func wholeResized() throws {
        let windowing = Windowing(mode: .whole, height: 16, width: 8, stride: 1)
        // A ramp is what linear interpolation keeps, but for the ends.
        let ramp = FeatureMap(
            channelCount: 1, height: 5, width: 12,
            values: (0..<60).map { Float($0 % 12) / 12 + 0.5 / 12 })
        let window = try windowing.windows(of: ramp)
        #expect(window.count == 128)
        for column in 1..<7 {
            #expect(abs(window[3 * 8 + column] - (Float(column) + 0.5) / 8) < 0.01)
        }
        let again = try windowing.assemble(window, channelCount: 1, height: 5, width: 12)
        #expect(
            mismatch(Array(again.values[2..<10]), Array(ramp.values[2..<10]), absolute: 0.02) == nil
        )
    }

    @Test("a short recording is centred on silence")
    func centredRecording() throws {
        let windowing = Windowing(mode: .frames, height: 2, width: 6, stride: 3)
        let map = FeatureMap(
            channelCount: 1, height: 2, width: 3, values: [1, 2, 3, 4, 5, 6])
        #expect(try windowing.windows(of: map) == [0, 1, 2, 3, 0, 0, 0, 4, 5, 6, 0, 0])
    }

    @Test("a small image is centred on its own edges, drawn out")
    func centredImage() throws {
        let windowing = Windowing(mode: .grid, height: 4, width: 4, stride: 2)
        let map = FeatureMap(channelCount: 1, height: 2, width: 2, values: [1, 2, 3, 4])
        #expect(
            try windowing.windows(of: map)
                == [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4])
    }

    @Test("what cannot be halved of the room around a small map goes to its right and below")
    func oddRoom() throws {
        let grid = Windowing(mode: .grid, height: 2, width: 4, stride: 2)
        let row = FeatureMap(channelCount: 1, height: 1, width: 1, values: [7])
        #expect(
            try grid.assemble([1, 2, 3, 4, 5, 6, 7, 8], channelCount: 1, height: 1, width: 1)
                .values == [2])
        #expect(try grid.windows(of: row) == [Float](repeating: 7, count: 8))
        let frames = Windowing(mode: .frames, height: 1, width: 4, stride: 2)
        #expect(try frames.windows(of: row) == [0, 7, 0, 0])
    }

    @Test("windows are given channel by channel, left to right, then down")
    func order() throws {
        let windowing = Windowing(mode: .grid, height: 1, width: 2, stride: 1)
        let map = FeatureMap(
            channelCount: 2, height: 2, width: 3,
            values: [1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60])
        #expect(
            try windowing.windows(of: map)
                == [1, 2, 10, 20, 2, 3, 20, 30, 4, 5, 40, 50, 5, 6, 50, 60])
    }

    @Test("where windows overlap, the parts are averaged")
    func means() throws {
        let windowing = Windowing(mode: .frames, height: 1, width: 2, stride: 1)
        let map = try windowing.assemble([1, 2, 4, 8], channelCount: 1, height: 1, width: 3)
        #expect(map.values == [1, 3, 8])
    }
}

@Suite("Preprocessing") struct PreprocessingTests {
    @Test(
        "a preprocessing comes back from JSON as it was",
        arguments: [Preprocessing.whole(channelCount: 3), .grid(), .frames])
    func json(preprocessing: Preprocessing) throws {
        let data = try JSONEncoder().encode(preprocessing)
        #expect(try JSONDecoder().decode(Preprocessing.self, from: data) == preprocessing)
        let text = String(decoding: data, as: UTF8.self)
        #expect(text.contains("\"\(preprocessing.viewName)\""))
    }

    @Test("a view of an unknown kind is refused")
    func unknownView() {
        let json =
            #"{"view":{"contrast":{}},"windowing":{"mode":"grid","height":8,"width":8,"stride":4}}"#
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(Preprocessing.self, from: Data(json.utf8))
        }
    }

    @Test("windows that do not fit the mel bands, and strides that cannot be, are refused")
    func validation() throws {
        var bands = Preprocessing.frames
        bands.windowing.height = 15
        let error = try #require(throws: LatentError.self) { try bands.validate() }
        #expect(error.code == .model)
        #expect(error.message.contains("15") && error.message.contains("16"))
        var still = Preprocessing.grid()
        for stride in [0, -1, Int.max] {
            still.windowing.stride = stride
            #expect(throws: LatentError.self) { try still.validate() }
        }
    }

    @Test("features of a 16-bit image tell neighbouring codes apart")
    func sixteenBits() throws {
        let folder = try TemporaryFolder()
        let codes: [UInt16] = [0, 1, 255, 256, 257, 32_767, 32_768, 65_534, 65_535]
        let image = Image(width: 3, height: 3, channelCount: 1, bitDepth: 16, samples: codes)
        let path = try folder.write(image.pngData(), to: "deep.png")
        let windows = try Preprocessing.whole(height: 3, width: 3).windows(path)
        #expect(windows.values(0..<windows.count) == codes.map { Float(Double($0) / 65_535) })
        #expect(windows.source.bitDepth == 16 && windows.source.conversions.isEmpty)
        let back = PixelView(channelCount: 1).image(
            of: FeatureMap(
                channelCount: 1, height: 3, width: 3, values: windows.values(0..<windows.count)),
            bitDepth: 16)
        #expect(back.samples == codes)
    }

    @Test("what is lost on the way in is said")
    func conversions() {
        let colour = Image(width: 1, height: 1, channelCount: 3, bitDepth: 8, samples: [255, 0, 0])
        let (grey, greySource) = PixelView(channelCount: 1).features(of: colour)
        #expect(abs(grey.values[0] - 0.299) < 1e-6)
        #expect(greySource.conversions == ["colour to grey"])
        let clear = Image(width: 1, height: 1, channelCount: 2, bitDepth: 8, samples: [255, 51])
        let (rgb, rgbSource) = PixelView(channelCount: 3).features(of: clear)
        #expect(mismatch(rgb.values, [0.2, 0.2, 0.2], absolute: 1e-6) == nil)
        #expect(rgbSource.conversions == ["grey to RGB", "transparency over black"])
    }

    @Test("the windows of a file are hashed as sha256sum does")
    func hash() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(Array("abc".utf8), to: "abc")
        #expect(
            "\(ContentHash(of: Array(try Data(at: path))))"
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(ContentHash(of: Array("abc".utf8)).word == 0xba78_16bf_8f01_cfea)
    }

    @Test(
        "the windows counted from the survey are those that a file has",
        arguments: ["audio/formats", "audio/sounds/chirp", "broken"])
    func countedWindows(folder: String) throws {
        let preprocessing = Preprocessing.frames
        let survey = Survey(
            of: try fixtureItems(folder, .audio), domain: .audio, threadCount: 2
        ) { _, _ in }
        #expect(!survey.items.isEmpty)
        let source = try WindowSource(survey.items, preprocessing: preprocessing, threadCount: 1)
        for item in survey.items {
            let windows = try preprocessing.windows(item.item.path)
            #expect(source.windowCount(item) == windows.count, "\(item.item.path)")
            #expect(windows.values(0..<windows.count).count == windows.count * 16 * 8)
        }
    }
}
