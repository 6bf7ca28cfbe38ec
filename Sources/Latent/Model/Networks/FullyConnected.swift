import Torch

/// Linear layers with SiLU between them, and their mirror image.
struct FullyConnectedNetwork: Network {
    var summary: String { "fully connected layers" }
    var defaultWidths: [Int] { [256, 128] }

    func sideMultiple(widths: [Int]) -> Int { 1 }

    func encoder(
        _ scope: Parameters.Scope, window: WindowShape, widths: [Int]
    ) throws -> any EncoderNetwork {
        Encoder(
            layers: try Self.layers(scope, widths: [window.elementCount] + widths),
            featureCount: widths.last ?? window.elementCount)
    }

    func decoder(
        _ scope: Parameters.Scope, inputCount: Int, window: WindowShape, widths: [Int]
    ) throws -> any DecoderNetwork {
        Decoder(
            layers: try Self.layers(
                scope, widths: [inputCount] + widths.reversed() + [window.elementCount]),
            window: window)
    }

    func layers(window: WindowShape, latentCount: Int, widths: [Int]) -> [LayerSize] {
        let all = [window.elementCount] + widths + [latentCount]
        return zip(all, all.dropFirst()).map {
            LayerSize(weightCount: $0 * $1, activationCount: 6 * $1)
        }
    }

    private static func layers(
        _ scope: Parameters.Scope, widths: [Int]
    ) throws -> [Linear] {
        try zip(widths, widths.dropFirst()).enumerated().map { index, sizes in
            try Linear(scope["\(index)"], inputs: sizes.0, outputs: sizes.1)
        }
    }

    private struct Encoder: EncoderNetwork {
        let layers: [Linear]
        let featureCount: Int

        func callAsFunction(_ x: Tensor) throws -> Tensor {
            var h = try x.reshaped([x.shape[0], -1])
            for layer in layers { h = try layer(h).silu() }  // [B, width]
            return h
        }
    }

    private struct Decoder: DecoderNetwork {
        let layers: [Linear]
        let window: WindowShape

        func callAsFunction(_ z: Tensor) throws -> Tensor {
            var h = z
            for (index, layer) in layers.enumerated() {
                h = try layer(h)  // [B, width]
                if index + 1 < layers.count { h = try h.silu() }
            }
            return try h.reshaped([z.shape[0]] + window.extents)
        }
    }
}
