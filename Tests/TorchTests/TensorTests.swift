import TestSupport
import Testing
import Torch

@Suite("Tensor") struct TensorTests {
    @Test("values, shape and count come back", arguments: [[], [0], [6], [2, 3], [3, 1, 2, 1]])
    func roundTrip(shape: [Int]) throws {
        let values = (0..<shape.reduce(1, *)).map { Float($0) - 1.5 }
        let tensor = try Tensor(values, shape: shape)
        #expect(tensor.shape == shape)
        #expect(tensor.count == values.count)
        #expect(try tensor.floats() == values)
        #expect(try tensor.device == .cpu)
    }

    @Test("a transposed tensor is read in its own row-major order")
    func transposed() throws {
        let tensor = try Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3]).transposed(0, 1)
        #expect(try tensor.floats() == [1, 4, 2, 5, 3, 6])
    }

    @Test("a count that does not fill the shape is an error of code shape")
    func countMismatch() throws {
        let error = try #require(throws: TorchError.self) { try Tensor([1, 2, 3], shape: [2, 2]) }
        #expect(error.code == .shape)
        #expect(error.description == "3 values do not fill shape [2, 2]")
    }

    @Test("shapes that do not broadcast throw libtorch's message, in one line")
    func broadcastMismatch() throws {
        let a = try Tensor.zeros(shape: [4, 2])
        let b = try Tensor.zeros(shape: [4, 3])
        let error = try #require(throws: TorchError.self) { try a + b }
        #expect(error.code == .operation)
        #expect(
            error.description
                == "The size of tensor a (2) must match the size of tensor b (3) at non-singleton "
                + "dimension 1")
    }

    @Test("every operation that is asked for the impossible throws one line")
    func impossible() throws {
        let matrix = try Tensor.zeros(shape: [2, 3])
        let calls: [() throws -> Any] = [
            { try matrix.reshaped([4, -1]) }, { try matrix.reshaped([-1, -1]) },
            { try matrix.transposed(0, 2) }, { try matrix.narrowed(axis: 1, start: 2, length: 2) },
            { try matrix.narrowed(axis: 1, start: 0, length: -1) },
            { try matrix.repeatedInterleaved(-1) }, { try matrix.padded([1], value: 0) },
            { try Tensor.concatenated([]) },
            { try Tensor.concatenated([matrix, .zeros(shape: [3, 3])], axis: 1) },
            { try matrix.sum(axes: [2]) }, { try matrix.mean(axes: [0, 0]) },
            { try matrix.logSumExp(axis: -3) }, { try matrix.matmul(matrix) },
            { try matrix.item() }, { try Tensor.zeros(shape: [0]).item() },
            { try Tensor.zeros(shape: [-1]) }, { try Tensor([1], shape: [-1, -1]) },
            { try matrix.assign(.zeros(shape: [3, 2])) },
            { try linear(matrix, weight: matrix.transposed(0, 1), bias: nil) },
            { try conv2d(matrix, weight: matrix, bias: nil, stride: 1, padding: 0) },
            { try resizedBilinear(matrix, height: 2, width: 2) },
            { try resizedBilinear(.zeros(shape: [1, 1, 2, 2]), height: 0, width: 2) },
            { try binaryCrossEntropy(logits: matrix, target: .zeros(shape: [3, 2])) },
            { try shortTimeFourier(matrix, fftLength: 0, hopLength: 0, window: matrix) },
            {
                try inverseShortTimeFourier(
                    matrix, fftLength: 4, hopLength: 2, window: hannWindow(4), length: 4)
            },
        ]
        for (index, call) in calls.enumerated() {
            let error = try #require(throws: TorchError.self, "call \(index)") { try call() }
            #expect(error.code == .operation, "call \(index)")
            #expect(!error.message.isEmpty && !error.message.contains("\n"), "call \(index)")
        }
    }

    @Test("an error does not outlive its call")
    func recovery() throws {
        let matrix = try Tensor.zeros(shape: [2, 3])
        #expect(throws: TorchError.self) { try matrix.matmul(matrix) }
        #expect(try (matrix + 1).sum().item() == 6)
    }

    @Test("an assigned tensor keeps its own storage")
    func assign() throws {
        let source = try Tensor([1, 2], shape: [2])
        let target = try Tensor.zeros(shape: [2])
        try target.assign(source)
        try source.assign(.zeros(shape: [2]))
        #expect(try target.floats() == [1, 2])
    }

    @Test(
        "one NaN or infinity is enough not to be finite",
        arguments: [(Float.nan, false), (.infinity, false), (-.infinity, false), (3e38, true)])
    func finiteness(value: Float, isFinite: Bool) throws {
        #expect(try Tensor([0, value, 1], shape: [3]).isFinite() == isFinite)
    }

    @Test("tensors that are dropped give their memory back")
    func release() throws {
        let before = peakMemory()
        for _ in 0..<50 { #expect(try Tensor.zeros(shape: [4000, 4000]).count == 16_000_000) }
        // 3.2 GB if they did not.
        #expect(peakMemory() - before < 1_500_000_000)
    }
}

@Suite("Device") struct DeviceTests {
    @Test("the processor is always there")
    func processor() throws {
        #expect(try Device(named: "cpu") == .cpu)
        #expect(Device.cpu.description == "cpu")
    }

    @Test(
        "a name that is no device says which names are",
        arguments: ["", "gpu", "CPU", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:256", "mps:0"])
    func unknownName(name: String) throws {
        let error = try #require(throws: TorchError.self) { try Device(named: name) }
        #expect(error.code == .device)
        #expect(error.description == "\"\(name)\" is not a device; name cpu, cuda, cuda:N or mps")
    }

    @Test("a device that no machine has is not available", arguments: ["cuda:255", "cuda:127"])
    func unavailable(name: String) throws {
        let error = try #require(throws: TorchError.self) { try Device(named: name) }
        #expect(error.code == .device)
        #expect(error.description.hasPrefix("\(name) is not available here; use --device cpu"))
    }

    @Test("libtorch says its version")
    func version() {
        #expect(Runtime.libtorchVersion.hasPrefix("2."))
        #expect(Runtime.threadCount >= 1)
    }
}

@Suite("Gradients") struct GradientTests {
    @Test("a leaf has none before the first backward pass, then has it, then can forget it")
    func lifecycle() throws {
        let x = try Tensor([1, -2, 3], shape: [3])
        try x.requireGradient()
        #expect(try x.gradient() == nil)
        try x.squared().sum().backward()
        #expect(try x.gradient()?.floats() == [2, -4, 6])
        try x.clearGradient()
        #expect(try x.gradient() == nil)
    }

    @Test("two passes add up")
    func accumulation() throws {
        let x = try Tensor([1, -2], shape: [2])
        try x.requireGradient()
        for _ in 0..<2 { try (x * 3).sum().backward() }
        #expect(try x.gradient()?.floats() == [6, 6])
    }

    @Test("none is recorded inside withoutGradients, and again after it")
    func scope() throws {
        let x = try Tensor([1, 2], shape: [2])
        try x.requireGradient()
        let inside = try withoutGradients {
            // An inner scope that ends must not switch recording on in the outer one.
            _ = try withoutGradients { try x.squared() }
            return try x.squared().sum()
        }
        let error = try #require(throws: TorchError.self) { try inside.backward() }
        #expect(error.description.contains("does not require grad"))
        try x.squared().sum().backward()
        #expect(try x.gradient()?.floats() == [2, 4])
    }

    @Test("a scope that throws ends as well")
    func throwingScope() throws {
        let x = try Tensor([1, 2], shape: [2])
        try x.requireGradient()
        #expect(throws: TorchError.self) { try withoutGradients { try x.reshaped([3]) } }
        try x.squared().sum().backward()
        #expect(try x.gradient()?.floats() == [2, 4])
    }

    @Test("nothing flows through a detached tensor")
    func detached() throws {
        let x = try Tensor([3], shape: [1])
        try x.requireGradient()
        try (x * x.detached()).sum().backward()
        #expect(try x.gradient()?.floats() == [3])
    }

    @Test("only a scalar can be differentiated")
    func scalarOnly() throws {
        let x = try Tensor([1, 2], shape: [2])
        try x.requireGradient()
        let error = try #require(throws: TorchError.self) { try x.squared().backward() }
        #expect(error.description.contains("scalar outputs"))
    }

    @Test("an assignment is not recorded, even to a leaf that requires gradients")
    func assignment() throws {
        let x = try Tensor([1, 2], shape: [2])
        try x.requireGradient()
        try x.assign(Tensor([5, 6], shape: [2]))
        try x.squared().sum().backward()
        #expect(try x.gradient()?.floats() == [10, 12])
    }
}
