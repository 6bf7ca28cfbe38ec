import Foundation
import Media
import Torch

/// A folder in which one can watch training: `metrics.ndjson`, TensorBoard's event files, and at
/// chosen epochs sheets of reconstructions and samples; at the end a map of the latent space and
/// traversals.
final class TrainingReport {
    /// A window that pictures are made of.
    struct Exhibit {
        let values: [Float]
        let codes: [Int]
        let label: String?
        let path: String
    }

    private struct Metrics: Encodable {
        let epoch: Int
        let training_loss_nats: Double
        let held_out_loss_nats: Double?
        let distortion_nats: Double
        let kl_nats: Double
        let kl_bits_per_dimension: Double
        let layer_kl_nats: [Double]?
        let active_units: Int?
        let windows_per_second: Double?
    }

    private let folder: String
    private let domain: Domain
    private let seed: UInt64
    private let exhibits: [Exhibit]
    private var metrics: MetricsLog?
    private var events: EventFile?
    /// Windows in a second, of the epoch that is about to be recorded.
    var windowsPerSecond: Double?

    /// Makes the folder where it is missing; `exhibits` are the windows to be reconstructed.
    init(folder: String, domain: Domain, seed: UInt64, exhibits: [Exhibit]) throws(LatentError) {
        self.folder = folder
        self.domain = domain
        self.seed = seed
        self.exhibits = exhibits
        try FileManager.default.makeFolder(folder)
    }

    /// What comes next may repeat an epoch that was recorded: the logs are opened anew there.
    func reopen() {
        metrics = nil
        events = nil
    }

    /// Records an epoch, with pictures at epochs 1, 2, 5, 10, 20, 50 ….
    func record(_ record: EpochRecord, model: VAE) throws {
        let metrics =
            try metrics
            ?? MetricsLog(
                path: "\(folder)/metrics.ndjson", resumingAfterEpoch: record.epoch - 1)
        let events =
            try events
            ?? EventFile(folder: folder, resumingAtStep: record.epoch > 1 ? record.epoch : nil)
        (self.metrics, self.events) = (metrics, events)
        try metrics.append(
            Metrics(
                epoch: record.epoch, training_loss_nats: record.trainingLoss,
                held_out_loss_nats: record.heldOutLoss, distortion_nats: record.distortion,
                kl_nats: record.rate,
                kl_bits_per_dimension: record.rate / log(2) / Double(model.noiseCount),
                layer_kl_nats: record.layerRates, active_units: record.activeUnitCount,
                windows_per_second: windowsPerSecond))
        var scalars: [(String, Double?)] = [
            ("loss/training", record.trainingLoss), ("loss/held_out", record.heldOutLoss),
            ("bound/distortion", record.distortion), ("bound/kl", record.rate),
            ("latent/active_units", record.activeUnitCount.map(Double.init)),
            ("speed/windows_per_second", windowsPerSecond),
        ]
        for (index, rate) in (record.layerRates ?? []).enumerated() {
            scalars.append(("latent/kl_layer_\(index + 1)", rate))
        }
        for (tag, value) in scalars {
            if let value { events.scalar(tag, value, step: record.epoch) }
        }
        if Self.isChosen(record.epoch) {
            let number = String(record.epoch)
            let padded = String(repeating: "0", count: max(0, 4 - number.count)) + number
            for (name, sheet) in try sheets(of: model, title: "epoch \(record.epoch)") {
                try write(sheet.png, to: "epoch-\(padded)-\(name).png")
                events.image(name, sheet, step: record.epoch)
            }
        }
        try events.flush()
    }

    static func isChosen(_ epoch: Int) -> Bool {
        var digits = epoch
        while digits >= 10, digits % 10 == 0 { digits /= 10 }
        return [1, 2, 5].contains(digits)
    }

    private func write(_ bytes: [UInt8], to name: String) throws {
        try FileBytes.write(bytes, to: "\(folder)/\(name)", overwrite: true)
    }

    private func maps(_ tensor: Tensor, _ model: VAE) throws -> [FeatureMap] {
        let values = try tensor.floats()
        let window = model.configuration.window
        return stride(from: 0, to: values.count, by: window.elementCount).map { start in
            FeatureMap(
                channelCount: window.channelCount, height: window.height, width: window.width,
                values: Array(values[start..<start + window.elementCount]))
        }
    }

    private func sheets(of model: VAE, title: String) throws -> [(String, ContactSheet)] {
        try withoutGradients {
            var sheets: [(String, ContactSheet)] = []
            if !exhibits.isEmpty {
                let x = try model.batch(exhibits.flatMap(\.values))
                let condition = try model.condition(exhibits.map(\.codes))
                let z = try model.latents(of: x, condition: condition)
                let decoded = try model.decode(z, condition: condition).mean
                sheets.append(
                    (
                        "reconstructions",
                        try .reconstructions(
                            originals: maps(x, model), reconstructions: maps(decoded, model),
                            domain: domain, title: "\(title): originals above reconstructions")
                    ))
            }
            sheets.append(("samples", try samples(of: model, title: title)))
            return sheets
        }
    }

    /// Decoded draws from the prior, the same noise at every epoch.
    private func samples(of model: VAE, title: String) throws -> ContactSheet {
        let count = 32
        var generator = Generator(seed: seed, Stream.fixedLatents.rawValue)
        let noise = try Tensor(
            generator.normals(count * model.noiseCount), shape: [count, model.noiseCount]
        ).to(model.device)
        let choices = (0..<count).map { _ in generator.uniform() }
        let combinations = model.configuration.conditioning?.combinations ?? [[]]
        let condition = try model.condition(
            (0..<count).map { combinations[$0 % combinations.count] })
        let z = try model.priorLatents(noise: noise, choices: choices, condition: condition)
        return try .samples(
            maps(model.decode(z, condition: condition).mean, model), domain: domain,
            title: "\(title): draws from the prior")
    }

    // MARK: The end

    /// Writes the sheets of the model that is kept, the map and the traversals.
    ///
    /// - Parameters:
    ///   - model: as it is kept
    ///   - windows: some of the data, in batches
    /// - Throws: ``LatentError`` `.cannotWrite`; `TorchError` when the model cannot be run
    func finish(model: VAE, windows: [[Exhibit]]) throws {
        try withoutGradients {
            for (name, sheet) in try sheets(of: model, title: "kept model") {
                try write(sheet.png, to: "\(name).png")
            }
            var means: [Float] = []
            var rates: [Double] = []
            var count = 0
            let top = model.configuration.latentCount
            for batch in windows {
                let inference = try model.infer(
                    model.batch(batch.flatMap(\.values)),
                    condition: model.condition(batch.map(\.codes)),
                    noise: Tensor.zeros(
                        shape: [batch.count, model.noiseCount], device: model.device))
                let posterior = inference.layers[0].posterior
                means += try posterior.mean.floats()
                rates = try Self.added(rates, Self.elementRates(posterior))
                count += batch.count
            }
            guard count > 0 else { return }
            let all = windows.flatMap { $0 }
            let map = try LatentMap(
                means: HostTensor(shape: [count, top], values: means), labels: all.map(\.label))
            try write(map.png(title: "posterior means of \(count) windows"), to: "latent-map.png")
            try write(map.csv(paths: all.map(\.path)), to: "latent-map.csv")
            try write(
                traversals(
                    of: model, means: means, rates: rates.map { $0 / Double(count) }, count: count
                ).png, to: "traversals.png")
        }
        try events?.close()
    }

    private static func added(_ a: [Double], _ b: [Double]) -> [Double] {
        a.isEmpty ? b : zip(a, b).map(+)
    }

    /// KL to N(0, 1) of each dimension, summed over the windows of a batch.
    private static func elementRates(_ posterior: Posterior) throws -> [Double] {
        guard !posterior.isPoint else {
            return [Double](repeating: 0, count: posterior.mean.shape[1])
        }
        let terms =
            try posterior.mean.squared() + posterior.logVariance.exp()
            - posterior.logVariance - 1
        return try (terms.sum(axes: [0]) * 0.5).floats().map(Double.init)
    }

    /// Each of the dimensions that carry most, from -3 to 3 deviations of its means around their
    /// middle, the others at theirs.
    private func traversals(
        of model: VAE, means: [Float], rates: [Double], count: Int
    ) throws -> ContactSheet {
        let top = model.configuration.latentCount
        let values = stride(from: -3.0, through: 3.0, by: 1).map { $0 }
        var middle = [Double](repeating: 0, count: top)
        var squares = middle
        for (place, value) in means.enumerated() {
            middle[place % top] += Double(value) / Double(count)
            squares[place % top] += Double(value) * Double(value) / Double(count)
        }
        let deviations = zip(middle, squares).map { max(0, $1 - $0 * $0).squareRoot() }
        // A plain autoencoder has no rates: there the dimensions that vary most.
        let weight = rates.contains { $0 > 0 } ? rates : deviations
        let chosen = (0..<top).sorted { (weight[$1], $0) < (weight[$0], $1) }.prefix(12)
        var rows: [Float] = []
        for dimension in chosen {
            for value in values {
                var z = [Float](repeating: 0, count: model.noiseCount)
                for index in 0..<top { z[index] = Float(middle[index]) }
                z[dimension] += Float(value * deviations[dimension])
                rows += z
            }
        }
        let rowCount = chosen.count * values.count
        let combinations = model.configuration.conditioning?.combinations ?? [[]]
        let condition = try model.condition(
            [[Int]](repeating: combinations[0], count: rowCount))
        var z = try Tensor(rows, shape: [rowCount, model.noiseCount]).to(model.device)
        if model.configuration.layerCount > 1 {
            // What lies below the top is what its prior expects.
            z = try model.latents(below: z, condition: condition)
        }
        let decoded = try maps(model.decode(z, condition: condition).mean, model)
        return try .traversals(
            chosen.enumerated().map { row, dimension in
                ContactSheet.Traversal(
                    dimension: dimension, klNats: rates[dimension],
                    windows: Array(decoded[row * values.count..<(row + 1) * values.count]))
            }, values: values, domain: domain,
            title: "each dimension at deviations of its posterior means")
    }
}
