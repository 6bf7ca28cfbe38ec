import Torch

/// 4×4 convolutions of stride 2, each with a gate, h · σ(g), a linear layer, and the mirror image:
/// a gate passes a feature on unchanged where a ReLU would bend it.
///
/// Source: Dauphin et al., "Language modeling with gated convolutional networks", ICML 2017; as
/// layers of VAEs by Tomczak & Welling 2018. Features and gates come from one convolution of twice
/// the width.
struct GatedNetwork: Network {
    var summary: String { "convolutions with gates" }
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
        ConvolutionalNetwork().layers(window: window, latentCount: latentCount, widths: widths)
            .map { size in
                LayerSize(
                    weightCount: 2 * size.weightCount, activationCount: 3 * size.activationCount)
            }
    }

    /// [B, 2K, …] → [B, K, …]: the first half where the second opens.
    private static func gated(_ h: Tensor) throws -> Tensor {
        let width = h.shape[1] / 2
        return try h.narrowed(axis: 1, start: 0, length: width)
            * h.narrowed(axis: 1, start: width, length: width).sigmoid()
    }

    private struct Encoder: EncoderNetwork {
        private var layers: [HalvingConvolution] = []
        let featureCount: Int

        init(_ scope: Parameters.Scope, window: WindowShape, widths: [Int]) throws {
            var inputs = window.channelCount
            for (index, width) in widths.enumerated() {
                layers.append(
                    try HalvingConvolution(scope["\(index)"], inputs: inputs, outputs: 2 * width))
                inputs = width
            }
            featureCount =
                inputs * (window.height >> widths.count) * (window.width >> widths.count)
        }

        func callAsFunction(_ x: Tensor) throws -> Tensor {
            var h = x
            for layer in layers { h = try gated(layer(h)) }  // [B, width, H/2, W/2] …
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
            let innerCount = innerShape.dropFirst().reduce(1, *)
            first = try Linear(scope["0"], inputs: inputCount, outputs: 2 * innerCount)
            for (index, width) in widths.enumerated() {
                let outputs = index + 1 < widths.count ? 2 * widths[index + 1] : window.channelCount
                layers.append(
                    try DoublingConvolution(scope["\(index + 1)"], inputs: width, outputs: outputs))
            }
        }

        func callAsFunction(_ z: Tensor) throws -> Tensor {
            var h = try gated(first(z)).reshaped(innerShape)
            for (index, layer) in layers.enumerated() {
                h = try layer(h)  // [B, 2·width, 2H, 2W] …
                if index + 1 < layers.count { h = try gated(h) }
            }
            return h
        }
    }
}
