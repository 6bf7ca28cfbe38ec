import KernelTesting
import Testing
import Torch

/// The kernels by themselves, as vectors and as tiles, beside libtorch's layers of float32. Tiles in plain C++
/// show the algorithm where the processor has none; arrays end where memory does.
@Suite("Products as vectors and tiles") struct TileTests {
    init() { _ = Runtime.threadCount }

    /// What makes the products.
    enum Units: Int32, CaseIterable, Sendable {
        case vectors, emulatedTiles, tiles

        static var present: [Units] { allCases.filter { LTKHas($0.rawValue) } }
    }

    typealias Case = ProductTests.Case

    /// Blocks of 32 rows, columns and numbers of the depth that do and do not come out even, and less than one.
    static let cases =
        Case.all + [
            Case(items: 64, inputs: 96, outputs: 64, isLinear: true),
            Case(items: 16, inputs: 30, outputs: 16, isLinear: true),
            Case(items: 17, inputs: 98, outputs: 17, isLinear: true),
            Case(items: 32, inputs: 2, outputs: 48, isLinear: true),
            Case(items: 33, inputs: 70, outputs: 45, isLinear: true),
            Case(items: 47, inputs: 64, outputs: 1, isLinear: true),
            Case(items: 81, inputs: 33, outputs: 100, isLinear: true),
            Case(items: 1, inputs: 784, outputs: 20, isLinear: true),
            Case(items: 33, inputs: 20, outputs: 40, height: 3, width: 2, kernel: 3, stride: 1),
            Case(items: 50, inputs: 36, outputs: 18, height: 2, width: 2, isTransposed: true),
        ]

    /// A layer with numbers that bfloat16 holds exactly, of float32 in libtorch's order.
    private struct Layer {
        let test: Case
        let x, weight, bias: [Float]
        var places: Int { test.isLinear ? 1 : test.height * test.width }
        var taps: Int { test.isLinear ? 1 : test.kernel * test.kernel }
        var shape: LTKLayer {
            LTKLayer(
                items: Int32(test.items), inputs: Int32(test.inputs), outputs: Int32(test.outputs),
                height: test.isLinear ? 1 : Int32(test.height),
                width: test.isLinear ? 1 : Int32(test.width),
                kernel: test.isLinear ? 1 : Int32(test.kernel),
                stride: test.isLinear ? 1 : Int32(test.stride), padding: Int32(padding),
                isTransposed: test.isTransposed)
        }
        var padding: Int { test.isLinear || test.kernel == 1 ? 0 : 1 }
        var outputPlaces: Int { Int(LTKOutputHeight(shape) * LTKOutputWidth(shape)) }

        init(_ test: Case) {
            self.test = test
            var generator = Generator(seed: 5)
            func numbers(_ count: Int) -> [Float] {
                (0..<count).map { _ in Float(Int(generator.next() % 65) - 32) / 16 }
            }
            let places = test.isLinear ? 1 : test.height * test.width
            let taps = test.isLinear ? 1 : test.kernel * test.kernel
            x = numbers(test.items * test.inputs * places)
            weight = numbers(test.inputs * test.outputs * taps)
            bias = numbers(test.outputs)
        }

        /// [N][C][places] as [places][N][C].
        func byPlace(_ values: [Float], channels: Int) -> [Float] {
            let places = values.count / (test.items * channels)
            return (0..<values.count).map { i in
                let c = i % channels, n = i / channels % test.items,
                    place = i / channels / test.items
                return values[(n * channels + c) * places + place]
            }
        }

        /// libtorch's weights as [taps][C][C'].
        func byTap(_ values: [Float]) -> [Float] {
            (0..<values.count).map { i in
                let to = i % test.outputs, from = i / test.outputs % test.inputs
                let tap = i / test.outputs / test.inputs
                let pair = test.isTransposed ? from * test.outputs + to : to * test.inputs + from
                return values[pair * taps + tap]
            }
        }

        func forward(
            _ units: Units, x: [Float]? = nil, isRectified: Bool = false, isHalf: Bool = false
        ) -> [Float] {
            var y = [Float](repeating: 0, count: outputPlaces * test.items * test.outputs)
            LTKForward(
                units.rawValue, shape, byPlace(x ?? self.x, channels: test.inputs), byTap(weight),
                bias, isRectified, isHalf, &y)
            return y
        }

        /// The slopes at x and at the weights, from that at y in libtorch's order.
        func backward(_ units: Units, slope: [Float]) -> (x: [Float], weight: [Float]) {
            var toX = [Float](repeating: 0, count: x.count)
            var toWeight = [Float](repeating: 0, count: weight.count)
            LTKBackward(
                units.rawValue, shape, byPlace(x, channels: test.inputs), byTap(weight),
                byPlace(slope, channels: test.outputs), &toX, &toWeight)
            return (toX, toWeight)
        }

        /// libtorch's output, a slope of it, and where that leads, in the order of the kernels.
        func expected() throws -> (y: [Float], slope: [Float], x: [Float], weight: [Float]) {
            let x = try Tensor(
                x,
                shape: [test.items, test.inputs]
                    + (test.isLinear ? [] : [test.height, test.width]))
            let weight = try Tensor(
                weight,
                shape: (test.isTransposed
                    ? [test.inputs, test.outputs] : [test.outputs, test.inputs])
                    + (test.isLinear ? [] : [test.kernel, test.kernel]))
            let bias = try Tensor(bias, shape: [test.outputs])
            for tensor in [x, weight] { try tensor.requireGradient() }
            let y =
                test.isLinear
                ? try linear(x, weight: weight, bias: bias)
                : test.isTransposed
                    ? try convTranspose2d(
                        x, weight: weight, bias: bias, stride: test.stride, padding: padding)
                    : try conv2d(
                        x, weight: weight, bias: bias, stride: test.stride, padding: padding)
            let slope = (0..<y.count).map { Float(($0 * 29) % 31 - 15) / 8 }
            try (y * Tensor(slope, shape: y.shape)).sum().backward()
            return (
                byPlace(try y.floats(), channels: test.outputs), slope,
                byPlace(try #require(try x.gradient()).floats(), channels: test.inputs),
                byTap(try #require(try weight.gradient()).floats())
            )
        }
    }

    /// |a - b| / |b|.
    private static func distance(_ a: [Float], _ b: [Float]) -> Float {
        let squares = zip(a, b).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        return (squares / max(1e-12, b.reduce(0) { $0 + $1 * $1 })).squareRoot()
    }

    @Test("sums and gradients are libtorch's of float32", arguments: cases, Units.present)
    func twin(test: Case, units: Units) throws {
        let layer = Layer(test)
        let expected = try layer.expected()
        #expect(Self.distance(layer.forward(units), expected.y) < 1e-5)
        let rectified = expected.y.map { max(0, $0) }
        #expect(Self.distance(layer.forward(units, isRectified: true), rectified) < 1e-5)
        let half = layer.forward(units, isRectified: true, isHalf: true)
        // A number is rounded to 8 bits.
        #expect(zip(half, rectified).allSatisfy { abs($0 - $1) <= abs($1) / 255 + 1e-3 })
        let found = layer.backward(units, slope: expected.slope)
        #expect(Self.distance(found.x, expected.x) < 1e-5)
        #expect(Self.distance(found.weight, expected.weight) < 1e-5)
    }

    @Test(
        "what is not a number, or infinite, stays in its item and channel",
        arguments: [
            Case(items: 33, inputs: 70, outputs: 45, isLinear: true),
            Case(items: 5, inputs: 20, outputs: 37, height: 4, width: 4),
        ], Units.present)
    func notANumber(test: Case, units: Units) throws {
        let layer = Layer(test)
        let item = test.items - 2, size = layer.x.count / test.items
        for odd in [Float.nan, .infinity] {
            var x = layer.x
            x[item * size + 1] = odd
            for isHalf in [false, true] {
                let y = layer.forward(units, x: x, isRectified: true, isHalf: isHalf)
                let rows = stride(from: 0, to: y.count, by: test.outputs).map {
                    (item: $0 / test.outputs % test.items, row: y[$0..<$0 + test.outputs])
                }
                #expect(rows.allSatisfy { $0.item == item || $0.row.allSatisfy(\.isFinite) })
                #expect(rows.contains { $0.row.contains { odd.isNaN ? $0.isNaN : $0 == odd } })
            }
            var slope = try layer.expected().slope
            let channel = test.outputs - 1
            slope[(item * test.outputs + channel) * layer.outputPlaces] = odd
            let found = layer.backward(units, slope: slope)
            #expect(
                found.weight.indices.allSatisfy {
                    $0 % test.outputs == channel || found.weight[$0].isFinite
                })
            #expect(found.weight.contains { !$0.isFinite })
            #expect(
                found.x.indices.allSatisfy {
                    $0 / test.inputs % test.items == item || found.x[$0].isFinite
                })
        }
    }

    @Test(
        "a block of 32 rows and columns takes four products of tiles for 32 numbers of the depth",
        .enabled(if: LTKHas(Units.emulatedTiles.rawValue)),
        arguments: [(64, 96, 64, 48), (16, 32, 16, 1), (17, 33, 17, 8), (128, 784, 400, 5000)])
    func work(items: Int, inputs: Int, outputs: Int, products: Int64) {
        let layer = Layer(Case(items: items, inputs: inputs, outputs: outputs, isLinear: true))
        let before = LTKTileProducts()
        _ = layer.forward(.emulatedTiles)
        #expect(LTKTileProducts() - before == products)
    }

    @Test(
        "what keeps libtorch from tiles keeps the kernels from them",
        .enabled(if: LTKHas(Units.vectors.rawValue)))
    func limits() {
        for limit in ["AVX2", "avx512_core_bf16", "AVX512_CORE", "AVX10_1_512", "SSE41"] {
            #expect(!LTKAdmitsTiles(limit))
        }
        for limit in ["", "ALL", "DEFAULT", "AVX512_CORE_AMX", "avx10_1_512_amx_fp16", "unknown"] {
            #expect(LTKAdmitsTiles(limit))
        }
    }
}
