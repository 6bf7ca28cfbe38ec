/// What a view makes of an item: [C, H, W] numbers, 0…1 where the view can be turned back.
public struct FeatureMap: Sendable, Equatable {
    /// Channels.
    public let channelCount: Int
    /// Pixels or mel bins.
    public let height: Int
    /// Pixels or frames.
    public let width: Int
    /// Row-major values.
    public let values: [Float]

    /// Makes a map.
    public init(channelCount: Int, height: Int, width: Int, values: [Float]) {
        precondition(channelCount * height * width == values.count, "shape and values differ")
        self.channelCount = channelCount
        self.height = height
        self.width = width
        self.values = values
    }
}

/// What a file was before it became features: what is needed to turn features back into one like it.
public struct SourceDescription: Sendable, Equatable {
    /// Pixels, or 0.
    public var height = 0
    /// Pixels, or 0.
    public var width = 0
    /// Bits of a PNG's samples, or 0.
    public var bitDepth = 0
    /// Channels in the file.
    public var channelCount = 0
    /// Hz, or 0.
    public var sampleRate = 0
    /// Samples of each channel, or 0.
    public var frameCount = 0
    /// The level that the log-mel values are relative to, in nats of power.
    public var referenceLevel = 0.0
    /// Conversions that lose something, in words.
    public var conversions: [String] = []
    /// What is not there of what the features are of, in words.
    public var losses: [String] = []

    /// Describes nothing yet.
    public init() {}
}
