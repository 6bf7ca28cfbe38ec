/// What kind of files a model is of.
public enum Domain: String, Codable, Sendable, CaseIterable {
    /// PNG images.
    case image
    /// WAV recordings, and whatever else libsndfile reads.
    case audio

    /// Extensions that a walk through a folder takes, in lower case.
    static let extensions: [Domain: Set<String>] = [
        .image: ["png"],
        .audio: [
            "wav", "wave", "rf64", "w64", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff",
            "aifc", "au", "snd", "caf", "voc",
        ],
    ]

    /// The domain of a path by its extension.
    public init?(path: String) {
        guard let dot = path.lastIndex(of: "."),
            !path[dot...].contains("/")
        else { return nil }
        let suffix = path[path.index(after: dot)...].lowercased()
        guard
            let match = Domain.allCases.first(where: {
                Self.extensions[$0]?.contains(suffix) == true
            })
        else { return nil }
        self = match
    }

    /// The plural for messages.
    public var plural: String { self == .image ? "images" : "recordings" }
}
