import Media
import Torch

/// An error of the domain layer: data, models and requests that do not fit.
public struct LatentError: Error, CustomStringConvertible, Sendable {
    /// What kind of error it is, to catch and to test.
    public struct Code: Hashable, Sendable {
        /// The name that score lines show.
        public let name: String

        /// A request that cannot be carried out as given.
        public static let usage = Self(name: "usage")
        /// Inputs that cannot be used: none, too few, or all broken.
        public static let data = Self(name: "data")
        /// A file or folder that is not there.
        public static let notFound = Self(name: "not-found")
        /// A model file that is broken or from another program or version.
        public static let model = Self(name: "model")
        /// Training that does not converge to finite numbers.
        public static let diverged = Self(name: "diverged")
        /// An output that exists already.
        public static let exists = Self(name: "exists")
        /// An output that cannot be written.
        public static let cannotWrite = Self(name: "cannot-write")
        /// Stopped by the user.
        public static let interrupted = Self(name: "interrupted")
    }

    /// What kind of error it is.
    public let code: Code
    /// The file concerned, as the user named it.
    public let path: String?
    /// What is wrong, expected against found.
    public let message: String
    /// What to do about it.
    public let hint: String?

    /// Makes an error.
    public init(_ code: Code, path: String? = nil, _ message: String, hint: String? = nil) {
        self.code = code
        self.path = path
        self.message = message
        self.hint = hint
    }

    /// `path: message; hint`.
    public var description: String {
        (path.map { "\($0.isEmpty ? "''" : $0): " } ?? "") + message
            + (hint.map { "; \($0)" } ?? "")
    }
}

/// What is said of one file that could not be used.
public struct ItemError: Sendable, Equatable {
    /// A short name of the kind, such as `truncated`.
    public let code: String
    /// What is wrong and what to do, without the path.
    public let message: String

    /// Describes any error that reading an item threw.
    public init(_ error: any Error) {
        switch error {
        case let error as MediaError:
            code = error.code.name
            message = error.hint.map { "\(error.message); \($0)" } ?? error.message
        case let error as LatentError:
            code = error.code.name
            message = error.hint.map { "\(error.message); \($0)" } ?? error.message
        case let error as TorchError:
            code = error.code.name
            message = error.description
        default:
            code = "internal"
            message = "\(error)"
        }
    }
}
