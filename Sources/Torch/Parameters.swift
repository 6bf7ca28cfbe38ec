/// The parameters of a model under explicit paths; the path is the key in the weights file.
///
/// Layers are made with a ``Parameters/Scope``, which registers what they need. Order of
/// registration is kept: it is the order of the optimiser's state.
public final class Parameters {
    /// A path and its tensor.
    public struct Entry {
        /// The key in the weights file, such as `encoder.0.weight`.
        public let path: String
        /// The parameter, a leaf on the model's device.
        public let tensor: Tensor
    }

    /// All parameters in the order of registration.
    public private(set) var entries: [Entry] = []
    /// Where the parameters live.
    public let device: Device
    private var generator: Generator
    /// What the parameters have their numbers in common with; nil where they have their own.
    private let original: Parameters?

    /// Makes an empty store.
    ///
    /// - Parameters:
    ///   - device: where the parameters will live
    ///   - generator: the source of initial values; equal generators give equal values on any
    ///     device
    public init(device: Device, generator: Generator) {
        self.device = device
        self.generator = generator
        original = nil
    }

    /// Makes an empty store whose parameters will be the same numbers in memory as those of another one,
    /// with gradients of their own.
    ///
    /// For several threads that work out gradients of one model: what is written to the numbers of either is
    /// written to both, which nobody may do meanwhile.
    public init(sharing original: Parameters) {
        device = original.device
        generator = original.generator
        self.original = original
    }

    /// A place in the tree of paths.
    public struct Scope {
        let store: Parameters
        let prefix: String

        /// A place below this one.
        public subscript(name: String) -> Scope {
            Scope(store: store, prefix: prefix.isEmpty ? name : "\(prefix).\(name)")
        }

        /// Registers a parameter with initial values from a closure.
        public func parameter(
            _ name: String, shape: [Int],
            initial: (_ count: Int, _ generator: inout Generator) -> [Float]
        ) throws(TorchError) -> Tensor {
            let path = self[name].prefix
            precondition(!store.entries.contains { $0.path == path }, "\(path) exists already")
            let tensor: Tensor
            if let original = store.original {
                guard let shared = original.entries.first(where: { $0.path == path }) else {
                    preconditionFailure("\(path) is not in what is shared")
                }
                tensor = try shared.tensor.detached()
            } else {
                let values = initial(shape.reduce(1, *), &store.generator)
                tensor = try Tensor(values, shape: shape).to(store.device)
            }
            try tensor.requireGradient()
            store.entries.append(Entry(path: path, tensor: tensor))
            return tensor
        }

        /// Registers a parameter drawn from U(-bound, bound).
        public func uniform(
            _ name: String, shape: [Int], bound: Float
        ) throws(TorchError) -> Tensor {
            try parameter(name, shape: shape) { count, generator in
                (0..<count).map { _ in (generator.uniform() * 2 - 1) * bound }
            }
        }
    }

    /// The root of the paths.
    public var root: Scope { Scope(store: self, prefix: "") }

    /// The parameters whose path begins with one of the prefixes; all when none is given.
    public func tensors(under prefixes: [String] = [""]) -> [Tensor] {
        entries.filter { entry in prefixes.contains { entry.path.hasPrefix($0) } }.map(\.tensor)
    }

    /// Copies all values to the host, by path.
    public func values() throws(TorchError) -> [String: HostTensor] {
        var values: [String: HostTensor] = [:]
        for entry in entries {
            values[entry.path] = HostTensor(
                shape: entry.tensor.shape, values: try entry.tensor.floats())
        }
        return values
    }

    /// Overwrites all values.
    ///
    /// - Throws: ``TorchError`` with code `.weights` when a path is missing or has another shape;
    ///   then nothing was changed
    public func load(_ values: [String: HostTensor]) throws(TorchError) {
        for entry in entries {
            guard let value = values[entry.path] else {
                throw TorchError(.weights, "the weights lack \(entry.path)")
            }
            guard value.shape == entry.tensor.shape else {
                throw TorchError(
                    .weights,
                    "\(entry.path) has shape \(value.shape), expected \(entry.tensor.shape)")
            }
        }
        for entry in entries {
            guard let value = values[entry.path] else { continue }
            try entry.tensor.assign(try Tensor(value.values, shape: value.shape))
        }
    }
}

/// Values of a tensor on the host, free to cross threads.
public struct HostTensor: Sendable, Equatable {
    /// The extent of each axis.
    public let shape: [Int]
    /// The elements in row-major order.
    public let values: [Float]

    /// Makes a host tensor.
    public init(shape: [Int], values: [Float]) {
        precondition(shape.reduce(1, *) == values.count, "shape and values differ")
        self.shape = shape
        self.values = values
    }
    /// Whether no element is NaN or infinite.
    public var isFinite: Bool {
        // A sum of what is 0 for every finite number, which the compiler takes several at a time.
        values.withUnsafeBufferPointer { values in values.reduce(Float(0)) { $0 + $1 * 0 } == 0 }
    }
}
