import Foundation
import TestSupport
import Testing
import Torch

/// Values and gradients against PyTorch in Python, in float64: `Fixtures/expected/operations.json`.
@Suite("Operations") struct OperationTests {
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        let name: String
        let inputs: [OracleArray]
        let upstream: OracleArray
        let output: OracleArray
        let gradients: [OracleArray?]

        var testDescription: String { name }
    }

    private struct File: Decodable { let cases: [Case] }

    static let cases = Result { try Fixtures.expected("operations.json", as: File.self).cases }

    typealias Operation = @Sendable (_ inputs: [Tensor]) throws -> Tensor

    /// One rounding, so that even tiny values agree in relative terms.
    static let elementwise: [String: Operation] = [
        "relu": { try $0[0].relu() },
        "silu": { try $0[0].silu() },
        "sigmoid": { try $0[0].sigmoid() },
        "softplus": { try $0[0].softplus() },
        "magnitude": { try $0[0].magnitude() },
        "exp": { try $0[0].exp() },
        "log": { try $0[0].log() },
        "squareRoot": { try $0[0].squareRoot() },
        "squared": { try $0[0].squared() },
        "clamped": { try $0[0].clamped(to: -0.75...1.25) },
        "clamped at its ends": { try $0[0].clamped(to: -0.75...1.25) },
        "multiply": { try $0[0] * $0[1] },
        "divide": { try $0[0] / $0[1] },
        "maximum": { try $0[0].maximum($0[1]) },
        "maximum of equals": { try $0[0].maximum($0[1]) },
        "multiply by a number": { try $0[0] * -2.5 },
        "negate": { try -$0[0] },
        "reshaped": { try $0[0].reshaped([3, -1]) },
        "transposed": { try $0[0].transposed(0, 2) },
        "narrowed": { try $0[0].narrowed(axis: 1, start: 2, length: 3) },
        "concatenated": { try .concatenated($0, axis: 1) },
        "repeatedInterleaved": { try $0[0].repeatedInterleaved(3) },
        "repeatedInterleaved on axis 1": { try $0[0].repeatedInterleaved(2, axis: 1) },
        "padded": { try $0[0].padded([2, 1, 0, 3], value: -0.5) },
        "expMinusOne": { try $0[0].expMinusOne() },
        "logOnePlus": { try $0[0].logOnePlus() },
        "rounded": { try $0[0].rounded() },
        "tanh": { try $0[0].tanh() },
    ]

    /// Sums, in which terms may cancel.
    static let accumulating: [String: Operation] = [
        "linear": { try linear($0[0], weight: $0[1], bias: $0[2]) },
        "linear without bias": { try linear($0[0], weight: $0[1], bias: nil) },
        "matmul": { try $0[0].matmul($0[1]) },
        "matmul of batches": { try $0[0].matmul($0[1]) },
        "conv2d": { try conv2d($0[0], weight: $0[1], bias: $0[2], stride: 2, padding: 1) },
        "conv2d of odd size": {
            try conv2d($0[0], weight: $0[1], bias: $0[2], stride: 2, padding: 1)
        },
        "conv2d without bias": {
            try conv2d($0[0], weight: $0[1], bias: nil, stride: 2, padding: 1)
        },
        "convTranspose2d": {
            try convTranspose2d($0[0], weight: $0[1], bias: $0[2], stride: 2, padding: 1)
        },
        "convTranspose2d without bias": {
            try convTranspose2d($0[0], weight: $0[1], bias: nil, stride: 2, padding: 1)
        },
        "conv2d of 3×3": { try conv2d($0[0], weight: $0[1], bias: $0[2], stride: 1, padding: 1) },
        "conv1d": { try conv1d($0[0], weight: $0[1], stride: 3) },
        "conv1d with bias and padding": {
            try conv1d($0[0], weight: $0[1], bias: $0[2], stride: 2, padding: 1)
        },
        "convTranspose1d": {
            try convTranspose1d($0[0], weight: $0[1], bias: $0[2], stride: 2, padding: 1)
        },
        "add": { try $0[0] + $0[1] },
        "subtract": { try $0[0] - $0[1] },
        "add a number": { try $0[0] + 1.5 },
        "subtract a number": { try $0[0] - 1.5 },
        "sum": { try $0[0].sum() },
        "sum keeping axes": { try $0[0].sum(keepingAxes: true) },
        "sum over axes": { try $0[0].sum(axes: [0, 2]) },
        "sum over axes, kept": { try $0[0].sum(axes: [0, -1], keepingAxes: true) },
        "sumPerItem": { try $0[0].sumPerItem() },
        "mean": { try $0[0].mean() },
        "mean keeping axes": { try $0[0].mean(keepingAxes: true) },
        "mean over axes": { try $0[0].mean(axes: [1]) },
        "mean over axes, kept": { try $0[0].mean(axes: [0, -1], keepingAxes: true) },
        "logSumExp": { try $0[0].logSumExp(axis: 1) },
        "logSumExp of large numbers": { try $0[0].logSumExp(axis: 0) },
        "binaryCrossEntropy": { try binaryCrossEntropy(logits: $0[0], target: $0[1]) },
        "maxPooled2d": { try maxPooled2d($0[0]) },
        "resizedBilinear down": { try resizedBilinear($0[0], height: 9, width: 13) },
        "resizedBilinear up": { try resizedBilinear($0[0], height: 16, width: 16) },
        "magnitude of shortTimeFourier": {
            try shortTimeFourier($0[0], fftLength: 64, hopLength: 16, window: hannWindow(64))
                .magnitude()
        },
        "inverseShortTimeFourier of a masked spectrum": {
            let window = try hannWindow(64)
            let spectrum = try shortTimeFourier(
                $0[0], fftLength: 64, hopLength: 16, window: window)
            return try inverseShortTimeFourier(
                spectrum * $0[1], fftLength: 64, hopLength: 16, window: window, length: 205)
        },
    ]

    @Test("each has an oracle, and each oracle an operation")
    func coverage() throws {
        let names = Self.elementwise.keys.map { $0 } + Self.accumulating.keys.map { $0 }
        #expect(try Self.cases.get().map(\.name).sorted() == names.sorted())
    }

    @Test("values and gradients are PyTorch's", arguments: try cases.get())
    func valuesAndGradients(of oracle: Case) throws {
        let strict = Self.elementwise[oracle.name]
        let operation = try #require(strict ?? Self.accumulating[oracle.name])
        let inputs = try oracle.inputs.map { try Tensor($0.values, shape: $0.shape) }
        for (input, gradient) in zip(inputs, oracle.gradients) where gradient != nil {
            try input.requireGradient()
        }

        let output = try operation(inputs)
        #expect(output.shape == oracle.output.shape)
        // Inputs and results are of the order 1; float32 rounds at 6e-8.
        let absolute: Float = strict == nil ? 4e-6 : 0
        #expect(
            mismatch(
                try output.floats(), oracle.output.values, absolute: absolute, relative: 2e-6)
                == nil)

        let upstream = try Tensor(oracle.upstream.values, shape: oracle.upstream.shape)
        try (output * upstream).sum().backward()
        for (input, expected) in zip(inputs, oracle.gradients) {
            let gradient = try input.gradient()
            #expect((gradient == nil) == (expected == nil))
            guard let gradient, let expected else { continue }
            #expect(gradient.shape == expected.shape)
            #expect(
                mismatch(try gradient.floats(), expected.values, absolute: 4e-6, relative: 1e-5)
                    == nil)
        }
    }

    @Test("a spectrum turns back into its signal", arguments: [128, 205, 1000])
    func fourierRoundTrip(length: Int) throws {
        var generator = Generator(seed: 5)
        let samples = generator.normals(length)
        let window = try hannWindow(64)
        let spectrum = try shortTimeFourier(
            Tensor(samples, shape: [length]), fftLength: 64, hopLength: 16, window: window)
        #expect(spectrum.shape == [33, 1 + length / 16])
        let back = try inverseShortTimeFourier(
            spectrum, fftLength: 64, hopLength: 16, window: window, length: length)
        #expect(mismatch(try back.floats(), samples, absolute: 2e-6) == nil)
    }

    @Test(
        "averages move by their share towards the parameters, which stay", arguments: [0, 0.75, 1])
    func averages(decay: Double) throws {
        let averages = [try Tensor([1, -2, 4], shape: [3]), try Tensor([8], shape: [1, 1])]
        let parameters = [try Tensor([3, 2, 0], shape: [3]), try Tensor([-8], shape: [1, 1])]
        for parameter in parameters { try parameter.requireGradient() }
        try Tensor.updateAverages(averages, of: parameters, decay: decay)
        let rest = Float(1 - decay)
        #expect(try averages[0].floats() == [1 + 2 * rest, -2 + 4 * rest, 4 - 4 * rest])
        #expect(try averages[1].floats() == [8 - 16 * rest])
        #expect(try parameters[0].floats() == [3, 2, 0])
        // Outside of autograd: an average is no function of the parameters.
        try (parameters[0].sum() + averages[0].sum()).backward()
        #expect(try #require(try parameters[0].gradient()).floats() == [1, 1, 1])
    }

    @Test("a resize to the same size changes nothing")
    func identityResize() throws {
        var generator = Generator(seed: 6)
        let values = generator.normals(2 * 3 * 5 * 7)
        let image = try Tensor(values, shape: [2, 3, 5, 7])
        #expect(try resizedBilinear(image, height: 5, width: 7).floats() == values)
    }

    @Test("doubling is the transpose of halving: ⟨Ax, y⟩ = ⟨x, Aᵀy⟩")
    func adjoint() throws {
        var generator = Generator(seed: 7)
        let x = try Tensor(generator.normals(3 * 8 * 6), shape: [1, 3, 8, 6])
        let y = try Tensor(generator.normals(2 * 4 * 3), shape: [1, 2, 4, 3])
        let weight = try Tensor(generator.normals(2 * 3 * 16), shape: [2, 3, 4, 4])
        let down = try conv2d(x, weight: weight, bias: nil, stride: 2, padding: 1)
        let up = try convTranspose2d(y, weight: weight, bias: nil, stride: 2, padding: 1)
        let difference = try (down * y).sum().item() - (x * up).sum().item()
        #expect(abs(difference) < 1e-3)
    }
}

/// The periodic Hann window, by its definition.
func hannWindow(_ length: Int) throws -> Tensor {
    let step = 2 * Double.pi / Double(length)
    let values = (0..<length).map { Float(0.5 - 0.5 * cos(step * Double($0))) }
    return try Tensor(values, shape: [length])
}
