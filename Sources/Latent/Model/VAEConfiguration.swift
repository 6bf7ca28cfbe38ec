/// Everything that fixes the shape of a ``VAE``: what it reads, its networks and its likelihood.
public struct VAEConfiguration: Codable, Sendable, Equatable {
    /// The kind of network in encoder and decoder.
    public enum Architecture: String, Codable, Sendable, CaseIterable {
        /// Convolutions that halve, and transposed ones that double, the sides.
        case conv
        /// Fully connected layers.
        case mlp
    }

    /// Channels of a window: 1 (grey, log-mel) or 3 (RGB).
    public var channelCount: Int
    /// Height of a window, in pixels or mel bins.
    public var height: Int
    /// Width of a window, in pixels or frames.
    public var width: Int
    /// The kind of network.
    public var architecture: Architecture
    /// Channels of the convolutions, or widths of the hidden layers, from the input inwards.
    public var widths: [Int]
    /// Number of latent dimensions, D.
    public var latentCount: Int
    /// The distribution p(x|z).
    public var likelihood: LikelihoodKind

    /// Makes a configuration.
    public init(
        channelCount: Int, height: Int, width: Int, architecture: Architecture, widths: [Int],
        latentCount: Int, likelihood: LikelihoodKind
    ) {
        self.channelCount = channelCount
        self.height = height
        self.width = width
        self.architecture = architecture
        self.widths = widths
        self.latentCount = latentCount
        self.likelihood = likelihood
    }

    /// The widths that are used where none are given.
    public static func defaultWidths(_ architecture: Architecture) -> [Int] {
        switch architecture {
        case .conv: [32, 64, 128]
        case .mlp: [256, 128]
        }
    }

    /// The shape of one window, [C, H, W].
    public var windowShape: [Int] { [channelCount, height, width] }

    /// Elements of one window.
    public var elementCount: Int { channelCount * height * width }

    /// By what the sides of a window must be divisible.
    public static func sideMultiple(_ architecture: Architecture, widths: [Int]) -> Int {
        architecture == .conv ? 1 << widths.count : 1
    }

    /// Checks what a file or a flag may have got wrong.
    ///
    /// - Throws: ``LatentError`` with code `.usage`, expected against found
    public func validate() throws(LatentError) {
        guard channelCount == 1 || channelCount == 3 else {
            throw LatentError(.usage, "\(channelCount) channels; expected 1 or 3")
        }
        guard (1...4096).contains(height), (1...4096).contains(width) else {
            throw LatentError(.usage, "window of \(height)×\(width); sides must be 1 to 4096")
        }
        guard (1...4096).contains(latentCount) else {
            throw LatentError(.usage, "\(latentCount) latent dimensions; expected 1 to 4096")
        }
        guard (1...12).contains(widths.count), widths.allSatisfy({ (1...65536).contains($0) })
        else {
            throw LatentError(
                .usage, "layer widths \(widths); expected 1 to 12 numbers of 1 to 65536")
        }
        let multiple = Self.sideMultiple(architecture, widths: widths)
        guard height % multiple == 0, width % multiple == 0 else {
            throw LatentError(
                .usage,
                "a window of \(height)×\(width) cannot be halved \(widths.count) times",
                hint: "choose sides divisible by \(multiple), fewer --channels, or "
                    + "--architecture mlp")
        }
    }
}
