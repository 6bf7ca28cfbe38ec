import Torch

/// 4×4 convolutions of stride 2 with ReLU, a linear layer, and the mirror image of both.
struct ConvolutionalNetwork: Network {
    typealias Encoder = ConvolutionalEncoder<Rectifier>
    typealias Decoder = ConvolutionalDecoder<Rectifier>

    var summary: String { "convolutions" }
    var defaultWidths: [Int] { [32, 64, 128] }

    func layers(window: WindowShape, latentCount: Int, widths: [Int]) -> [LayerSize] {
        var inputs = window.channelCount
        var sizes: [LayerSize] = []
        for (index, width) in widths.enumerated() {
            let area = (window.height >> (index + 1)) * (window.width >> (index + 1))
            sizes.append(
                LayerSize(weightCount: 16 * inputs * width, activationCount: 6 * width * area))
            inputs = width
        }
        let inner = inputs * (window.height >> widths.count) * (window.width >> widths.count)
        return sizes + [LayerSize(weightCount: inner * latentCount, activationCount: 0)]
    }
}

/// What stands between the layers of a convolutional network.
protocol Activation {
    /// Channels, or features, that make one.
    static var inputCount: Int { get }

    /// What a layer gives, which it may rectify itself, [B, K · ``inputCount``, …] → [B, K, …].
    static func apply(_ layer: (_ rectified: Bool) throws -> Tensor) throws -> Tensor
}

/// max(h, 0).
enum Rectifier: Activation {
    static let inputCount = 1

    static func apply(_ layer: (_ rectified: Bool) throws -> Tensor) throws -> Tensor {
        try layer(true)
    }
}

/// 4×4 convolutions of stride 2, each with an activation.
struct ConvolutionalEncoder<Between: Activation>: EncoderNetwork {
    private var layers: [HalvingConvolution] = []
    let featureCount: Int

    init(_ scope: Parameters.Scope, window: WindowShape, widths: [Int]) throws {
        var inputs = window.channelCount
        for (index, width) in widths.enumerated() {
            layers.append(
                try HalvingConvolution(
                    scope["\(index)"], inputs: inputs, outputs: Between.inputCount * width))
            inputs = width
        }
        featureCount = inputs * (window.height >> widths.count) * (window.width >> widths.count)
    }

    func callAsFunction(_ x: Tensor) throws -> Tensor {
        var h = x
        for layer in layers {  // [B, width, H/2, W/2] …
            h = try Between.apply { try layer(h, rectified: $0) }
        }
        return try h.reshaped([x.shape[0], -1])
    }
}

/// A linear layer and transposed 4×4 convolutions of stride 2, with activations between them.
struct ConvolutionalDecoder<Between: Activation>: DecoderNetwork {
    private let first: Linear
    private let innerShape: [Int]
    private var layers: [DoublingConvolution] = []

    init(
        _ scope: Parameters.Scope, inputCount: Int, window: WindowShape, widths: [Int]
    ) throws {
        let widths = Array(widths.reversed())
        innerShape = [
            -1, widths[0], window.height >> widths.count, window.width >> widths.count,
        ]
        first = try Linear(
            scope["0"], inputs: inputCount,
            outputs: Between.inputCount * innerShape.dropFirst().reduce(1, *))
        for (index, width) in widths.enumerated() {
            let outputs =
                index + 1 < widths.count
                ? Between.inputCount * widths[index + 1] : window.channelCount
            layers.append(
                try DoublingConvolution(scope["\(index + 1)"], inputs: width, outputs: outputs))
        }
    }

    func callAsFunction(_ z: Tensor) throws -> Tensor {
        var h = try Between.apply { try first(z, rectified: $0) }.reshaped(innerShape)
        for layer in layers.dropLast() {  // [B, width, 2H, 2W] …
            h = try Between.apply { try layer(h, rectified: $0) }
        }
        return try layers.last.map { try $0(h) } ?? h
    }
}
