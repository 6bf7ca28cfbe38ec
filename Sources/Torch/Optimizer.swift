import CTorch

/// Adam with decoupled weight decay, libtorch's fused kernel.
///
/// Source: Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019; with a weight
/// decay of 0 it is Adam (Kingma & Ba 2015).
public final class AdamW {
    /// The knobs; PyTorch's defaults but for the weight decay.
    public struct Configuration: Codable, Sendable, Equatable {
        /// Decay of the first moment.
        public var beta1 = 0.9
        /// Decay of the second moment.
        public var beta2 = 0.999
        /// Added to the root of the second moment.
        public var epsilon = 1e-8
        /// Share of each weight that is taken off a step, times the learning rate.
        public var weightDecay = 0.0

        /// Makes the defaults.
        public init() {}
    }

    private let configuration: Configuration
    private let parameters: [Tensor]
    private let firstMoments: [Tensor]
    private let secondMoments: [Tensor]
    private let stepCounts: [Tensor]

    /// Makes an optimiser with zero state for the given leaves.
    public init(_ parameters: [Tensor], configuration: Configuration = .init()) throws(TorchError) {
        self.parameters = parameters
        self.configuration = configuration
        firstMoments = try Self.zeros(like: parameters)
        secondMoments = try Self.zeros(like: parameters)
        stepCounts = try Self.zeros(like: parameters, scalar: true)
    }

    private static func zeros(
        like parameters: [Tensor], scalar: Bool = false
    ) throws(TorchError) -> [Tensor] {
        var result: [Tensor] = []
        for parameter in parameters {
            let zeros = try Tensor.zeros(shape: scalar ? [] : parameter.shape)
            // `parameter * 0` would give the device too, but keep the graph and any NaN.
            result.append(try zeros.to(parameter.device))
        }
        return result
    }

    /// Scales all gradients so that their joint L2 norm is at most `maximum`.
    ///
    /// - Returns: the norm before
    public func clipGradientNorm(maximum: Double) throws(TorchError) -> Double {
        var norm = 0.0
        let handles = parameters.map(\.handle)
        try check(LTClipGradientNorm(handles, handles.count, maximum, &norm))
        return norm
    }

    /// Takes a step along the gradients and forgets them.
    public func step(learningRate: Double) throws(TorchError) {
        try check(
            LTAdamWStep(
                parameters.map(\.handle), firstMoments.map(\.handle), secondMoments.map(\.handle),
                stepCounts.map(\.handle), parameters.count, learningRate, configuration.beta1,
                configuration.beta2, configuration.epsilon, configuration.weightDecay))
        try clearGradients()
    }

    /// Forgets all gradients.
    public func clearGradients() throws(TorchError) {
        for parameter in parameters { try parameter.clearGradient() }
    }

    /// The whole state on the host, by `first_moment.I`, `second_moment.I` and `step_count.I`.
    public func state() throws(TorchError) -> [String: HostTensor] {
        var state: [String: HostTensor] = [:]
        for (name, tensors) in named {
            for (index, tensor) in tensors.enumerated() {
                state["\(name).\(index)"] = HostTensor(
                    shape: tensor.shape, values: try tensor.floats())
            }
        }
        return state
    }

    /// Puts a state back.
    ///
    /// - Throws: ``TorchError`` with code `.weights` when an entry is missing or has another shape
    public func load(_ state: [String: HostTensor]) throws(TorchError) {
        for (name, tensors) in named {
            for (index, tensor) in tensors.enumerated() {
                guard let value = state["\(name).\(index)"], value.shape == tensor.shape else {
                    throw TorchError(.weights, "the optimiser's \(name).\(index) is missing")
                }
                try tensor.assign(try Tensor(value.values, shape: value.shape))
            }
        }
    }

    private var named: [(String, [Tensor])] {
        [
            ("first_moment", firstMoments), ("second_moment", secondMoments),
            ("step_count", stepCounts),
        ]
    }
}

extension Tensor {
    /// average ← decay · average + (1 - decay) · parameter for each pair, outside of autograd.
    public static func updateAverages(
        _ averages: [Tensor], of parameters: [Tensor], decay: Double
    ) throws(TorchError) {
        let count = min(averages.count, parameters.count)
        try check(
            LTUpdateAverages(averages.map(\.handle), parameters.map(\.handle), count, decay))
    }
}
