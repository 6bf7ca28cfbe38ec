/// What a transform did to one file, as the manifest has it: a name, and what was drawn.
public struct AppliedTransform: Sendable, Equatable {
    /// What may be said of it.
    public enum Value: Sendable, Equatable {
        /// A number; the unit is in its key.
        case number(Double)
        /// Whether.
        case flag(Bool)
        /// A name or a path.
        case text(String)
    }

    /// The name of the transform; `limit` where the level was lowered so that nothing clips.
    public let name: String
    /// What was drawn, by key.
    public let values: [String: Value]

    init(_ name: String, _ values: [String: Value]) {
        self.name = name
        self.values = values
    }

    init(_ kind: TransformKind, _ values: [String: Value]) { self.init(kind.rawValue, values) }
}

extension AppliedTransform: Encodable {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }

        init?(intValue: Int) { nil }
    }

    /// Writes `{"name":"rotate","degrees":-7.3}`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(name, forKey: Key(stringValue: "name"))
        for (key, value) in values {
            let key = Key(stringValue: key)
            switch value {
            case .number(let number): try container.encode(number, forKey: key)
            case .flag(let flag): try container.encode(flag, forKey: key)
            case .text(let text): try container.encode(text, forKey: key)
            }
        }
    }
}
