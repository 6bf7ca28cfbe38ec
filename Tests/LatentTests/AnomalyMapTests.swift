import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Maps of where the anomaly is")
struct AnomalyMapTests {
    /// A picture of weak noise, with a bright square of six pixels where it is asked for.
    private func image(height: Int, width: Int, square: (y: Int, x: Int)?) throws -> [UInt8] {
        var generator = Generator(seed: 5, 0)
        var values = (0..<height * width).map { _ in 0.3 + 0.1 * generator.uniform() }
        if let square {
            for y in square.y - 3..<square.y + 3 {
                for x in square.x - 3..<square.x + 3 { values[y * width + x] = 1 }
            }
        }
        return try Image(
            planar: values, channelCount: 1, height: height, width: width, bitDepth: 16
        ).pngData()
    }

    /// A tone of weak noise with a click of 64 ms in the middle of which is a second.
    private func sound(click: Double?) throws -> [UInt8] {
        var generator = Generator(seed: 6, 0)
        let noise = generator.normals(24_000)
        let samples = noise.enumerated().map { index, value -> Float in
            let time = Double(index) / 8000
            let isClick = click.map { abs(time - $0) < 0.032 } ?? false
            return Float(0.2 * sin(2 * Double.pi * 440 * time)) + value * (isClick ? 0.3 : 0.003)
        }
        return try Audio(
            sampleRate: 8000, channelCount: 1, samples: samples, encoding: "PCM16"
        ).wavData(.float32)
    }

    /// How much each window of a file changes, laid back to its place.
    private func change(
        _ preprocessing: Preprocessing, from old: [UInt8], to new: [UInt8]
    ) throws -> FeatureMap {
        let (a, b) = (
            try preprocessing.windows(of: old, path: "a"),
            try preprocessing.windows(of: new, path: "b")
        )
        let side = preprocessing.cellSide
        let windowing = preprocessing.windowing
        var overlay = WindowOverlay(
            windowing, height: (a.mapHeight + side - 1) / side,
            width: (a.mapWidth + side - 1) / side)
        let area = windowing.height * windowing.width
        for index in 0..<a.count {
            let (x, y) = (a.values(index..<index + 1), b.values(index..<index + 1))
            var squares = [Float](repeating: 0, count: area)
            for element in x.indices {
                squares[element % area] += (x[element] - y[element]) * (x[element] - y[element])
            }
            overlay.add(squares[...], index: index)
        }
        return try overlay.map(height: a.mapHeight, width: a.mapWidth, cellSide: side)
    }

    private func peak(_ map: FeatureMap) -> (y: Int, x: Int) {
        let index = map.values.indices.max { map.values[$0] < map.values[$1] } ?? 0
        return (index / map.width, index % map.width)
    }

    @Test(
        "a spot lands where it is in the image, in every view, whole and in patches",
        arguments: ["pixels", "smooth", "gradients", "contrast"], [Windowing.Mode.whole, .grid])
    func spot(view: String, mode: Windowing.Mode) throws {
        let transform = ViewTransform(named: view)
        let side = transform?.transform.cellSide ?? 1
        // Odd sizes, of which the last cells of a row and column are cut off.
        let (height, width) = (83, 117)
        let preprocessing = Preprocessing(
            view: .pixels(PixelView(channelCount: 1)), transform: transform,
            windowing: mode == .whole
                ? Windowing(mode: .whole, height: 64 / side, width: 96 / side, stride: 1)
                : Windowing(mode: .grid, height: 32 / side, width: 32 / side, stride: 8 / side))
        let plain = try image(height: height, width: width, square: nil)
        for square in [(y: 41, x: 60), (y: 12, x: 100), (y: 75, x: 20)] {
            let map = try change(
                preprocessing, from: plain,
                to: try image(height: height, width: width, square: square))
            #expect(map.height == height && map.width == width && map.channelCount == 1)
            let found = peak(map)
            // Edges of the square are 3 pixels from its middle, and a cell is up to 4 wide.
            #expect(abs(found.y - square.y) <= 7, "\(view): \(found) for \(square)")
            #expect(abs(found.x - square.x) <= 7, "\(view): \(found) for \(square)")
            let far = map.values[(height - 1 - found.y) * width + width - 1 - found.x]
            #expect(far < 0.3 * map.values[found.y * width + found.x] || square.y == 41)
        }
    }

    @Test(
        "a click lands at its time, in every view",
        arguments: ["log-mel", "smooth", "gradients", "contrast"])
    func click(view: String) throws {
        let transform = ViewTransform(named: view)
        let side = transform?.transform.cellSide ?? 1
        var log = LogMelView(sampleRate: 8000, melCount: 16)
        log.referenceNats = 5
        let preprocessing = Preprocessing(
            view: .logMel(log), transform: transform,
            windowing: Windowing(
                mode: .frames, height: 16 / side, width: 32 / side, stride: 8 / side))
        let hop = Double(log.hopLength) / Double(log.sampleRate)
        for time in [0.5, 1.7, 2.6] {
            let map = try change(
                preprocessing, from: try sound(click: nil), to: try sound(click: time))
            #expect(map.height == 16 && map.width == log.frameCount(sampleCount: 24_000))
            let found = AnomalyMap(
                values: map, frameSeconds: hop, duration: 3, hash: ContentHash(of: []))
            let curve = try #require(found.curve)
            let frame = curve.indices.max { curve[$0] < curve[$1] } ?? 0
            #expect(abs(Double(frame) * hop - time) <= 0.08, "\(view): \(Double(frame) * hop)")
        }
    }

    @Test("an impulse in a cell of a whole window is a tent around the middle of its pixels")
    func tent() throws {
        var overlay = WindowOverlay(
            Windowing(mode: .whole, height: 4, width: 4, stride: 1), height: 9, width: 9)
        var cells = [Float](repeating: 0, count: 16)
        cells[1 * 4 + 2] = 1
        overlay.add(cells[...], index: 0)
        let map = try overlay.map(height: 16, width: 16, cellSide: 4)
        for y in 0..<16 {
            for x in 0..<16 {
                // Cell (1, 2) has its middle at pixel (5.5, 9.5).
                let expected =
                    max(0, 1 - abs(Double(y) - 5.5) / 4) * max(0, 1 - abs(Double(x) - 9.5) / 4)
                #expect(abs(Double(map.values[y * 16 + x]) - expected) < 1e-6)
            }
        }
    }

    @Test("where windows overlap, patches have their mean and stretches of sound the least")
    func overlaps() throws {
        var patches = WindowOverlay(
            Windowing(mode: .grid, height: 1, width: 4, stride: 2), height: 1, width: 6)
        var stretches = WindowOverlay(
            Windowing(mode: .frames, height: 1, width: 4, stride: 2), height: 1, width: 6)
        for (index, value) in [Float(3), 1].enumerated() {
            let window = [Float](repeating: value, count: 4)
            patches.add(window[...], index: index)
            stretches.add(window[...], index: index)
        }
        #expect(
            try stretches.map(height: 1, width: 6, cellSide: 1).values == [3, 3, 1, 1, 1, 1])
        // The blur of patches is a fifth of the shorter side, here of one cell: next to nothing.
        let means = try patches.map(height: 1, width: 6, cellSide: 1).values
        for (mean, expected) in zip(means, [Float(3), 3, 2, 2, 1, 1]) {
            #expect(abs(mean - expected) < 1e-4)
        }
    }

    @Test("windows are laid where they were cut, and what lies outside of a small map is left out")
    func places() throws {
        for (mode, height, width) in [
            (Windowing.Mode.grid, 11, 17), (.grid, 5, 20), (.frames, 4, 3), (.frames, 4, 50),
        ] {
            let windowing = Windowing(
                mode: mode, height: mode == .frames ? 4 : 6, width: 6, stride: 5)
            let values = (0..<height * width).map { Float($0 + 1) }
            let map = FeatureMap(channelCount: 1, height: height, width: width, values: values)
            let windows = try windowing.windows(of: map)
            var overlay = WindowOverlay(windowing, height: height, width: width)
            let area = windowing.height * windowing.width
            for index in 0..<windowing.windowCount(height: height, width: width) {
                overlay.add(windows[index * area..<(index + 1) * area], index: index)
            }
            let back = try overlay.map(height: height, width: width, cellSide: 1)
            if mode == .frames {
                #expect(back == map)
            } else {
                #expect(back == map.blurred(sigma: 1.2))
            }
        }
    }

    // MARK: Scale

    @Test("shares of elements are counted as they are, files alike, and pooled as if at once")
    func exceedance() throws {
        var first = Exceedance()
        first.add((1...1000).map { Float($0) })
        #expect(first.fileCount == 1)
        for share in [0.9, 0.5, 0.2, 0.1, 0.01] {
            // The levels are 7 % apart.
            let level = try #require(first.level(reachedBy: share))
            #expect(abs(level / (1000 * (1 - share)) - 1) < 0.08, "\(share): \(level)")
        }
        #expect(first.level(reachedBy: 1e-6) == nil)
        #expect(Exceedance().level(reachedBy: 0.5) == nil)

        // Ten times as many elements do not count for more than one file.
        var both = first
        both.add([Float](repeating: 0, count: 10_000))
        var second = Exceedance()
        second.add([Float](repeating: 0, count: 10_000))
        var pooled = first
        pooled.add(second)
        #expect(pooled == both && pooled.fileCount == 2)
        #expect(
            abs((both.level(reachedBy: 0.25) ?? 0) - (first.level(reachedBy: 0.5) ?? 1)) < 1e-9)

        var odd = Exceedance()
        odd.add([Float.nan, .infinity, 1e9, 0])
        #expect(odd.smallestShare == 0.75)
        try odd.validate()
        let damaged = try JSONDecoder().decode(
            Exceedance.self, from: Data(#"{"fileCount":1,"shares":[0.1,0.2]}"#.utf8))
        #expect(throws: LatentError.self) { try damaged.validate() }
    }

    @Test("the scale has its middle at one half, rises for ever and knows no file")
    func scale() {
        #expect(MapCalibration.place(of: 3, middle: 3) == 0.5)
        #expect(MapCalibration.place(of: 0, middle: 3) == 0)
        #expect(MapCalibration.place(of: 9, middle: 3) == 0.75)
        #expect(MapCalibration.place(of: .nan, middle: 3) == 1)
        #expect(MapCalibration.place(of: .infinity, middle: 3) == 1)
        var last: Float = -1
        for value in stride(from: Float(0), to: 1000, by: 1) {
            let place = MapCalibration.place(of: value, middle: 2)
            #expect(place > last && place < 1)
            last = place
        }
        #expect(MapCalibration(scales: [1, 0]) == nil && MapCalibration(scales: [.nan]) == nil)
    }

    @Test("of normal images the stated share of elements is above the middle")
    func calibrated() throws {
        let folder = try TemporaryFolder()
        let items = try (0..<12).map { index in
            Item.at(try folder.writeImage("\(index).png", height: 16, width: 12))
        }
        let view = DetectorView(
            model: try VAE(.tiny(), device: .cpu, seed: 3), preprocessing: .whole(),
            aggregate: .mean)
        let calibration = try #require(
            try MapCalibration(of: [view, view], scaleItems: items, items: items))
        #expect(calibration.elements.fileCount == 12 && calibration.runs == nil)
        #expect(calibration.scales[0] == calibration.scales[1])
        let middle = try #require(calibration.middle)
        let mapper = try Mapper([view, view], scales: calibration.scales)
        let values = try items.flatMap { try mapper.map(of: $0).values.values }
        let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
        #expect(abs(mean - 1) < 1e-3)
        let share = Double(values.count { Double($0) >= middle }) / Double(values.count)
        #expect(abs(share - 0.01) < 0.01)
        #expect(
            try MapCalibration(of: [view], scaleItems: [Item](), items: [Item]()) == nil)
        #expect(throws: LatentError.self) { try calibration.validate(viewCount: 1) }
        try calibration.validate(viewCount: 2)
    }

    // MARK: Names

    @Test("names stay in the folder and are the ends of paths, the shortest first")
    func names() {
        func names(_ path: String, _ relative: String) -> [String] {
            MapFolder.names(
                of: Item(path: path, relativePath: relative, label: nil, split: nil))
        }
        #expect(
            names("data/test/crack/7.png", "crack/7.png") == [
                "crack/7", "test/crack/7", "data/test/crack/7", "data/test/crack/7.png",
            ])
        #expect(names("/tmp/7.png", "7.png") == ["7", "tmp/7", "tmp/7.png"])
        #expect(names("../../a/7.b.png", "7.b.png") == ["7.b", "a/7.b", "a/7.b.png"])
        #expect(names("x/../../7.png", "x/../../7.png") == ["7", "7.png"])
        #expect(names("./a/./7", "7") == ["7", "a/7", "a/7"])
        #expect(names(".png", ".png") == [".png", ".png"])
    }

    @Test("the picture over an image keeps its size, or is larger by a whole factor")
    func overlay() throws {
        let values = (0..<12).map { Float($0) }
        let map = AnomalyMap(
            values: FeatureMap(channelCount: 1, height: 3, width: 4, values: values),
            frameSeconds: nil, duration: 0, hash: ContentHash(of: []))
        let picture = HeatPicture(map, middle: 5)
        let grey = picture.grey
        #expect(grey.width == 4 && grey.height == 3 && grey.bitDepth == 16)
        #expect(grey.channelCount == 1)
        for (value, code) in zip(values, grey.samples) {
            #expect(abs(Double(code) - 65_535 * Double(value) / Double(value + 5)) <= 0.51)
        }
        let image = Image(
            planar: [Float](repeating: 0.5, count: 12), channelCount: 1, height: 3, width: 4,
            bitDepth: 1)
        let small = picture.overlay(on: image, threshold: 100)
        #expect(small.width == 384 && small.height == 288 && small.channelCount == 3)
        // What is far below the middle is as it was; 11 / 16 is more red than blue.
        let codes = small.samples
        #expect(codes[0] == codes[1] && codes[1] == codes[2])
        #expect(codes[codes.count - 3] > codes[codes.count - 1])
        // One pixel is above: the border of its square is the contour, and nothing else changes.
        let marked = picture.overlay(on: image, threshold: 10.5)
        let changed = zip(
            stride(from: 0, to: codes.count, by: 3), stride(from: 0, to: codes.count, by: 3)
        ).count { codes[$0.0..<$0.0 + 3] != marked.samples[$0.1..<$0.1 + 3] }
        #expect(changed == 4 * 96 - 4)
    }
}
