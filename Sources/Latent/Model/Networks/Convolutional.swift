import Torch

/// 4×4 convolutions of stride 2 with ReLU, a linear layer, and the mirror image of both.
struct ConvolutionalNetwork: Network {
    var summary: String { "convolutions" }
    var defaultWidths: [Int] { [32, 64, 128] }

    func sideMultiple(widths: [Int]) -> Int { 1 << widths.count }

    func encoder(
        _ scope: Parameters.Scope, window: WindowShape, widths: [Int]
    ) throws -> any EncoderNetwork {
        try Encoder(scope, window: window, widths: widths)
    }

    func decoder(
        _ scope: Parameters.Scope, inputCount: Int, window: WindowShape, widths: [Int]
    ) throws -> any DecoderNetwork {
        try Decoder(scope, inputCount: inputCount, window: window, widths: widths)
    }

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

    private struct Encoder: EncoderNetwork {
        private var layers: [HalvingConvolution] = []
        let featureCount: Int

        init(_ scope: Parameters.Scope, window: WindowShape, widths: [Int]) throws {
            var inputs = window.channelCount
            for (index, width) in widths.enumerated() {
                layers.append(
                    try HalvingConvolution(scope["\(index)"], inputs: inputs, outputs: width))
                inputs = width
            }
            featureCount =
                inputs * (window.height >> widths.count) * (window.width >> widths.count)
        }

        func callAsFunction(_ x: Tensor) throws -> Tensor {
            var h = x
            for layer in layers { h = try layer(h).relu() }  // [B, width, H/2, W/2] …
            return try h.reshaped([x.shape[0], -1])
        }
    }

    private struct Decoder: DecoderNetwork {
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
                scope["0"], inputs: inputCount, outputs: innerShape.dropFirst().reduce(1, *))
            for (index, width) in widths.enumerated() {
                let outputs = index + 1 < widths.count ? widths[index + 1] : window.channelCount
                layers.append(
                    try DoublingConvolution(scope["\(index + 1)"], inputs: width, outputs: outputs))
            }
        }

        func callAsFunction(_ z: Tensor) throws -> Tensor {
            var h = try first(z).relu().reshaped(innerShape)
            for (index, layer) in layers.enumerated() {
                h = try layer(h)  // [B, width, 2H, 2W] …
                if index + 1 < layers.count { h = try h.relu() }
            }
            return h
        }
    }
}
