import Torch

/// x + conv(SiLU(conv(SiLU(x)))), 3×3 convolutions of one width.
///
/// The second convolution begins at zero, so that a new network is the plain one; with that no
/// normalisation is needed, and a window's result does not depend on its batch.
///
/// Source: He et al., "Identity mappings in deep residual networks", ECCV 2016 (order of
/// activations); Zhang, Dauphin & Ma, "Fixup initialization", ICLR 2019 (zero last layer).
struct ResidualBlock {
    private let first: Convolution
    private let second: Convolution

    init(_ scope: Parameters.Scope, width: Int) throws {
        first = try Convolution(scope["0"], inputs: width, outputs: width)
        second = try Convolution(scope["1"], inputs: width, outputs: width, gain: 0)
    }

    /// [B, width, H, W] → the same shape.
    func callAsFunction(_ x: Tensor) throws -> Tensor {
        try x + second(first(x.silu()).silu())
    }
}

/// A 4×4 convolution of stride 2 and a residual block for each level, a linear layer, and the mirror
/// image of all.
struct ResidualNetwork: Network {
    var summary: String { "convolutions with residual blocks" }
    var defaultWidths: [Int] { [32, 64, 128] }

    func layers(window: WindowShape, latentCount: Int, widths: [Int]) -> [LayerSize] {
        ConvolutionalNetwork().layers(window: window, latentCount: latentCount, widths: widths)
            .enumerated().map { index, size in
                guard index < widths.count else { return size }
                let block = 18 * widths[index] * widths[index]
                return LayerSize(
                    weightCount: max(size.weightCount, block),
                    activationCount: 4 * size.activationCount)
            }
    }

    struct Encoder: EncoderNetwork {
        private var layers: [(HalvingConvolution, ResidualBlock)] = []
        let featureCount: Int

        init(_ scope: Parameters.Scope, window: WindowShape, widths: [Int]) throws {
            var inputs = window.channelCount
            for (index, width) in widths.enumerated() {
                let level = scope["\(index)"]
                layers.append(
                    (
                        try HalvingConvolution(level["down"], inputs: inputs, outputs: width),
                        try ResidualBlock(level["block"], width: width)
                    ))
                inputs = width
            }
            featureCount =
                inputs * (window.height >> widths.count) * (window.width >> widths.count)
        }

        func callAsFunction(_ x: Tensor) throws -> Tensor {
            var h = x
            for (index, (down, block)) in layers.enumerated() {
                h = try block(down(index == 0 ? h : h.silu()))  // [B, width, H/2, W/2] …
            }
            return try h.silu().reshaped([x.shape[0], -1])
        }
    }

    struct Decoder: DecoderNetwork {
        private let first: Linear
        private let innerShape: [Int]
        private var layers: [(ResidualBlock, DoublingConvolution)] = []

        init(
            _ scope: Parameters.Scope, inputCount: Int, window: WindowShape, widths: [Int]
        ) throws {
            let widths = Array(widths.reversed())
            innerShape = [
                -1, widths[0], window.height >> widths.count, window.width >> widths.count,
            ]
            first = try Linear(
                scope["first"], inputs: inputCount, outputs: innerShape.dropFirst().reduce(1, *))
            for (index, width) in widths.enumerated() {
                let level = scope["\(index)"]
                let outputs = index + 1 < widths.count ? widths[index + 1] : window.channelCount
                layers.append(
                    (
                        try ResidualBlock(level["block"], width: width),
                        try DoublingConvolution(level["up"], inputs: width, outputs: outputs)
                    ))
            }
        }

        func callAsFunction(_ z: Tensor) throws -> Tensor {
            var h = try first(z).reshaped(innerShape)
            for (block, up) in layers { h = try up(block(h).silu()) }  // [B, width, 2H, 2W] …
            return h
        }
    }
}
