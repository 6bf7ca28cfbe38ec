import Torch

/// The shape of a window, [C, H, W].
struct WindowShape: Sendable, Equatable {
    var channelCount: Int
    var height: Int
    var width: Int

    var elementCount: Int { channelCount * height * width }
    var extents: [Int] { [channelCount, height, width] }
}

/// Windows → features: [B, C, H, W] in -1…1 → [B, F].
protocol EncoderNetwork {
    /// Registers its weights at the scope.
    init(_ scope: Parameters.Scope, window: WindowShape, widths: [Int]) throws

    /// F.
    var featureCount: Int { get }
    func callAsFunction(_ x: Tensor) throws -> Tensor
}

/// Latents → the numbers of a likelihood: [B, I] → [B, C, H, W].
protocol DecoderNetwork {
    /// Registers its weights at the scope; from I numbers to a window.
    init(_ scope: Parameters.Scope, inputCount: Int, window: WindowShape, widths: [Int]) throws

    func callAsFunction(_ z: Tensor) throws -> Tensor
}

/// A kind of network: an encoder and the decoder that mirrors it.
///
/// One more network is one more file in `Networks/`, its case in
/// ``VAEConfiguration/Architecture`` and a test.
protocol Network: Sendable {
    associatedtype Encoder: EncoderNetwork
    associatedtype Decoder: DecoderNetwork

    /// What it is, in a few words.
    var summary: String { get }

    /// The widths that are used where none are given, from the window inwards.
    var defaultWidths: [Int] { get }

    /// By what the sides of a window must be divisible.
    func sideMultiple(widths: [Int]) -> Int

    /// Whether that is so of the height too, and not of the width alone.
    var halvesHeight: Bool { get }

    /// What encoder and decoder take, before they are made: for each layer about the number of its
    /// weights and of its activations for one window.
    func layers(window: WindowShape, latentCount: Int, widths: [Int]) -> [LayerSize]
}

extension Network {
    /// A halving for each width.
    func sideMultiple(widths: [Int]) -> Int { 1 << widths.count }

    var halvesHeight: Bool { true }

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
}

/// About what a layer takes.
struct LayerSize {
    var weightCount: Int
    var activationCount: Int
}

extension VAEConfiguration {
    /// The kind of network in encoder and decoder.
    public enum Architecture: String, Codable, Sendable, CaseIterable {
        /// Convolutions that halve, and transposed ones that double, the sides.
        case conv
        /// Convolutions with gates.
        case gated
        /// Fully connected layers.
        case mlp
        /// Convolutions with residual blocks between them.
        case resnet
        /// Convolutions along time over whole spectra.
        case spectral

        /// What it is, in a few words.
        public var summary: String { network.summary }

        var network: any Network {
            switch self {
            case .conv: ConvolutionalNetwork()
            case .gated: GatedNetwork()
            case .mlp: FullyConnectedNetwork()
            case .resnet: ResidualNetwork()
            case .spectral: SpectralNetwork()
            }
        }
    }
}
