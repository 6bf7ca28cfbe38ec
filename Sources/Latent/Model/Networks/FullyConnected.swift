import Torch

/// Linear layers with SiLU between them, and their mirror image.
struct FullyConnectedNetwork: Network {
    var summary: String { "fully connected layers" }
    var defaultWidths: [Int] { [256, 128] }

    func sideMultiple(widths: [Int]) -> Int { 1 }

    func layers(window: WindowShape, latentCount: Int, widths: [Int]) -> [LayerSize] {
        let all = [window.elementCount] + widths + [latentCount]
        return zip(all, all.dropFirst()).map {
            LayerSize(weightCount: $0 * $1, activationCount: 6 * $1)
        }
    }

    private static func linears(_ scope: Parameters.Scope, widths: [Int]) throws -> [Linear] {
        try zip(widths, widths.dropFirst()).enumerated().map { index, sizes in
            try Linear(scope["\(index)"], inputs: sizes.0, outputs: sizes.1)
        }
    }

    struct Encoder: EncoderNetwork {
        private let layers: [Linear]
        let featureCount: Int

        init(_ scope: Parameters.Scope, window: WindowShape, widths: [Int]) throws {
            layers = try linears(scope, widths: [window.elementCount] + widths)
            featureCount = widths.last ?? window.elementCount
        }

        func callAsFunction(_ x: Tensor) throws -> Tensor {
            var h = try x.reshaped([x.shape[0], -1])
            for layer in layers { h = try layer(h).silu() }  // [B, width]
            return h
        }
    }

    struct Decoder: DecoderNetwork {
        private let layers: [Linear]
        private let window: WindowShape

        init(
            _ scope: Parameters.Scope, inputCount: Int, window: WindowShape, widths: [Int]
        ) throws {
            layers = try linears(
                scope, widths: [inputCount] + widths.reversed() + [window.elementCount])
            self.window = window
        }

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
