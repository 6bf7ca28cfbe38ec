import Foundation
import Media
import Torch

/// A training run between two steps: everything that the rest of the run depends on.
struct Checkpoint {
    /// The state that is not tensors.
    struct State: Codable, Equatable {
        /// Index of the phase: the bound, then the variance.
        var phase = 0
        /// Epochs of the phase that are done.
        var epoch = 0
        /// Steps of the epoch that are done.
        var stepInEpoch = 0
        /// Steps of the phase that are done.
        var step = 0
        /// Sums over the windows of the epoch so far.
        var sums = Sums()
        /// The best held-out loss of the phase, and the epoch that had it.
        var best: Double?
        var bestEpoch = 0
        var history: [EpochRecord] = []
        /// The log-scale that the first phase ended with.
        var sharedLogScale = 0.0
        /// Times that training went back to its last good state, and what is left of the step.
        var rollbackCount = 0
        var learningRateScale = 1.0
    }

    struct Sums: Codable, Equatable {
        var windowCount = 0
        var loss = 0.0
        var distortion = 0.0
        var rate = 0.0
    }

    /// What the run is of: settings and data; a checkpoint of another run is refused.
    var plan: String
    var state: State
    /// Prefixed `model.`, `best.`, `optimizer.` and `average.`; the last good state's once more
    /// behind `good.`.
    var tensors: [String: HostTensor]
    /// The state that an overflow goes back to.
    var goodState: State?

    private struct States: Codable {
        let now: State
        let good: State?
    }

    private static let format = "latent-checkpoint"

    func write(to path: String) throws {
        let json = String(
            decoding: try ModelFile.encoder.encode(States(now: state, good: goodState)),
            as: UTF8.self)
        var contents = Safetensors(
            metadata: ["format": Self.format, "plan": plan, "state": json], tensors: tensors)
        contents.metadata["sha256"] = ModelFile.digest(contents)
        try FileBytes.write(try contents.encoded(), to: path, overwrite: true, durable: true)
    }

    static func read(_ path: String, plan: String) throws -> Checkpoint {
        let bytes = try FileBytes.read(path, maximumByteCount: 8 << 30)
        guard let contents = try? Safetensors(decoding: bytes),
            contents.metadata["format"] == format,
            contents.metadata["sha256"] == ModelFile.digest(contents),
            let json = contents.metadata["state"],
            let states = try? JSONDecoder().decode(States.self, from: Data(json.utf8))
        else {
            throw LatentError(
                .model, path: path, "the checkpoint is damaged or no checkpoint",
                hint: "remove it to start anew")
        }
        guard contents.metadata["plan"] == plan else {
            throw LatentError(
                .usage, path: path,
                "the checkpoint is of a run with other settings or other data",
                hint: "repeat the command that was interrupted, or remove the checkpoint")
        }
        return Checkpoint(
            plan: plan, state: states.now, tensors: contents.tensors, goodState: states.good)
    }

    /// The tensors under a prefix, without it.
    func tensors(_ prefix: String) -> [String: HostTensor] {
        var part: [String: HostTensor] = [:]
        for (name, tensor) in tensors where name.hasPrefix(prefix + ".") {
            part[String(name.dropFirst(prefix.count + 1))] = tensor
        }
        return part
    }
}
