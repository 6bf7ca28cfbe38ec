import Torch

/// 4×4 convolutions of stride 2, each with a gate, h · σ(g), a linear layer, and the mirror image:
/// a gate passes a feature on unchanged where a ReLU would bend it.
///
/// Source: Dauphin et al., "Language modeling with gated convolutional networks", ICML 2017; as
/// layers of VAEs by Tomczak & Welling 2018. Features and gates come from one convolution of twice
/// the width.
struct GatedNetwork: Network {
    typealias Encoder = ConvolutionalEncoder<Gate>
    typealias Decoder = ConvolutionalDecoder<Gate>

    var summary: String { "convolutions with gates" }
    var defaultWidths: [Int] { [32, 64, 128] }

    func layers(window: WindowShape, latentCount: Int, widths: [Int]) -> [LayerSize] {
        ConvolutionalNetwork().layers(window: window, latentCount: latentCount, widths: widths)
            .map { size in
                LayerSize(
                    weightCount: 2 * size.weightCount, activationCount: 3 * size.activationCount)
            }
    }
}

/// [B, 2K, …] → [B, K, …]: the first half where the second opens.
enum Gate: Activation {
    static let inputCount = 2

    static func apply(_ layer: (_ rectified: Bool) throws -> Tensor) throws -> Tensor {
        let h = try layer(false)
        let width = h.shape[1] / 2
        return try h.narrowed(axis: 1, start: 0, length: width)
            * h.narrowed(axis: 1, start: width, length: width).sigmoid()
    }
}
