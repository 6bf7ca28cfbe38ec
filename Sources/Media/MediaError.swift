/// Why a file could not be read or written.
///
/// Code for `catch` and tests, text for people: the message says what is wrong, with expected
/// against found where there are numbers, and the hint says what to do.
public struct MediaError: Error, CustomStringConvertible, Sendable {
    /// The kind of failure; compare with the static members.
    public struct Code: Hashable, Sendable {
        /// The stable, printable name, such as `not-found`.
        public let name: String
    }

    /// The kind of failure.
    public let code: Code

    /// The file concerned, as the caller named it, or `nil` for bytes without a name.
    public let path: String?

    /// What is wrong, on one line, without the path.
    public let message: String

    /// What to do about it, where there is something to say.
    public let hint: String?

    /// The path, the message and the hint on one line.
    public var description: String {
        let place = path.map { "\($0.isEmpty ? "''" : $0): " } ?? ""
        let advice = hint.map { "; \($0)" } ?? ""
        return place + message + advice
    }

    /// Creates an error; ``at(_:)`` adds the path where it is known.
    init(_ code: Code, _ message: String, hint: String? = nil, path: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.path = path
    }

    /// Returns the same error, told of `path`.
    func at(_ path: String?) -> MediaError {
        MediaError(code, message, hint: hint, path: path)
    }
}

extension MediaError.Code {
    /// There is no file of that name.
    public static let notFound = Self(name: "not-found")
    /// The file is there but its bytes cannot be had: permissions, a folder, an I/O error.
    public static let unreadable = Self(name: "unreadable")
    /// The bytes are not of a kind that this module reads.
    public static let unsupported = Self(name: "unsupported")
    /// The file ends before what it declares.
    public static let truncated = Self(name: "truncated")
    /// The bytes break the rules of their format.
    public static let corrupt = Self(name: "corrupt")
    /// The file is larger than the limits given allow.
    public static let tooLarge = Self(name: "too-large")
    /// There is nothing in the file.
    public static let empty = Self(name: "empty")
    /// Samples are NaN or infinite.
    public static let notFinite = Self(name: "not-finite")
    /// The file to be written is there already.
    public static let exists = Self(name: "exists")
    /// The file cannot be written: permissions, a full disk, an impossible name.
    public static let cannotWrite = Self(name: "cannot-write")
}
