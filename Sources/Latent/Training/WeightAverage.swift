import Torch

/// A moving average of a model's weights, which scores and samples better than the last step's.
///
/// Source: Polyak & Juditsky 1992; Tarvainen & Valpola, "Mean teachers", NeurIPS 2017 (the decay that
/// begins small, so that the first weights are soon forgotten).
final class WeightAverage {
    private let decay: Double
    private let parameters: [Tensor]
    private let paths: [String]
    private let averages: [Tensor]

    /// Begins at the weights as they are.
    init(of parameters: Parameters, under prefixes: [String], decay: Double) throws {
        self.decay = decay
        let entries = parameters.entries.filter { entry in
            prefixes.contains { entry.path.hasPrefix($0) }
        }
        paths = entries.map(\.path)
        self.parameters = entries.map(\.tensor)
        averages = try self.parameters.map { try Self.copy($0) }
    }

    private static func copy(_ tensor: Tensor) throws -> Tensor {
        let copy = try Tensor.zeros(shape: tensor.shape, device: tensor.device)
        try copy.assign(tensor)
        return copy
    }

    /// Takes a step's weights in; `step` counts from 0.
    func update(step: Int) throws {
        let early = Double(1 + step) / Double(10 + step)
        try Tensor.updateAverages(averages, of: parameters, decay: min(decay, early))
    }

    /// Runs a closure with the averages in the place of the weights.
    func inPlace<Result>(_ body: () throws -> Result) throws -> Result {
        try swap()
        let result: Result
        do {
            result = try body()
        } catch {
            try swap()
            throw error
        }
        try swap()
        return result
    }

    private func swap() throws {
        for (parameter, average) in zip(parameters, averages) {
            let kept = try Self.copy(parameter)
            try parameter.assign(average)
            try average.assign(kept)
        }
    }

    /// The averages on the host, by path.
    func values() throws -> [String: HostTensor] {
        var values: [String: HostTensor] = [:]
        for (path, tensor) in zip(paths, averages) {
            values[path] = HostTensor(shape: tensor.shape, values: try tensor.floats())
        }
        return values
    }

    /// Puts averages back.
    func load(_ values: [String: HostTensor]) throws {
        for (path, tensor) in zip(paths, averages) {
            guard let value = values[path], value.shape == tensor.shape else {
                throw TorchError(.weights, "the average of \(path) is missing")
            }
            try tensor.assign(try Tensor(value.values, shape: value.shape))
        }
    }
}
