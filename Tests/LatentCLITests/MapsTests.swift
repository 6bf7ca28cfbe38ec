import Foundation
import Media
import TestSupport
import Testing

@Suite("Maps from the command line")
struct MapsTests {
    private static let inbox = Fixtures.path("images/inbox")

    /// A model for images that was calibrated for maps, and one for recordings.
    private static let imagesResult = Result {
        try TrainedModels.Trained(
            on: TrainedModels.shapes,
            TrainedModels.tiny + [
                "--for", "detection", "--deform-steps", "0", "--calibration", "0.2",
            ])
    }
    private static let soundResult = Result {
        try TrainedModels.Trained(
            on: TrainedModels.sounds,
            TrainedModels.tiny + [
                "--for", "detection", "--deform-steps", "0", "--mels", "16", "--calibration", "0.3",
            ])
    }
    private func images() throws -> String { try Self.imagesResult.get().path }
    private func sound() throws -> String { try Self.soundResult.get().path }

    private func save(_ image: Image, _ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path,
            withIntermediateDirectories: true)
        try FileBytes.write(image.pngData(), to: path, overwrite: true)
    }

    private func image(_ width: Int, _ height: Int, channels: Int, bits: Int) -> Image {
        let count = width * height * channels
        return Image(
            planar: (0..<count).map { Float($0 * 7919 % 101) / 100 }, channelCount: channels,
            height: height, width: width, bitDepth: bits)
    }

    @Test("each image has a grey map of its size and an overlay; a file alone gives the same bytes")
    func maps() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.run(
            "score", "-m", try images(), Self.inbox, "--maps", folder / "new/maps", "--quiet")
        #expect(run.status == 0, "\(run.errors)")
        let written = try contents(below: folder / "new/maps")
        #expect(written.count == 40)
        #expect(!run.output.contains("segments"))
        let odd = "odd-ring"
        let map = try Image(contentsOf: folder / "new/maps/\(odd).png")
        let source = try Image(contentsOf: "\(Self.inbox)/\(odd).png")
        #expect(map.channelCount == 1 && map.bitDepth == 16)
        #expect(map.width == source.width && map.height == source.height)
        let overlay = try Image(contentsOf: folder / "new/maps/\(odd)_overlay.png")
        #expect(overlay.channelCount == 3 && overlay.width % source.width == 0)

        let plain = try Tool.run("score", "-m", try images(), Self.inbox, "--quiet")
        #expect(plain.output == run.output)
        let alone = try Tool.run(
            "score", "-m", try images(), "\(Self.inbox)/\(odd).png", "--maps", folder / "alone",
            "--batch", "1", "--draws", "3", "--quiet")
        #expect(alone.status == 0, "\(alone.errors)")
        let single = try contents(below: folder / "alone")
        #expect(Set(single.keys) == ["\(odd).png", "\(odd)_overlay.png"])
        for (name, bytes) in single { #expect(bytes == written[name]) }

        // The share of the contour changes the overlay, not the scale.
        let wide = try Tool.run(
            "score", "-m", try images(), "\(Self.inbox)/\(odd).png", "--maps", folder / "wide",
            "--map-alarms", "0.3", "--quiet")
        #expect(wide.status == 0, "\(wide.errors)")
        let other = try contents(below: folder / "wide")
        #expect(other["\(odd).png"] == single["\(odd).png"])
        #expect(other["\(odd)_overlay.png"] != single["\(odd)_overlay.png"])
    }

    @Test("odd sizes, 16 bits, colour and transparency are mapped; a broken file has its line")
    func kinds() throws {
        let folder = try TemporaryFolder()
        for (name, width, height, channels, bits) in [
            ("odd", 37, 23, 1, 8), ("deep", 64, 65, 1, 16), ("rgba", 40, 31, 4, 8),
            ("rgba16", 33, 33, 4, 16), ("dot", 1, 1, 3, 8), ("wide", 200, 3, 2, 8),
        ] {
            try save(
                image(width, height, channels: channels, bits: bits), folder / "in/\(name).png")
        }
        try Data("no image".utf8).write(to: URL(fileURLWithPath: folder / "in/broken.png"))
        let run = try Tool.run(
            "score", "-m", try images(), folder / "in", "--maps", folder / "maps", "--quiet")
        #expect(run.status == 65)
        #expect(run.lines.count == 7 && run.output.contains("\"error\""))
        let written = try contents(below: folder / "maps")
        #expect(written.count == 12 && written["broken.png"] == nil)
        for name in ["odd", "deep", "rgba", "rgba16", "dot", "wide"] {
            let source = try Image(contentsOf: folder / "in/\(name).png")
            let map = try Image(contentsOf: folder / "maps/\(name).png")
            #expect(map.width == source.width && map.height == source.height)
            #expect(map.channelCount == 1 && map.bitDepth == 16)
        }
    }

    @Test("evaluate detection reads the maps as they are, whatever folder was scored")
    func evaluated() throws {
        let folder = try TemporaryFolder()
        for (index, name) in ["good/a", "good/b", "odd/a"].enumerated() {
            var picture = image(32, 32, channels: 1, bits: 8)
            if index == 2 {
                var samples = picture.samples
                for y in 8..<20 { for x in 8..<20 { samples[y * 32 + x] = 255 } }
                picture = Image(
                    width: 32, height: 32, channelCount: 1, bitDepth: 8, samples: samples)
                let mask = (0..<1024).map { place -> UInt16 in
                    (8..<20).contains(place / 32) && (8..<20).contains(place % 32) ? 255 : 0
                }
                try save(
                    Image(width: 32, height: 32, channelCount: 1, bitDepth: 8, samples: mask),
                    folder / "data/ground_truth/odd/a.png")
            }
            try save(picture, folder / "data/test/\(name).png")
        }
        try FileManager.default.createDirectory(
            atPath: folder / "data/train", withIntermediateDirectories: true)
        var figures: [[Double]] = []
        for (index, data) in ["data/test", "data"].enumerated() {
            let scored = try Tool.run(
                "score", "-m", try images(), folder / data, "--maps", folder / "maps\(index)",
                "--quiet")
            #expect(scored.status == 0, "\(scored.errors)")
            let evaluated = try Tool.run(
                [
                    "evaluate", "detection", "--maps", folder / "maps\(index)", "--masks",
                    folder / "data/ground_truth", "--quiet",
                ], input: scored.output)
            #expect(evaluated.status == 0, "\(evaluated.errors)")
            figures.append(
                try evaluated.lines.map { try object($0) }.filter {
                    ["pixel_auroc", "aupro_0.3"].contains($0["metric"] as? String)
                }.compactMap { $0["value"] as? Double })
        }
        #expect(figures[0].count == 2 && figures[0] == figures[1])
    }

    @Test("files of one name do not take each other's maps, and nothing leaves the folder")
    func names() throws {
        let folder = try TemporaryFolder()
        let names = ["a/x.png", "b/x.png", "b/x_overlay.png", "c/deep/x.PNG"]
        for (index, name) in names.enumerated() {
            try save(image(20 + index, 20, channels: 1, bits: 8), folder / name)
        }
        let paths = names.map { folder / $0 } + [folder / "a/../b/../a/x.png", folder / "a/x.png"]
        let run = try Tool.run(
            ["score", "-m", try images(), "-", "--maps", folder / "maps", "--quiet"],
            input: paths.joined(separator: "\n"))
        #expect(run.status == 0, "\(run.errors)")
        let written = try contents(below: folder / "maps")
        let widths = try written.keys.filter {
            !$0.contains("_overlay") || $0.contains("_overlay/")
        }
        .map { try Image(contentsOf: folder / "maps/\($0)").width }
        #expect(Set(widths) == [20, 21, 23])
        #expect(written.count == 10)
        let beside = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(Set(beside) == ["a", "b", "c", "maps"])

        // A folder in the tree of maps that is a link is not followed.
        try FileManager.default.createDirectory(
            atPath: folder / "linked", withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: folder / "linked/deep", withDestinationPath: folder / "a")
        let linked = try Tool.run(
            "score", "-m", try images(), folder / "c", "--maps", folder / "linked", "--quiet")
        #expect(linked.status == 74 && linked.errorLines.count == 1)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder / "a") == ["x.png"])
    }

    @Test("nothing is replaced without --force, and no input ever")
    func force() throws {
        let folder = try TemporaryFolder()
        try save(image(20, 20, channels: 1, bits: 8), folder / "in/x.png")
        let flags = ["score", "-m", try images(), folder / "in", "--quiet", "--maps"]
        #expect(try Tool.run(flags + [folder / "maps"]).status == 0)
        let before = try contents(below: folder / "maps")
        let again = try Tool.run(flags + [folder / "maps"])
        #expect(again.status == 74 && again.errorLines.count == 1)
        #expect(again.errors.contains("--force"))
        try Data("old".utf8).write(to: URL(fileURLWithPath: folder / "maps/x.png"))
        #expect(try Tool.run(flags + [folder / "maps", "--force"]).status == 0)
        #expect(try contents(below: folder / "maps") == before)

        let source = try Data(contentsOf: URL(fileURLWithPath: folder / "in/x.png"))
        for target in ["in", "in/maps", "."] {
            let run = try Tool.run(flags + [folder / target, "--force"])
            #expect(run.status == 74 && run.errorLines.count == 1, "\(run.errors)")
            #expect(run.errors.contains("overlap"))
        }
        let listed = try Tool.run(
            ["score", "-m", try images(), "-", "--maps", folder / "in", "--force", "--quiet"],
            input: folder / "in/x.png")
        #expect(listed.status == 74 && listed.errorLines.count == 1)
        #expect(try contents(below: folder / "in") == ["x.png": source])
        try Data("a file".utf8).write(to: URL(fileURLWithPath: folder / "file"))
        let file = try Tool.run(flags + [folder / "file"])
        #expect(file.status == 74 && file.errorLines.count == 1)
    }

    @Test("a model that was not calibrated for maps is refused, and calibrate mends it")
    func uncalibrated() throws {
        let folder = try TemporaryFolder()
        let model = try TrainedModels.images().path
        let refused = try Tool.run(
            "score", "-m", model, Self.inbox, "--maps", folder / "maps", "--quiet")
        #expect(refused.status == 64 && refused.errorLines.count == 1 && refused.output.isEmpty)
        #expect(refused.errors.contains("latent calibrate"))
        #expect(!FileManager.default.fileExists(atPath: folder / "maps"))
        let calibrated = try Tool.run(
            "calibrate", "-m", model, TrainedModels.shapes, "-o", folder / "new", "--quiet")
        #expect(calibrated.status == 0, "\(calibrated.errors)")
        let mapped = try Tool.run(
            "score", "-m", folder / "new", Self.inbox, "--maps", folder / "maps", "--quiet")
        #expect(mapped.status == 0, "\(mapped.errors)")
        #expect(try contents(below: folder / "maps").count == 40)

        // Pooled with the old, the scale stays; the record says of how many files it is.
        let pooled = try Tool.run(
            "calibrate", "-m", folder / "new", Self.inbox, "--in-place", "--add", "--quiet")
        #expect(pooled.status == 0, "\(pooled.errors)")
        let record = try object(
            try Tool.run("inspect", folder / "new", "--format", "json").output)
        let elements = (record["maps"] as? [String: Any])?["elements"] as? [String: Any]
        #expect(elements?["fileCount"] as? Int == 140)
        let rare = try Tool.run(
            "score", "-m", folder / "new", Self.inbox, "--maps", folder / "rare", "--map-alarms",
            "1e-12", "--quiet")
        #expect(rare.status == 64 && rare.errorLines.count == 1)
        #expect(rare.errors.contains("at least"))
    }

    @Test("a recording has a picture, and the stretches that stand out in its line")
    func sounds() throws {
        let folder = try TemporaryFolder()
        let normal = try Audio(contentsOf: files(in: Fixtures.path("audio/sounds/tone"))[0])
        var samples = normal.samples
        while samples.count < 3 * normal.sampleRate { samples += normal.samples }
        // A burst of noise in the middle.
        for index in normal.sampleRate..<normal.sampleRate * 2 {
            samples[index] = Float(index * 7919 % 1009) / 1009 - 0.5
        }
        let audio = Audio(
            sampleRate: normal.sampleRate, channelCount: 1, samples: samples, encoding: "PCM16")
        let duration = Double(samples.count) / Double(normal.sampleRate)
        try FileBytes.write(try audio.wavData(.float32), to: folder / "x.wav", overwrite: false)
        let run = try Tool.run(
            "score", "-m", try sound(), folder / "x.wav", Fixtures.path("audio/inbox"), "--maps",
            folder / "maps", "--map-alarms", "0.05", "--quiet")
        #expect(run.status == 0, "\(run.errors)")
        let lines = try run.lines.map { try object($0) }
        #expect(lines.allSatisfy { $0["segments"] is [[String: Any]] })
        #expect(try contents(below: folder / "maps").count == lines.count)
        let picture = try Image(contentsOf: folder / "maps/x.png")
        #expect(picture.channelCount == 3 && picture.width > 400)
        let segments = try #require(lines[0]["segments"] as? [[String: Any]])
        for segment in segments {
            let start = try #require(segment["start_s"] as? Double)
            let end = try #require(segment["end_s"] as? Double)
            let pValue = try #require(segment["p_value"] as? Double)
            #expect(start >= 0 && start < end && end <= duration + 1e-9)
            #expect(pValue > 0 && pValue <= 1 && segment["score"] is Double)
        }
        // The burst is from 1 s to 2 s.
        let found = try #require(segments.first)
        #expect(segments.count == 1)
        #expect(abs((found["start_s"] as? Double ?? 0) - 1) < 0.1)
        #expect(abs((found["end_s"] as? Double ?? 0) - 2) < 0.1)
        // A share that so few recordings cannot promise is extrapolated, which is said.
        let rare = try Tool.run(
            "score", "-m", try sound(), folder / "x.wav", "--maps", folder / "rare")
        #expect(rare.status == 0 && rare.errors.contains("it takes 199"), "\(rare.errors)")
        let again = try Tool.run(
            "score", "-m", try sound(), folder / "x.wav", "--maps", folder / "again",
            "--map-alarms", "0.05", "--fdr", "0.2", "--quiet")
        #expect(
            try contents(below: folder / "again")["x.png"]
                == contents(below: folder / "maps")["x.png"])
        #expect(again.output.contains("\"segments\":["))
        let table = try Tool.run(
            "score", "-m", try sound(), folder / "x.wav", "--maps", folder / "csv", "--format",
            "csv", "--quiet")
        #expect(table.status == 0 && !table.output.contains("segments"))
    }

    @Test("options that go with --maps alone are refused without it")
    func usage() throws {
        for flags in [
            ["--force"], ["--map-alarms", "0.1"], ["--maps", "x", "--map-alarms", "0"],
            ["--maps", "x", "--map-alarms", "1"], ["--maps", ""],
        ] {
            let run = try Tool.run(["score", "-m", try images(), Self.inbox] + flags)
            #expect(run.status == 64 && run.errorLines.count == 1, "\(flags): \(run.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: "x"))
    }
}
