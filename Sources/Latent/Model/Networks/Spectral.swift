import Torch

/// Convolutions of width 4 and stride 2 along time over all mel bands at once, a linear layer, and
/// the mirror image: a pattern may come at any time, but a band is not like its neighbour.
///
/// The rows of a window are its channels: [B, C, M, T] is read as [B, C·M, T].
struct SpectralNetwork: Network {
    var summary: String { "convolutions along time over whole spectra" }
    var defaultWidths: [Int] { [96, 128, 160] }

    var halvesHeight: Bool { false }

    func layers(window: WindowShape, latentCount: Int, widths: [Int]) -> [LayerSize] {
        var inputs = window.channelCount * window.height
        var sizes: [LayerSize] = []
        for (index, width) in widths.enumerated() {
            sizes.append(
                LayerSize(
                    weightCount: 4 * inputs * width,
                    activationCount: 6 * width * (window.width >> (index + 1))))
            inputs = width
        }
        let inner = inputs * (window.width >> widths.count)
        return sizes + [LayerSize(weightCount: inner * latentCount, activationCount: 0)]
    }

    struct Encoder: EncoderNetwork {
        private var layers: [HalvingConvolution1D] = []
        let featureCount: Int
        private let bandCount: Int

        init(_ scope: Parameters.Scope, window: WindowShape, widths: [Int]) throws {
            bandCount = window.channelCount * window.height
            var inputs = bandCount
            for (index, width) in widths.enumerated() {
                layers.append(
                    try HalvingConvolution1D(scope["\(index)"], inputs: inputs, outputs: width))
                inputs = width
            }
            featureCount = inputs * (window.width >> widths.count)
        }

        func callAsFunction(_ x: Tensor) throws -> Tensor {
            var h = try x.reshaped([x.shape[0], bandCount, -1])
            for layer in layers { h = try layer(h).silu() }  // [B, width, T/2] …
            return try h.reshaped([x.shape[0], -1])
        }
    }

    struct Decoder: DecoderNetwork {
        private let first: Linear
        private let innerShape: [Int]
        private let window: WindowShape
        private var layers: [DoublingConvolution1D] = []

        init(
            _ scope: Parameters.Scope, inputCount: Int, window: WindowShape, widths: [Int]
        ) throws {
            let widths = Array(widths.reversed())
            self.window = window
            innerShape = [-1, widths[0], window.width >> widths.count]
            first = try Linear(
                scope["0"], inputs: inputCount, outputs: innerShape.dropFirst().reduce(1, *))
            let bandCount = window.channelCount * window.height
            for (index, width) in widths.enumerated() {
                let outputs = index + 1 < widths.count ? widths[index + 1] : bandCount
                layers.append(
                    try DoublingConvolution1D(
                        scope["\(index + 1)"], inputs: width, outputs: outputs))
            }
        }

        func callAsFunction(_ z: Tensor) throws -> Tensor {
            var h = try first(z).silu().reshaped(innerShape)
            for (index, layer) in layers.enumerated() {
                h = try layer(h)  // [B, width, 2T] …
                if index + 1 < layers.count { h = try h.silu() }
            }
            return try h.reshaped([z.shape[0]] + window.extents)
        }
    }
}
