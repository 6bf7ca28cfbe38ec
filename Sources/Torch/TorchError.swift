import CTorch

/// An error of the tensor layer: a failed libtorch operation, or a weights file that is not right.
public struct TorchError: Error, CustomStringConvertible, Sendable {
    /// What kind of error it is, to catch and to test.
    public struct Code: Hashable, Sendable {
        /// The name that logs and JSON show.
        public let name: String

        /// libtorch refused an operation; the message is libtorch's own.
        public static let operation = Self(name: "operation")
        /// The device does not exist here.
        public static let device = Self(name: "device")
        /// A safetensors file is not well formed.
        public static let weights = Self(name: "weights")
        /// A tensor has another shape than was asked for.
        public static let shape = Self(name: "shape")
        /// Another process of a run is missing or lost.
        public static let group = Self(name: "group")
        /// The environment does not describe a run of processes.
        public static let environment = Self(name: "environment")
    }

    /// What kind of error it is.
    public let code: Code
    /// What went wrong, expected against found.
    public let message: String
    /// What to do about it.
    public let hint: String?

    /// Makes an error.
    public init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    /// The message, and what to do.
    public var description: String { hint.map { "\(message); \($0)" } ?? message }
}

/// Throws libtorch's message when a call of the C interface failed.
///
/// Must stand in the same synchronous call, since the message belongs to the thread.
func check(_ status: LTStatus) throws(TorchError) {
    guard status != 0 else { return }
    // libtorch appends notes on its sources after the first line; people need the first.
    let text = String(cString: LTLastError())
    let line = text.split(separator: "\n").first.map(String.init) ?? "libtorch failed"
    throw TorchError(.operation, line)
}
