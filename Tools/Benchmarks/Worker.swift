import Foundation
import Latent
import Torch

/// Steps and passes of one workload, timed on demand: `bench.py` tells when.
///
///     Benchmarks WORKLOAD PRECISION THREADS SEED DATA
///
/// DATA holds windows as float32 numbers one after the other. A line `train FIRST COUNT TOTAL` on
/// standard input trains on the batches from FIRST on, of a run of TOTAL steps; `score COUNT` scores
/// COUNT batches by 16 draws. Each is answered by a line of JSON.
@main
struct Worker {
    /// The networks that are timed; those of `peers.py` are the same.
    static func workload(_ name: String) -> (model: VAEConfiguration, batchSize: Int)? {
        func flat(
            _ channels: Int, _ height: Int, _ width: Int, _ kind: VAEConfiguration.Architecture,
            _ widths: [Int], _ latents: Int
        ) -> VAEConfiguration {
            VAEConfiguration(
                channelCount: channels, height: height, width: width, architecture: kind,
                widths: widths, latentCount: latents, likelihood: .gaussian)
        }
        switch name {
        case "mlp784": return (flat(1, 28, 28, .mlp, [400], 20), 128)
        case "conv32": return (flat(1, 32, 32, .conv, [32, 64, 128], 32), 128)
        case "conv64": return (flat(3, 64, 64, .conv, [32, 64, 128, 256], 64), 64)
        case "logmel": return (flat(1, 40, 64, .conv, [32, 64, 128], 32), 64)
        case "hier32":
            var model = flat(1, 32, 32, .resnet, [32, 64, 128], 32)
            model.layerCount = 3
            return (model, 64)
        default: return nil
        }
    }

    private static let drawCount = 16

    static func main() throws {
        let words = CommandLine.arguments
        guard words.count == 6, let (model, batchSize) = workload(words[1]),
            let precision = TrainingConfiguration.Precision(rawValue: words[2]),
            let threads = Int(words[3]), let seed = UInt64(words[4])
        else {
            FileHandle.standardError.write(
                Data("usage: Benchmarks WORKLOAD PRECISION THREADS SEED DATA; see bench.py\n".utf8))
            exit(64)
        }
        try Runtime.configure(threadCount: threads)
        let data = try Data(contentsOf: URL(fileURLWithPath: words[5]), options: .alwaysMapped)
        let windows = data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        let length = batchSize * model.elementCount
        let batches = stride(from: 0, through: windows.count - length, by: length).map {
            Array(windows[$0..<$0 + length])
        }
        var configuration = TrainingConfiguration(
            windowCount: batches.count * batchSize, batchSize: batchSize, epochCount: 1,
            patience: 0)
        configuration.precision = precision
        configuration.seed = seed
        // What the peers do not do: average the weights.
        configuration.averageDecay = 0
        let trainer = try Trainer(of: model, configuration)
        trainer.model.scoringPrecision = precision

        while let line = readLine() {
            let numbers = line.split(separator: " ").dropFirst().compactMap { Int($0) }
            var losses: [Double] = []
            let startedAt = ContinuousClock.now
            if line.hasPrefix("train"), numbers.count == 3 {
                for step in numbers[0]..<numbers[0] + numbers[1] {
                    losses.append(
                        try trainer.step(
                            on: batches[step % batches.count],
                            progress: Double(step) / Double(numbers[2])))
                }
            } else if line.hasPrefix("score"), numbers.count == 1 {
                for index in 0..<numbers[0] {
                    losses.append(
                        try score(batches[index % batches.count], by: trainer.model))
                }
            }
            let seconds = (ContinuousClock.now - startedAt) / .seconds(1)
            let answer = try JSONEncoder().encode(
                Answer(seconds: seconds, losses: losses, peak_bytes: peakBytes()))
            try FileHandle.standardOutput.write(contentsOf: answer + [0x0A])
        }
    }

    private struct Answer: Encodable {
        let seconds: Double
        let losses: [Double]
        let peak_bytes: Int
    }

    /// Minus the mean reconstruction probability of a batch.
    private static func score(_ batch: [Float], by model: VAE) throws -> Double {
        var generator = Generator(seed: 0, 0)
        let statistics = try model.statistics(
            of: model.batch(batch), drawCount: drawCount
        ) { _, draws in generator.normals(draws.count * model.noiseCount) }
        return -statistics.reconstruction.reduce(0, +) / Double(statistics.reconstruction.count)
    }

    private static func peakBytes() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }
}
