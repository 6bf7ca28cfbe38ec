import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Conditioning") struct ConditioningTests {
    private static func item(_ path: String, _ attributes: String?...) -> Item {
        Item(path: path, relativePath: path, label: nil, split: nil, attributes: attributes)
    }

    /// Three digits, two speakers; one combination is missing, and one comes twice.
    private static func conditioning() throws -> Conditioning {
        try Conditioning(
            names: ["digit", "speaker"],
            of: [
                item("a", "7", "theo"), item("b", "0", "ada"), item("c", "10", "theo"),
                item("d", "0", "theo"), item("e", "7", "theo"), item("f", "7", "ada"),
            ])
    }

    @Test("values are sorted, and combinations those that were seen, once each")
    func values() throws {
        let conditioning = try Self.conditioning()
        #expect(conditioning.names == ["digit", "speaker"])
        #expect(conditioning.attributes.map(\.values) == [["0", "10", "7"], ["ada", "theo"]])
        #expect(conditioning.count == 5)
        #expect(conditioning.combinations == [[0, 0], [0, 1], [1, 1], [2, 0], [2, 1]])
    }

    @Test("codes, one-hot vectors and labels of items")
    func codes() throws {
        let conditioning = try Self.conditioning()
        #expect(try conditioning.codes(of: Self.item("x", "7", "ada")) == [2, 0])
        #expect(
            conditioning.oneHot([[2, 0], [0, 1]]) == [0, 0, 1, 1, 0] + [1, 0, 0, 0, 1])
        #expect(conditioning.label(of: [1, 1]) == "digit=10,speaker=theo")
        #expect(conditioning.values(of: [1, 1]) == ["digit": "10", "speaker": "theo"])
        let single = try Conditioning(
            names: ["class"], of: [Self.item("a", "cat"), Self.item("b", "dog")])
        #expect(single.label(of: [1]) == "dog")
    }

    @Test("an unknown value is refused with those that are known, twenty of many")
    func unknown() throws {
        func hint(of count: Int) throws -> String {
            let items = (0..<count).map { Self.item("\($0)", String(format: "v%02d", $0)) }
            let conditioning = try Conditioning(names: ["kind"], of: items)
            let error = try #require(throws: LatentError.self) {
                try conditioning.codes(of: Self.item("x", "other"))
            }
            #expect(error.code == .data)
            #expect(error.message.contains("other"))
            return error.description
        }
        let few = try hint(of: 20)
        #expect(few.contains("v00") && few.contains("v19") && !few.contains("more"))
        let many = try hint(of: 23)
        #expect(many.contains("v19") && !many.contains("v20") && many.contains("3 more"))
    }

    @Test("an item without an attribute is refused, in training with how many others")
    func missing() throws {
        let error = try #require(throws: LatentError.self) {
            try Conditioning(
                names: ["digit", "speaker"],
                of: [
                    Self.item("a", "1", "x"), Self.item("b", "1", nil), Self.item("c", "2", nil),
                    Self.item("d", nil, "x"),
                ])
        }
        #expect(error.code == .data)
        // Two files lack a speaker and one a digit; the first attribute is reported first.
        #expect(error.path == "d" && error.description.contains("digit"))
        let later = try #require(throws: LatentError.self) {
            try Conditioning(
                names: ["speaker"],
                of: [Self.item("a", "x"), Self.item("b", nil), Self.item("c", nil)])
        }
        #expect(later.path == "b" && later.description.contains("1 other"))
        let known = try Self.conditioning()
        for item in [Self.item("e", "7", nil), Self.item("f", "7")] {
            let error = try #require(throws: LatentError.self) { try known.codes(of: item) }
            #expect(error.code == .data && error.description.contains("speaker"))
        }
    }

    @Test("assignments give codes, and leave open what they do not name")
    func assignments() throws {
        let conditioning = try Self.conditioning()
        #expect(try conditioning.codes(ofAssignments: ["speaker": "theo"]) == [nil, 1])
        #expect(try conditioning.codes(ofAssignments: [:]) == [nil, nil])
        #expect(
            try conditioning.codes(ofAssignments: ["digit": "10", "speaker": "ada"]) == [1, 0])
        for (assignments, texts) in [
            (["spaeker": "theo"], ["spaeker", "digit, speaker"]),
            (["speaker": "eve"], ["eve", "ada, theo"]),
        ] {
            let error = try #require(throws: LatentError.self) {
                try conditioning.codes(ofAssignments: assignments)
            }
            #expect(error.code == .usage)
            for text in texts { #expect(error.description.contains(text)) }
        }
    }

    @Test("what is assigned comes before what an item has, which may then be missing or unknown")
    func assigned() throws {
        let conditioning = try Self.conditioning()
        let item = Self.item("x", "eleven", "ada")
        #expect(try conditioning.codes(of: item, assigned: [1, nil]) == [1, 0])
        #expect(try conditioning.codes(of: Self.item("y"), assigned: [2, 1]) == [2, 1])
        #expect(throws: LatentError.self) {
            try conditioning.codes(of: item, assigned: [nil, nil])
        }
    }

    @Test("it is saved and read back, and a file's wrong combinations are refused")
    func coding() throws {
        let conditioning = try Self.conditioning()
        let data = try JSONEncoder().encode(conditioning)
        #expect(try JSONDecoder().decode(Conditioning.self, from: data) == conditioning)
        #expect(throws: Never.self) { try conditioning.validate() }
        for combinations in ["[[0]]", "[[0,2]]", "[[-1,0]]", "[[0,0,0]]"] {
            let text = """
                {"attributes":[{"name":"a","values":["x"]},{"name":"b","values":["y","z"]}],
                "combinations":\(combinations)}
                """
            let read = try JSONDecoder().decode(Conditioning.self, from: Data(text.utf8))
            #expect(throws: LatentError.self) { try read.validate() }
        }
    }

    @Test("names of files are no classes: too many values are refused")
    func limit() throws {
        let items = (0...Conditioning.valueLimit).map { Self.item("\($0)", "\($0)") }
        #expect(throws: Never.self) { try Conditioning(names: ["a"], of: Array(items.dropLast())) }
        let error = try #require(throws: LatentError.self) {
            try Conditioning(names: ["a"], of: items)
        }
        #expect(error.code == .usage && error.description.contains("4097"))
    }
}

@Suite("Conditional VAE") struct ConditionalModelTests {
    private struct File: Decodable {
        let weights: [String: OracleArray]
        let x, noise, mean, logVariance, decoded, logPrior, kl: OracleArray
        let codes: [[Int]]
        enum CodingKeys: String, CodingKey {
            case weights, x, noise, mean, decoded, codes, kl
            case logVariance = "log_variance"
            case logPrior = "log_prior"
        }
    }

    private let file: File = try! Fixtures.expected("conditional.json")

    private static let conditioning: Conditioning = {
        let items = ["a", "b", "c"].flatMap { digit in
            ["u", "v"].map { speaker in
                Item(
                    path: digit + speaker, relativePath: "", label: nil, split: nil,
                    attributes: [digit, speaker])
            }
        }
        return try! Conditioning(names: ["digit", "speaker"], of: items)
    }()

    private func model() throws -> VAE {
        var configuration = VAEConfiguration.tiny(height: 2, width: 3, widths: [4], latentCount: 2)
        configuration.conditioning = Self.conditioning
        let model = try VAE(configuration, device: .cpu, seed: 1)
        try model.parameters.load(
            file.weights.mapValues { HostTensor(shape: $0.shape, values: $0.values) })
        return model
    }

    @Test("posterior and decoded mean are those of the same network in PyTorch")
    func pass() throws {
        let model = try model()
        #expect(Set(model.parameters.entries.map(\.path)) == Set(file.weights.keys))
        let inference = try model.infer(
            file.x.tensor, condition: model.condition(file.codes), noise: file.noise.tensor)
        let posterior = inference.layers[0].posterior
        for (found, expected) in [
            (posterior.mean, file.mean), (posterior.logVariance, file.logVariance),
            (inference.output, file.decoded),
            (try inference.layers[0].prior.logProbability(of: inference.z), file.logPrior),
            (try inference.divergence(), file.kl),
        ] {
            #expect(
                mismatch(try found.floats(), expected.values, absolute: 1e-5, relative: 1e-5)
                    == nil)
        }
    }

    @Test("draws from the prior of a label have its mixture's moments")
    func priorDraws() throws {
        let model = try model()
        let count = 20_000
        var generator = Generator(seed: 4)
        let condition = try model.condition([[Int]](repeating: [2, 1], count: count))
        let z = try model.priorLatents(
            noise: Tensor(generator.normals(2 * count), shape: [count, 2]),
            choices: (0..<count).map { _ in generator.uniform() }, condition: condition
        ).floats()
        // The sums of the two values' rows, by hand.
        let logits = (0..<10).map { k in
            [2, 4].reduce(0.0) { $0 + Double(file.weights["prior.weights"]!.values[$1 * 10 + k]) }
        }
        let weights = logits.map { exp($0) / logits.reduce(0) { $0 + exp($1) } }
        for dimension in 0..<2 {
            var (mean, square) = (0.0, 0.0)
            for (k, weight) in weights.enumerated() {
                func row(_ place: Int) -> Double {
                    [2, 4].reduce(0.0) {
                        $0
                            + Double(
                                file.weights["prior.components"]!.values[$1 * 40 + k * 4 + place])
                    }
                }
                mean += weight * row(dimension)
                square += weight * (row(dimension) * row(dimension) + exp(row(2 + dimension)))
            }
            let values = (0..<count).map { Double(z[2 * $0 + dimension]) }
            let found = values.reduce(0, +) / Double(count)
            let foundSquare = values.reduce(0) { $0 + $1 * $1 } / Double(count)
            #expect(abs(found - mean) < 5 * (square / Double(count)).squareRoot())
            #expect(abs(foundSquare - square) < 0.1 * square)
        }
    }

    @Test("several draws of a window share its label")
    func draws() throws {
        let model = try model()
        let noise = try file.noise.tensor.repeatedInterleaved(2)
        let found = try model.infer(
            file.x.tensor, condition: model.condition(file.codes), noise: noise, drawCount: 2
        ).output.floats()
        let expected = try file.decoded.tensor.repeatedInterleaved(2).floats()
        #expect(mismatch(found, expected, absolute: 1e-5, relative: 1e-5) == nil)
    }

    @Test("encoder and decoder depend on each label", arguments: [1, 3], [0, 1])
    func dependence(layerCount: Int, attribute: Int) throws {
        var configuration = VAEConfiguration.tiny(
            height: 4, width: 4, architecture: .resnet, widths: [3, 2], latentCount: 2)
        configuration.layerCount = layerCount
        configuration.conditioning = Self.conditioning
        let model = try VAE(configuration, device: .cpu, seed: 2)
        var other = [0, 0]
        other[attribute] = 1
        let x = try Tensor.full(0.3, shape: [2, 1, 4, 4])
        let noise = try Tensor.zeros(shape: [2, model.noiseCount])
        func halvesDiffer(_ tensor: Tensor) throws -> Bool {
            let values = try tensor.floats()
            // The rows of a batch may be rounded differently.
            return zip(values.prefix(values.count / 2), values.suffix(values.count / 2))
                .contains { abs($0 - $1) > 1e-5 * max(1, abs($0)) }
        }
        let (same, apart) = (
            try model.condition([[0, 0], [0, 0]]), try model.condition([[0, 0], other])
        )
        #expect(try !halvesDiffer(model.latents(of: x, condition: same)))
        #expect(try halvesDiffer(model.latents(of: x, condition: apart)))
        let top = try model.infer(x, condition: apart, noise: noise).layers[0].posterior
        #expect(try halvesDiffer(top.mean) && halvesDiffer(top.logVariance))
        #expect(try !halvesDiffer(model.decode(noise, condition: same).mean))
        #expect(try halvesDiffer(model.decode(noise, condition: apart).mean))
    }

    @Test("gradients reach every parameter", arguments: [1, 3])
    func gradients(layerCount: Int) throws {
        var configuration = VAEConfiguration.tiny(
            height: 4, width: 4, architecture: .resnet, widths: [3, 2], latentCount: 2)
        configuration.layerCount = layerCount
        configuration.conditioning = Self.conditioning
        try expectGradientsEverywhere(configuration)
    }

    @Test("a model without labels has no condition")
    func unconditional() throws {
        #expect(try VAE(.tiny(), device: .cpu, seed: 1).condition([[], []]) == nil)
    }
}
