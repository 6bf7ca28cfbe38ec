import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Transforms of images") struct ImageTransformTests {
    private struct Expected: Decodable {
        struct Images: Decodable {
            let height, width: Int
            let values: [Float]
            let right, down: [Double]
            let cases: [Case]
        }
        struct Case: Decodable {
            struct Movement: Decodable {
                let name: String
                let numbers: [Double]
            }
            let movements: [Movement]
            let padding: String
            let expected: [Float]
        }
        let images: Images
    }

    /// An image of noise, 16 bits deep so that rounding does not hide anything.
    private static func image(
        height: Int = 9, width: Int = 9, channelCount: Int = 1, bitDepth: Int = 8
    ) -> Image {
        var generator = Generator(seed: 23, UInt64(height), UInt64(width))
        return Image(
            planar: (0..<height * width * channelCount).map { _ in generator.uniform() },
            channelCount: channelCount, height: height, width: width, bitDepth: bitDepth)
    }

    private static func apply(
        _ text: String, to image: Image, seed: UInt64 = 0, draw: Int = 0
    ) throws -> (Image, [AppliedTransform]) {
        try FileTransforms(text, domain: .image).apply(to: image, seed: seed, draw: draw)
    }

    @Test("movements and elastic fields are those of SciPy and PyTorch")
    func oracle() throws {
        let expected = try Fixtures.expected("transforms.json", as: Expected.self).images
        let (height, width) = (expected.height, expected.width)
        let image = Image(
            planar: expected.values, channelCount: 1, height: height, width: width, bitDepth: 16)
        var planes = ImagePlanes(image)
        planes.values = expected.values
        #expect(expected.cases.count == 20)
        for wanted in expected.cases {
            let padding = try #require(ImagePadding(rawValue: wanted.padding))
            var warp = ImageWarp(height: height, width: width, padding: padding)
            for movement in wanted.movements {
                let numbers = movement.numbers
                switch movement.name {
                case "flip-x": warp.append(warp.flip(.flipX))
                case "flip-y": warp.append(warp.flip(.flipY))
                case "shift": warp.append(warp.shift(right: numbers[0], down: numbers[1]))
                case "rotate": warp.append(warp.rotation(degrees: numbers[0]))
                case "scale": warp.append(warp.enlargement(by: numbers[0]))
                case "crop":
                    warp.append(warp.crop(size: numbers[0], x: numbers[1], y: numbers[2]))
                default:
                    warp.append(
                        ElasticField(
                            right: expected.right, down: expected.down, height: height,
                            width: width))
                }
            }
            let found = warp.applied(to: planes).values
            let names = wanted.movements.map(\.name)
            #expect(mismatch(found, wanted.expected, absolute: 2e-5) == nil, "\(names) \(padding)")
        }
    }

    @Test("flips twice, and four quarter turns, are nothing; one quarter turn is exact")
    func exact() throws {
        let image = Self.image(height: 7, width: 7, channelCount: 3, bitDepth: 16)
        for text in [
            "flip-x=1,flip-x=1", "flip-y=1,flip-y=1", "rotate=90..90,rotate=90..90,rotate=180..180",
            "rotate=0,shift=0,scale=0,crop=0,elastic=0,brightness=0,contrast=0,noise=0",
        ] {
            #expect(try Self.apply(text, to: image).0 == image, "\(text)")
        }
        let turned = try Self.apply("rotate=90..90", to: image).0
        for row in 0..<7 {
            for column in 0..<7 {
                for channel in 0..<3 {
                    // Counter-clockwise: the top row was the right column.
                    #expect(
                        turned.samples[(row * 7 + column) * 3 + channel]
                            == image.samples[(column * 7 + 6 - row) * 3 + channel])
                }
            }
        }
    }

    @Test("a quarter turn of a wide image keeps its size")
    func size() throws {
        let image = Self.image(height: 6, width: 15)
        let turned = try Self.apply("rotate=90..90,crop=0.5", to: image).0
        #expect((turned.height, turned.width, turned.bitDepth) == (6, 15, 8))
    }

    @Test("brightness is added, contrast keeps the mean")
    func intensity() throws {
        let image = Image(
            planar: (0..<64).map { 0.3 + Float($0) / 200 }, channelCount: 1, height: 8, width: 8,
            bitDepth: 16)
        let brighter = try Self.apply("brightness=0.1..0.1", to: image).0
        let steeper = try Self.apply("contrast=0.5..0.5", to: image).0
        let mean = image.samples.reduce(0) { $0 + Double($1) } / 64
        for index in 0..<64 {
            let before = Double(image.samples[index])
            #expect(abs(Double(brighter.samples[index]) - before - 6553.5) <= 1)
            #expect(abs(Double(steeper.samples[index]) - (mean + 1.5 * (before - mean))) <= 1)
        }
    }

    @Test("noise has the deviation that is asked for, and none in alpha")
    func noise() throws {
        let grey = Image(
            width: 100, height: 100, channelCount: 2, bitDepth: 16,
            samples: (0..<20_000).map { $0 % 2 == 0 ? 32_768 : 40_000 })
        let noisy = try Self.apply("noise=0.04", to: grey).0
        let differences = stride(from: 0, to: 20_000, by: 2).map {
            (Double(noisy.samples[$0]) - 32_768) / 65_535
        }
        let power = differences.reduce(0) { $0 + $1 * $1 } / 10_000
        // The standard error of the deviation is 0.7 %.
        #expect(abs(power.squareRoot() - 0.04) < 0.0015)
        #expect(stride(from: 1, to: 20_000, by: 2).allSatisfy { noisy.samples[$0] == 40_000 })
    }

    @Test("colours of transparent pixels do not shine through")
    func alpha() throws {
        // Opaque black beside transparent white.
        let image = Image(
            width: 8, height: 1, channelCount: 2, bitDepth: 8,
            samples: (0..<8).flatMap { $0 < 4 ? [0, 255] : [255, 0] as [UInt16] })
        let moved = try Self.apply("shift=0.06..0.06", to: image).0
        #expect(stride(from: 0, to: 16, by: 2).allSatisfy { moved.samples[$0] == 0 })
        #expect(stride(from: 1, to: 16, by: 2).contains { (1..<255).contains(moved.samples[$0]) })
    }

    @Test("depths below 8 bits become 8, and the file says what was done")
    func shallow() throws {
        let image = Image(
            width: 4, height: 2, channelCount: 1, bitDepth: 1, samples: [0, 1, 0, 0, 1, 1, 0, 1])
        let (flipped, applied) = try Self.apply("flip-x=1,rotate=0", to: image)
        #expect(flipped.bitDepth == 8)
        #expect(flipped.samples == [0, 0, 255, 0, 255, 0, 255, 255])
        #expect(
            applied == [
                AppliedTransform("flip-x", ["flipped": .flag(true)]),
                AppliedTransform("rotate", ["degrees": .number(0)]),
            ])
    }

    @Test("seed and draw decide; what follows in the list changes no draw before it")
    func keys() throws {
        let image = Self.image()
        let text = "flip-x,classic,crop,elastic,brightness,contrast,noise"
        let (first, applied) = try Self.apply(text, to: image, seed: 5, draw: 3)
        let again = try Self.apply(text, to: image, seed: 5, draw: 3)
        #expect(again.0 == first && again.1 == applied)
        #expect(applied.map(\.name).prefix(4) == ["flip-x", "rotate", "scale", "shift"])
        #expect(applied.count == 9)
        #expect(try Self.apply(text, to: image, seed: 6, draw: 3).1 != applied)
        #expect(try Self.apply(text, to: image, seed: 5, draw: 4).1 != applied)
        #expect(
            try Self.apply("flip-x,classic", to: image, seed: 5, draw: 3).1
                == Array(applied.prefix(4))
        )
    }

    @Test("half of the flips are done")
    func chance() throws {
        let image = Self.image(height: 2, width: 2)
        let count = try (0..<400).count { draw in
            try Self.apply("flip-x", to: image, draw: draw).1[0].values["flipped"] == .flag(true)
        }
        #expect((160...240).contains(count))
    }
}
