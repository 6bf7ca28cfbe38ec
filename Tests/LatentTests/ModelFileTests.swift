import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("ModelFile") struct ModelFileTests {
    private let folder = try! TemporaryFolder()

    private func file(
        _ likelihood: LikelihoodKind = .gaussian, preprocessing: Preprocessing = .whole(),
        labels: [String] = ["cat", "dög"]
    ) throws -> ModelFile {
        let configuration = VAEConfiguration.tiny(
            height: preprocessing.windowing.height, width: preprocessing.windowing.width,
            widths: [3], latentCount: 2, likelihood: likelihood)
        let model = try VAE(configuration, device: .cpu, seed: 6)
        model.sharedLogScale = -3.5
        return try .tiny(model, preprocessing, labels: labels)
    }

    /// What reading some bytes gives: the error, or the contents.
    private func reading(_ bytes: [UInt8]) throws -> Result<ModelFile, any Error> {
        let path = try folder.write(bytes, to: "m.safetensors")
        return Result { try ModelFile.read(path).file }
    }

    private func error(_ bytes: [UInt8]) throws -> LatentError? {
        guard case .failure(let error) = try reading(bytes) else { return nil }
        return error as? LatentError
    }

    @Test(
        "a model comes back from its file as it was",
        arguments: [LikelihoodKind.bernoulli, .gaussian, .gaussianPerElement],
        [Preprocessing.whole(height: 6, width: 10), .grid(), .frames])
    func roundTrip(likelihood: LikelihoodKind, preprocessing: Preprocessing) throws {
        let file = try file(likelihood, preprocessing: preprocessing)
        try file.write(to: folder / "m", overwrite: false)
        let loaded = try ModelFile.read(folder / "m")
        #expect(loaded.file.record == file.record)
        #expect(loaded.file.weights == file.weights)
        #expect(loaded.hash == ContentHash(of: Array(try Data(at: folder / "m"))))
        let model = try loaded.file.model(on: .cpu)
        #expect(model.sharedLogScale == -3.5)
        var values = try model.parameters.values()
        values["likelihood.log_scale"] = HostTensor(shape: [1], values: [-3.5])
        #expect(values == file.weights)
        #expect(
            file.networkWeightCount
                == model.parameters.entries.reduce(0) { $0 + $1.tensor.count })
    }

    @Test("equal models give equal bytes, and an existing file is kept unless it may go")
    func bytes() throws {
        #expect(try file().encoded() == file().encoded())
        try file().write(to: folder / "m", overwrite: false)
        let other = try file(labels: ["x"])
        #expect(throws: (any Error).self) { try other.write(to: folder / "m", overwrite: false) }
        #expect(try Array(Data(at: folder / "m")) == file().encoded())
        try other.write(to: folder / "m", overwrite: true)
        #expect(try Array(Data(at: folder / "m")) == other.encoded())
    }

    @Test("a file that was cut short is refused as a broken model")
    func truncated() throws {
        let bytes = try file().encoded()
        let cuts = [0, 1, 7, 8, 9, 100, bytes.count / 2, bytes.count - 4, bytes.count - 1]
        for count in cuts {
            #expect(try error(Array(bytes.prefix(count)))?.code == .model, "\(count) bytes")
        }
        #expect(try error(bytes + [0])?.code == .model)
    }

    @Test("a flipped bit is found, wherever it is")
    func bitFlips() throws {
        let file = try file()
        let bytes = try file.encoded()
        var generator = Generator(seed: 12)
        // All bits of the length, and of the rest some.
        var bits =
            Array(0..<64) + (0..<300).map { _ in Int(generator.next() % UInt64(bytes.count * 8)) }
        bits += (0..<32).map { bytes.count * 8 - 1 - $0 }
        for bit in bits {
            var damaged = bytes
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            switch try reading(damaged) {
            case .failure(let error):
                #expect((error as? LatentError)?.code == .model, "bit \(bit): \(error)")
            case .success(let found):
                // Only what is no part of the contents may change: the padding of the header.
                #expect(found.weights == file.weights && found.record == file.record, "bit \(bit)")
            }
        }
    }

    /// The bytes of a file with other metadata, its checksum made anew.
    private func altered(_ change: (inout Safetensors) -> Void) throws -> [UInt8] {
        var contents = try Safetensors(decoding: file().encoded())
        change(&contents)
        contents.metadata["sha256"] = ModelFile.digest(contents)
        return try contents.encoded()
    }

    @Test("a file of another version of the format names both")
    func version() throws {
        let error = try #require(
            try error(altered { $0.metadata["format_version"] = "7" }))
        #expect(error.code == .model)
        #expect(error.message.contains("7") && error.message.contains("3"))
        #expect(try self.error(altered { $0.metadata["format_version"] = nil })?.code == .model)
    }

    @Test("other files are refused as no model")
    func otherFiles() throws {
        let foreign = Array(try Data(at: Fixtures.path("expected/weights.safetensors")))
        #expect(try error(foreign)?.code == .model)
        #expect(try error(foreign)?.message.contains("not a latent model") == true)
        let png = Array(try Data(at: Fixtures.path("images/inbox/odd-cross.png")))
        #expect(try error(png)?.code == .model)
        #expect(try error(Array("{}".utf8))?.code == .model)
        #expect(throws: (any Error).self) { try ModelFile.read(folder / "nothing") }
    }

    @Test(
        "a record that does not fit itself is refused",
        arguments: [
            ("\"latentCount\":2", "\"latentCount\":0"), ("\"height\":8", "\"height\":9"),
            ("\"stride\":4", "\"stride\":-4"), ("\"widths\":[3]", "\"widths\":[]"),
            ("\"likelihood\":\"gaussian\"", "\"likelihood\":\"cauchy\""),
            ("\"drawCount\":4", "\"drawCount\":\"4\""),
            ("\"drawCount\":4", "\"drawCount\":1000000"),
            ("\"drawCount\":4", "\"drawCount\":-4"),
            ("\"outputSize\":[8,8]", "\"outputSize\":[60000,60000]"),
            ("\"outputSize\":[8,8]", "\"outputSize\":[8]"),
            ("\"outputBitDepth\":8", "\"outputBitDepth\":4096"),
            ("\"channelCount\":1,\"height\":8", "\"channelCount\":64,\"height\":4096"),
            ("\"background\":0", "\"background\":7"),
            (":[-7,", ":[7,"), ("\"falseAlarmRate\":0.05", "\"falseAlarmRate\":5"),
        ])
    func inconsistentRecord(old: String, new: String) throws {
        let bytes = try altered {
            let record = $0.metadata["record"] ?? ""
            // The first place only: height stands in the network and in the windows.
            if let range = record.range(of: old) {
                $0.metadata["record"] = record.replacingCharacters(in: range, with: new)
            }
        }
        #expect(try bytes != file().encoded())
        #expect(try error(bytes)?.code == .model)
    }

    @Test(
        "an ensemble of scores that no file has is refused", arguments: ["ensemble", "regret"])
    func strangeEnsemble(kind: String) throws {
        var file = try file()
        for (name, isSound) in [("mse", true), (kind, false)] {
            let member = #"{"kind":"\#(name)","view":0,"meanLog":0,"deviation":1}"#
            file.record.ensemble = try JSONDecoder().decode(
                Ensemble.self, from: Data(#"{"members":[\#(member)]}"#.utf8))
            #expect(try (error(file.encoded()) == nil) == isSound, "\(name)")
        }
    }

    @Test("weights that do not fit the record are refused, and nothing is trained from scratch")
    func missingWeights() throws {
        for change: @Sendable (inout Safetensors) -> Void in [
            { $0.tensors["decoder.0.bias"] = nil },
            { $0.tensors["encoder.0.weight"] = HostTensor(shape: [1, 2], values: [0, 0]) },
        ] {
            let bytes = try altered(change)
            let error = try #require(throws: LatentError.self) {
                _ = try reading(bytes).get().model(on: .cpu)
            }
            #expect(error.code == .model && error.path == folder / "m.safetensors")
        }
    }

    @Test("numbers that are not finite are refused by name", arguments: [Float.nan, .infinity])
    func notFinite(value: Float) throws {
        for name in ["likelihood.log_scale", "decoder.0.bias"] {
            let bytes = try altered { contents in
                guard let old = contents.tensors[name] else { return }
                contents.tensors[name] = HostTensor(
                    shape: old.shape, values: [value] + old.values.dropFirst())
            }
            let error = try #require(try error(bytes))
            #expect(error.code == .model && error.path == folder / "m.safetensors")
            #expect(error.message.contains(name), "\(error)")
        }
    }

    @Test("fitted numbers of another shape are refused with the file's name")
    func fittedNumbers() throws {
        for (path, shape) in [
            ("score.residual.precision", [63]), ("score.latent.mean", [2]),
            ("density.0.weights", [1]), ("flow.location", [2]),
        ] {
            let bytes = try altered {
                $0.tensors[path] = HostTensor(
                    shape: shape, values: [Float](repeating: 1, count: shape[0]))
            }
            let file = try reading(bytes).get()
            let error = try #require(throws: LatentError.self) {
                if path.hasPrefix("score") { _ = try file.views(on: .cpu) }
                let model = try file.model(on: .cpu)
                let method: LatentSampling = path.hasPrefix("flow") ? .flow : .density
                _ = try Augmenter(
                    file: file, model: model, configuration: .init(method: method, count: 1))
            }
            #expect(error.code == .model && error.path == folder / "m.safetensors", "\(error)")
        }
    }

    @Test("a small file that claims a huge network is refused before it is built")
    func hugeClaim() throws {
        let bytes = try altered {
            $0.metadata["record"] = $0.metadata["record"]?.replacing(
                "\"widths\":[3]", with: "\"widths\":[65536,65536,65536]")
        }
        let error = try #require(throws: LatentError.self) {
            _ = try reading(bytes).get().model(on: .cpu)
        }
        #expect(error.code == .model)
    }
}
