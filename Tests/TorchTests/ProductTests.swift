import TestSupport
import Testing
import Torch

/// Layers of bfloat16 beside libtorch's of float32. On a processor without bfloat16 they are those of
/// libtorch's autocast, which rounds further numbers on the way.
@Suite("Products of bfloat16") struct ProductTests {
    init() { _ = Runtime.threadCount }

    /// A layer and what goes into it.
    struct Case: CustomTestStringConvertible, Sendable {
        var items = 5
        var inputs: Int
        var outputs: Int
        var height = 8
        var width = 6
        var kernel = 4
        var stride = 2
        var isTransposed = false
        var isLinear = false

        var testDescription: String {
            "\(items) of \(inputs)×\(height)×\(width) to \(outputs), kernel \(kernel)"
                + (isTransposed ? ", transposed" : "")
        }

        static let all = [
            // Many channels, blocks of 32 columns and 12 rows that do and do not come out even.
            Case(inputs: 32, outputs: 64), Case(items: 13, inputs: 24, outputs: 37),
            Case(items: 1, inputs: 17, outputs: 47, kernel: 3, stride: 1),
            Case(inputs: 34, outputs: 18, isTransposed: true),
            Case(items: 25, inputs: 31, outputs: 33, isTransposed: true),
            Case(inputs: 40, outputs: 9, kernel: 1, stride: 1),
            Case(inputs: 24, outputs: 9, kernel: 1, stride: 1, isTransposed: true),
            // More than the 16 taps that are packed at a time.
            Case(inputs: 19, outputs: 35, kernel: 5),
            Case(inputs: 18, outputs: 7, kernel: 5, isTransposed: true),
            // Few, which are unfolded: from an image and to one.
            Case(items: 12, inputs: 1, outputs: 32), Case(inputs: 3, outputs: 5),
            Case(inputs: 3, outputs: 20, kernel: 3, stride: 1),
            Case(items: 7, inputs: 32, outputs: 1, isTransposed: true),
            Case(inputs: 9, outputs: 3, isTransposed: true),
            Case(items: 1, inputs: 2, outputs: 2, height: 2, width: 2, isTransposed: true),
            Case(items: 11, inputs: 50, outputs: 20, isLinear: true),
            Case(items: 24, inputs: 33, outputs: 65, isLinear: true),
        ]
    }

    /// Numbers that bfloat16 holds exactly.
    private static func numbers(_ generator: inout Generator, _ count: Int) -> [Float] {
        (0..<count).map { _ in Float(Int(generator.next() % 65) - 32) / 16 }
    }

    private struct Outcome {
        let output, toInput, toWeight, toBias: [Float]
        var all: [[Float]] { [output, toInput, toWeight, toBias] }
    }

    private static func run(
        _ test: Case, rectified: Bool, isHalf: Bool, seed: UInt64 = 1
    ) throws -> Outcome {
        var generator = Generator(seed: seed)
        let xShape =
            test.isLinear
            ? [test.items, test.inputs] : [test.items, test.inputs, test.height, test.width]
        let x = try Tensor(numbers(&generator, xShape.reduce(1, *)), shape: xShape)
        let sides = test.isLinear ? [] : [test.kernel, test.kernel]
        let weightShape =
            (test.isTransposed ? [test.inputs, test.outputs] : [test.outputs, test.inputs]) + sides
        let weight = try Tensor(
            numbers(&generator, weightShape.reduce(1, *)), shape: weightShape)
        let bias = try Tensor(numbers(&generator, test.outputs), shape: [test.outputs])
        for tensor in [x, weight, bias] { try tensor.requireGradient() }
        let padding = test.kernel == 1 ? 0 : 1
        let y = try withBFloat16(isHalf) {
            if test.isLinear {
                return try linear(x, weight: weight, bias: bias, rectified: rectified)
            }
            return test.isTransposed
                ? try convTranspose2d(
                    x, weight: weight, bias: bias, stride: test.stride, padding: padding,
                    rectified: rectified)
                : try conv2d(
                    x, weight: weight, bias: bias, stride: test.stride, padding: padding,
                    rectified: rectified)
        }
        let slope = try Tensor(numbers(&generator, y.count), shape: y.shape)
        try (y.widened() * slope).sum().backward()
        return Outcome(
            output: try y.widened().floats(),
            toInput: try #require(try x.gradient()).floats(),
            toWeight: try #require(try weight.gradient()).floats(),
            toBias: try #require(try bias.gradient()).floats())
    }

    /// |a - b| / |b|.
    private static func distance(_ a: [Float], _ b: [Float]) -> Float {
        let squares = zip(a, b).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        return (squares / max(1e-12, b.reduce(0) { $0 + $1 * $1 })).squareRoot()
    }

    @Test(
        "outputs and gradients are those of float32, but for the rounding of what is kept",
        arguments: Case.all, [false, true])
    func twin(test: Case, rectified: Bool) throws {
        let found = try Self.run(test, rectified: rectified, isHalf: true)
        let expected = try Self.run(test, rectified: rectified, isHalf: false)
        // Autocast rounds before the bias is added too, so that what is 0 in float32 may be a little more and
        // pass a rectifier, gradient and all.
        let isOurs = Runtime.multipliesBFloat16
        let count = isOurs || !rectified ? found.all.count : 1
        for (a, b) in Array(zip(found.all, expected.all)).prefix(count) {
            #expect(a.count == b.count)
            // Inputs are exact; a number is rounded to 8 bits where it is kept: 1/256 at most.
            #expect(Self.distance(a, b) < (isOurs ? 1 / 256 : 1 / 128))
        }
    }

    @Test("without a bias, and where only weights learn, gradients are the same")
    func partial() throws {
        func gradients(_ isHalf: Bool) throws -> [Float] {
            var generator = Generator(seed: 3)
            let x = try Tensor(Self.numbers(&generator, 2 * 20 * 36), shape: [2, 20, 6, 6])
                .transposed(2, 3)
            let weight = try Tensor(
                Self.numbers(&generator, 24 * 20 * 16), shape: [24, 20, 4, 4])
            try weight.requireGradient()
            let y = try withBFloat16(isHalf) {
                try conv2d(x, weight: weight, bias: nil, stride: 2, padding: 0)
            }
            try y.widened().squared().sum().backward()
            return try #require(try weight.gradient()).floats()
        }
        #expect(Self.distance(try gradients(true), try gradients(false)) < 1 / 128)
    }

    @Test("what does not fit is refused, as in float32", arguments: [false, true])
    func misfits(isHalf: Bool) throws {
        let x = try Tensor.zeros(shape: [2, 3, 8, 8])
        let weight = try Tensor.zeros(shape: [8, 4, 4, 4])
        let fitting = try Tensor.zeros(shape: [8, 3, 4, 4])
        let short = try Tensor.zeros(shape: [7])
        withBFloat16(isHalf) {
            #expect(throws: TorchError.self) {
                try conv2d(x, weight: weight, bias: nil, stride: 2, padding: 1)
            }
            #expect(throws: TorchError.self) {
                try conv2d(x, weight: fitting, bias: short, stride: 2, padding: 1)
            }
            #expect(throws: TorchError.self) {
                try linear(
                    Tensor.zeros(shape: [2, 3]), weight: Tensor.zeros(shape: [4, 5]), bias: nil)
            }
        }
    }

    @Test("what is not a number stays in the item that it is in, and is not rectified away")
    func notANumber() throws {
        var values = [Float](repeating: 0.5, count: 3 * 20 * 4 * 4)
        values[20 * 16 + 5] = .nan
        let x = try Tensor(values, shape: [3, 20, 4, 4])
        let weight = try Tensor.full(0.25, shape: [16, 20, 4, 4], device: .cpu)
        let y = try withBFloat16(true) {
            try conv2d(x, weight: weight, bias: nil, stride: 2, padding: 1, rectified: true)
                .widened()
        }.floats()
        let size = y.count / 3
        #expect(y[..<size].allSatisfy(\.isFinite) && y[(2 * size)...].allSatisfy(\.isFinite))
        #expect(y[size..<2 * size].contains { $0.isNaN })
    }

    @Test("weights that were written to are read anew", arguments: ["assigned", "stepped"])
    func writtenWeights(how: String) throws {
        var generator = Generator(seed: 4)
        let x = try Tensor(Self.numbers(&generator, 6 * 40), shape: [6, 40])
        let weight = try Tensor(Self.numbers(&generator, 20 * 40), shape: [20, 40])
        try weight.requireGradient()
        func product(_ weight: Tensor) throws -> [Float] {
            try withoutGradients {
                try withBFloat16(true) { try linear(x, weight: weight, bias: nil).widened() }
            }.floats()
        }
        let before = try product(weight)
        #expect(try product(weight) == before)
        if how == "assigned" {
            try weight.assign(weight.detached() * 2)
        } else {
            try linear(x, weight: weight, bias: nil).squared().sum().backward()
            try AdamW([weight]).step(learningRate: 0.5)
        }
        let after = try product(weight)
        #expect(after != before)
        let copy = try Tensor(weight.detached().floats(), shape: [20, 40])
        #expect(try product(copy) == after)
    }
}
