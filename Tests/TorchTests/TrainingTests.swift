import TestSupport
import Testing
import Torch

/// A small convolutional VAE of Torch's own layers, the one of `training` in `Tools/reference.py`.
private struct SmallVAE {
    let parameters: Parameters
    private let encoder: [HalvingConvolution]
    private let mean: Linear
    private let logVariance: Linear
    private let expand: Linear
    private let decoder: [DoublingConvolution]

    init(seed: UInt64 = 0) throws {
        parameters = Parameters(device: .cpu, generator: Generator(seed: seed))
        let root = parameters.root
        encoder = [
            try HalvingConvolution(root["encoder"]["0"], inputs: 1, outputs: 4),
            try HalvingConvolution(root["encoder"]["1"], inputs: 4, outputs: 8),
        ]
        mean = try Linear(root["mean"], inputs: 128, outputs: 3)
        logVariance = try Linear(root["log_variance"], inputs: 128, outputs: 3)
        expand = try Linear(root["expand"], inputs: 3, outputs: 128)
        decoder = [
            try DoublingConvolution(root["decoder"]["0"], inputs: 8, outputs: 4),
            try DoublingConvolution(root["decoder"]["1"], inputs: 4, outputs: 1),
        ]
    }

    /// The negative ELBO of [B, 1, 16, 16] with noise [B, 3], in nats per image.
    func negativeELBO(of images: Tensor, noise: Tensor) throws -> Tensor {
        let batch = images.shape[0]
        var h = try encoder[0](images).relu()  // [B, 4, 8, 8]
        h = try encoder[1](h).relu().reshaped([batch, 128])
        let (m, v) = (try mean(h), try logVariance(h))  // [B, 3]
        let z = try m + (v * 0.5).exp() * noise
        h = try expand(z).relu().reshaped([batch, 8, 4, 4])
        h = try decoder[0](h).relu()  // [B, 4, 8, 8]
        let distortion = try binaryCrossEntropy(logits: decoder[1](h), target: images).sum()
        let rate = try (v.exp() + m.squared() - 1 - v).sum() * 0.5
        return try (distortion + rate) * (1 / Double(batch))
    }
}

@Suite("Training") struct TrainingTests {
    /// libtorch settles how many threads serve the calling one when it is first asked; a convolution
    /// before that may run on another number, and so sum in another order.
    init() { _ = Runtime.threadCount }

    private struct File: Decodable {
        struct Step: Decodable {
            let loss: Double
            let gradientNorm: Double
            enum CodingKeys: String, CodingKey { case loss, gradientNorm = "gradient_norm" }
        }
        let initial: [String: OracleArray]
        let inputs: OracleArray
        let noise: OracleArray
        let steps: [Step]
        let final: [String: OracleArray]
    }

    private static var decaying: AdamW.Configuration {
        var configuration = AdamW.Configuration()
        configuration.weightDecay = 0.01
        return configuration
    }

    @Test("ten steps of a small VAE are those of PyTorch in Python")
    func tenSteps() throws {
        let file: File = try Fixtures.expected("training.json")
        let vae = try SmallVAE()
        #expect(Set(vae.parameters.entries.map(\.path)) == Set(file.initial.keys))
        try vae.parameters.load(
            file.initial.mapValues { HostTensor(shape: $0.shape, values: $0.values) })
        let images = try Tensor(file.inputs.values, shape: file.inputs.shape)
        let noise = try Tensor(file.noise.values, shape: file.noise.shape)
        let optimizer = try AdamW(vae.parameters.tensors(), configuration: Self.decaying)

        #expect(file.steps.count == 10)
        for (index, step) in file.steps.enumerated() {
            let draw = try noise.narrowed(axis: 0, start: index, length: 1).reshaped([6, 3])
            let loss = try vae.negativeELBO(of: images, noise: draw)
            try loss.backward()
            let norm = try optimizer.clipGradientNorm(maximum: 1)
            try optimizer.step(learningRate: 1e-3)
            // Sums of 1500 float32 terms; the order of summation depends on the processor.
            #expect(abs(try loss.item() - step.loss) < 1e-5 * step.loss)
            #expect(abs(norm - step.gradientNorm) < 1e-4 * step.gradientNorm)
        }
        let values = try vae.parameters.values()
        for (path, expected) in file.final {
            let value = try #require(values[path])
            #expect(value.shape == expected.shape)
            // Weights have moved by up to 1e-2.
            #expect(
                mismatch(value.values, expected.values, absolute: 1e-5) == nil, "\(path)")
        }
    }

    @Test("the same seed trains to the same bytes")
    func determinism() throws {
        func train() throws -> [UInt8] {
            let vae = try SmallVAE(seed: 3)
            let optimizer = try AdamW(vae.parameters.tensors())
            try Self.run(0..<4, vae, optimizer)
            return try Safetensors(metadata: [:], tensors: vae.parameters.values()).encoded()
        }
        #expect(try train() == train())
    }

    @Test("a run that was stored and loaded continues bit by bit")
    func resume() throws {
        let straight = try SmallVAE(seed: 1)
        let straightOptimizer = try AdamW(
            straight.parameters.tensors(), configuration: Self.decaying)
        try Self.run(0..<6, straight, straightOptimizer)

        let first = try SmallVAE(seed: 1)
        let firstOptimizer = try AdamW(first.parameters.tensors(), configuration: Self.decaying)
        try Self.run(0..<3, first, firstOptimizer)
        let weights = try Safetensors(metadata: [:], tensors: first.parameters.values()).encoded()
        let state = try Safetensors(metadata: [:], tensors: firstOptimizer.state()).encoded()

        // Another seed: nothing of its own may be left after loading.
        let second = try SmallVAE(seed: 2)
        let secondOptimizer = try AdamW(second.parameters.tensors(), configuration: Self.decaying)
        try Self.run(7..<8, second, secondOptimizer)
        try second.parameters.load(Safetensors(decoding: weights).tensors)
        try secondOptimizer.load(Safetensors(decoding: state).tensors)
        try Self.run(3..<6, second, secondOptimizer)

        #expect(try second.parameters.values() == straight.parameters.values())
        #expect(try secondOptimizer.state() == straightOptimizer.state())
    }

    private static func run(_ steps: Range<UInt64>, _ vae: SmallVAE, _ optimizer: AdamW) throws {
        for step in steps {
            var generator = Generator(seed: 11, step)
            let images = try Tensor(
                (0..<5 * 256).map { _ in generator.uniform() }, shape: [5, 1, 16, 16])
            let noise = try Tensor(generator.normals(15), shape: [5, 3])
            try vae.negativeELBO(of: images, noise: noise).backward()
            _ = try optimizer.clipGradientNorm(maximum: 1)
            try optimizer.step(learningRate: 1e-2)
        }
    }
}

@Suite("AdamW") struct AdamWTests {
    private static func leaf(_ values: [Float]) throws -> Tensor {
        let tensor = try Tensor(values, shape: [values.count])
        try tensor.requireGradient()
        return tensor
    }

    @Test("the first step moves each weight by the learning rate against its gradient's sign")
    func firstStep() throws {
        let x = try Self.leaf([1, 1, 1])
        let optimizer = try AdamW([x])
        try (x * Tensor([5, -0.01, 0], shape: [3])).sum().backward()
        try optimizer.step(learningRate: 0.1)
        #expect(mismatchIsNil(try x.floats(), [0.9, 1.1, 1]))
        #expect(try x.gradient() == nil)
    }

    @Test("decay is decoupled: a weight without gradient shrinks by rate times decay")
    func decay() throws {
        let x = try Self.leaf([2])
        var configuration = AdamW.Configuration()
        configuration.weightDecay = 0.5
        let optimizer = try AdamW([x], configuration: configuration)
        try (x * 0).sum().backward()
        try optimizer.step(learningRate: 0.1)
        #expect(mismatchIsNil(try x.floats(), [1.9]))
    }

    private func mismatchIsNil(_ found: [Float], _ expected: [Float]) -> Bool {
        mismatch(found, expected, absolute: 1e-6) == nil
    }

    @Test("clipping gives the joint norm and scales only what exceeds the maximum")
    func clipping() throws {
        let (x, y) = (try Self.leaf([0]), try Self.leaf([0, 0]))
        let optimizer = try AdamW([x, y])
        let loss = try (x * 3).sum() + (y * Tensor([0, 4], shape: [2])).sum()
        try loss.backward()
        #expect(try optimizer.clipGradientNorm(maximum: 10) == 5)
        #expect(try x.gradient()?.floats() == [3])
        #expect(try optimizer.clipGradientNorm(maximum: 1) == 5)
        let clipped = try #require(try x.gradient()).floats() + #require(try y.gradient()).floats()
        #expect(mismatchIsNil(clipped, [0.6, 0, 0.8]))
    }

    @Test("a step without gradients throws and changes nothing")
    func withoutGradient() throws {
        let (x, y) = (try Self.leaf([1]), try Self.leaf([2]))
        let optimizer = try AdamW([x, y])
        try x.sum().backward()
        let before = try optimizer.state()
        let error = try #require(throws: TorchError.self) {
            try optimizer.step(learningRate: 0.1)
        }
        #expect(error.description == "parameter 1 of 2 has no gradient")
        #expect(throws: TorchError.self) { try optimizer.clipGradientNorm(maximum: 1) }
        #expect(try optimizer.state() == before)
        #expect(try x.floats() == [1])
    }

    @Test("a state that lacks an entry or has another shape is refused")
    func wrongState() throws {
        let optimizer = try AdamW([Self.leaf([1, 2])])
        var state = try optimizer.state()
        #expect(Set(state.keys) == ["first_moment.0", "second_moment.0", "step_count.0"])
        state["second_moment.0"] = HostTensor(shape: [3], values: [0, 0, 0])
        let error = try #require(throws: TorchError.self) { try optimizer.load(state) }
        #expect(error.code == .weights)
        #expect(error.description.contains("second_moment.0"))
        #expect(throws: TorchError.self) { try optimizer.load([:]) }
    }
}
