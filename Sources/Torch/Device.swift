import CTorch

/// Where tensors live and operations run.
public struct Device: Hashable, Sendable, CustomStringConvertible {
    /// The name as libtorch writes it: `cpu`, `cuda:0`, `mps`.
    public let description: String

    /// The processor.
    public static let cpu = Device(unchecked: "cpu")

    private init(unchecked name: String) { description = name }

    /// Finds a device by name.
    ///
    /// - Parameter name: `cpu`, `cuda`, `cuda:N` or `mps`
    /// - Throws: ``TorchError`` with code `.device` when the name is not of that form or this
    ///   machine or this libtorch lacks the device
    public init(named name: String) throws(TorchError) {
        let full = name == "cuda" ? "cuda:0" : name
        let isIndexed = full.hasPrefix("cuda:") && UInt8(full.dropFirst(5)) != nil
        guard full == "cpu" || full == "mps" || isIndexed else {
            throw TorchError(
                .device, "\"\(name)\" is not a device", hint: "name cpu, cuda, cuda:N or mps")
        }
        guard LTDeviceIsAvailable(full) else {
            throw TorchError(
                .device, "\(full) is not available here",
                hint: "use --device cpu, or a machine and a libtorch build that have it")
        }
        description = full
    }
}

/// Settings that hold for a whole process or thread.
public enum Runtime {
    /// The version of libtorch that was compiled against.
    public static var libtorchVersion: String { String(cString: LTVersion()) }

    /// The number of threads that one operation may use.
    public static var threadCount: Int { Int(LTThreadCount()) }

    /// Whether this processor multiplies bfloat16, in vectors (AVX-512 BF16) or in tiles (AMX) too, so that
    /// it takes half the time that float32 does, or less.
    public static var multipliesBFloat16: Bool { LTHasBFloat16() }

    /// Prepares libtorch for this process.
    ///
    /// Sets the number of threads of an operation, flushes denormal numbers to zero and asks for
    /// deterministic kernels. To be called once, first, on the thread that will compute.
    public static func configure(threadCount: Int) throws(TorchError) {
        try check(LTConfigureThreads(Int32(clamping: threadCount)))
        try check(LTUseDeterministicAlgorithms())
    }

    /// Makes the operations of the calling thread serial, for threads that prepare data ahead.
    public static func serializeThisThread() { LTSerializeThisThread() }
}
