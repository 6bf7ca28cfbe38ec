import Testing
import Torch

@Suite("Parameters") struct ParametersTests {
    private static func store(seed: UInt64 = 0) -> Parameters {
        Parameters(device: .cpu, generator: Generator(seed: seed))
    }

    @Test("paths follow the scopes, in the order of registration")
    func paths() throws {
        let store = Self.store()
        _ = try Linear(store.root["encoder"]["0"], inputs: 2, outputs: 3)
        _ = try HalvingConvolution(store.root["decoder"], inputs: 2, outputs: 3)
        _ = try store.root.uniform("temperature", shape: [], bound: 1)
        #expect(
            store.entries.map(\.path) == [
                "encoder.0.weight", "encoder.0.bias", "decoder.weight", "decoder.bias",
                "temperature",
            ])
        #expect(
            store.entries.map(\.tensor.shape) == [[3, 2], [3], [3, 2, 4, 4], [3], []])
        #expect(store.tensors().count == 5)
        #expect(store.tensors(under: ["decoder.", "temperature"]).map(\.shape).count == 3)
        #expect(store.tensors(under: ["nothing"]).isEmpty)
    }

    @Test("layers begin uniform within 1/√fan-in, as PyTorch's")
    func initialValues() throws {
        let store = Self.store()
        let dense = try Linear(store.root["a"], inputs: 100, outputs: 50)
        let halving = try HalvingConvolution(store.root["b"], inputs: 4, outputs: 16)
        let doubling = try DoublingConvolution(store.root["c"], inputs: 16, outputs: 4)
        let layers: [(weight: Tensor, bias: Tensor, bound: Float)] = [
            (dense.weight, dense.bias, 0.1), (halving.weight, halving.bias, 0.125),
            (doubling.weight, doubling.bias, 0.125),
        ]
        for (weight, bias, bound) in layers {
            let weights = try weight.floats()
            let largest = try #require(weights.map(abs).max())
            #expect(largest <= bound && largest > 0.99 * bound)
            #expect(try bias.floats().allSatisfy { abs($0) <= bound })
            // The variance of U(-b, b) is b²/3; its standard error here is below 3 %.
            let variance = weights.reduce(0) { $0 + $1 * $1 } / Float(weights.count)
            #expect(abs(variance / (bound * bound / 3) - 1) < 0.1)
        }
    }

    @Test("equal generators give equal parameters, others give others")
    func determinism() throws {
        func values(seed: UInt64) throws -> [String: HostTensor] {
            let store = Self.store(seed: seed)
            _ = try Linear(store.root["a"], inputs: 5, outputs: 4)
            _ = try DoublingConvolution(store.root["b"], inputs: 2, outputs: 3)
            return try store.values()
        }
        #expect(try values(seed: 1) == values(seed: 1))
        #expect(try values(seed: 1) != values(seed: 2))
    }

    @Test("parameters are leaves that gradients reach")
    func leaves() throws {
        let store = Self.store()
        let layer = try Linear(store.root, inputs: 2, outputs: 1)
        try layer(Tensor([3, 4], shape: [1, 2])).sum().backward()
        #expect(try layer.weight.gradient()?.floats() == [3, 4])
        #expect(try layer.bias.gradient()?.floats() == [1])
    }

    @Test("a convolution halves and a transposed one doubles height and width")
    func layerShapes() throws {
        let store = Self.store()
        let halving = try HalvingConvolution(store.root["a"], inputs: 1, outputs: 3)
        let doubling = try DoublingConvolution(store.root["b"], inputs: 3, outputs: 2)
        let half = try halving(.zeros(shape: [2, 1, 12, 8]))
        #expect(half.shape == [2, 3, 6, 4])
        #expect(try doubling(half).shape == [2, 2, 12, 8])
    }

    @Test("values that were saved can be loaded, also those of a larger model")
    func load() throws {
        let saved = Self.store(seed: 1)
        _ = try Linear(saved.root["a"], inputs: 2, outputs: 2)
        _ = try Linear(saved.root["unused"], inputs: 3, outputs: 3)
        let loaded = Self.store(seed: 2)
        let layer = try Linear(loaded.root["a"], inputs: 2, outputs: 2)
        try loaded.load(saved.values())
        #expect(try layer.weight.floats() == saved.values()["a.weight"]?.values)
        #expect(try loaded.values()["a.bias"] == saved.values()["a.bias"])
        // Still leaves.
        try layer(.full(1, shape: [1, 2])).sum().backward()
        #expect(try layer.weight.gradient()?.floats() == [1, 1, 1, 1])
    }

    @Test("a missing path or another shape is named, and nothing has changed then")
    func loadErrors() throws {
        let store = Self.store()
        _ = try Linear(store.root["a"], inputs: 2, outputs: 3)
        let before = try store.values()
        let weight = HostTensor(shape: [3, 2], values: [Float](repeating: 9, count: 6))

        var error = try #require(throws: TorchError.self) {
            try store.load(["a.weight": weight])
        }
        #expect(error.code == .weights)
        #expect(error.description == "the weights lack a.bias")

        error = try #require(throws: TorchError.self) {
            try store.load([
                "a.weight": weight, "a.bias": HostTensor(shape: [1, 3], values: [9, 9, 9]),
            ])
        }
        #expect(error.code == .weights)
        #expect(error.description == "a.bias has shape [1, 3], expected [3]")
        #expect(try store.values() == before)
    }

    @Test("parameters that are shared have the same numbers and gradients of their own")
    func sharing() throws {
        let store = Self.store(seed: 3)
        let layer = try Linear(store.root["a"], inputs: 2, outputs: 1)
        let shared = Parameters(sharing: store)
        let other = try Linear(shared.root["a"], inputs: 2, outputs: 1)
        #expect(try shared.values() == store.values())
        try layer.weight.assign(Tensor([2, 3], shape: [1, 2]))
        #expect(try other.weight.floats() == [2, 3])

        // The slope of w·x in w is x.
        try other(Tensor([5, 7], shape: [1, 2])).sum().backward()
        #expect(try other.weight.gradient()?.floats() == [5, 7])
        #expect(try layer.weight.gradient() == nil)
        for expected: [Float] in [[5, 7], [6, 8]] {
            try Tensor.moveGradients(of: shared.tensors(), to: store.tensors())
            #expect(try layer.weight.gradient()?.floats() == expected)
            #expect(try other.weight.gradient() == nil)
            try other(Tensor([1, 1], shape: [1, 2])).sum().backward()
        }
    }
}
