import Media
import Torch

/// From parents to what is decoded: the latents of each method.
extension Augmenter {
    /// Where between its parents an item lies.
    private func mix(using generator: inout Generator) -> Double? {
        switch configuration.method {
        case .interpolate: 0.2 + 0.6 * Double(generator.uniform())
        case .smote: Double(generator.uniform())
        case .extrapolate: -configuration.extrapolation
        case .prior, .density, .flow, .vamp, .posterior, .transform, .deform: nil
        }
    }

    /// Draws the latents of a chunk and decodes them, some hundred windows at a time.
    ///
    /// - Parameters:
    ///   - chunk: the draws with their parents
    ///   - move: what is added to the posteriors of parents
    /// - Returns: what there is to render of each
    /// - Throws: `TorchError` when memory runs out
    func decode(_ chunk: [Prepared], move: LatentMove) throws -> [Renderer.Job] {
        guard !chunk.isEmpty else { return [] }
        guard let model = source?.model else { return chunk.map(\.untouched) }
        return try withoutGradients {
            let latentCount = model.noiseCount
            var mixes: [Double?] = []
            var noise: [Float] = []
            var counts: [Int] = []
            var choices: [Float] = []
            var codes: [[Int]] = []
            for prepared in chunk {
                var generator = prepared.draw.generator
                // Parents of unequal length share as many windows as the shorter one has.
                let count = prepared.windows.map(\.count).min() ?? 1
                mixes.append(mix(using: &generator))
                counts.append(count)
                noise += generator.normals(count * latentCount)
                choices += (0..<count).map { _ in generator.uniform() }
                codes += [[Int]](repeating: prepared.codes, count: count)
            }
            let condition = try model.condition(codes)
            let total = counts.reduce(0, +)
            let noiseTensor = try Tensor(noise, shape: [total, latentCount]).to(model.device)
            let z: Tensor
            switch configuration.method {
            case .transform, .deform: return chunk.map(\.untouched)
            case .prior, .vamp:
                z = try model.priorLatents(
                    noise: noiseTensor * configuration.spread, choices: choices,
                    condition: condition)
            case .density:
                let top = density?.draws(
                    groups: codes.map(labelling.group),
                    noise: noise.map { $0 * Float(configuration.spread) }, noiseCount: latentCount,
                    choices: choices)
                z = try model.latents(
                    below: Tensor(top ?? [], shape: [total, model.configuration.latentCount])
                        .to(model.device),
                    noise: noiseTensor * configuration.spread, condition: condition)
            case .flow:
                guard let flow else { return [] }
                let top = try flow.draws(
                    codes: codes, noise: noise.map { $0 * Float(configuration.spread) },
                    noiseCount: latentCount)
                z = try model.latents(
                    below: top.to(model.device), noise: noiseTensor * configuration.spread,
                    condition: condition)
            case .posterior:
                z = try encode(
                    chunk, by: model, move: move, parent: 0, counts: counts,
                    noise: noiseTensor * configuration.spread)
            case .interpolate, .smote, .extrapolate:
                let first = try encode(chunk, by: model, move: move, parent: 0, counts: counts)
                let second = try encode(chunk, by: model, move: move, parent: 1, counts: counts)
                let weights = zip(mixes, counts).flatMap { mix, count in
                    [Float](repeating: Float(mix ?? 0), count: count)
                }
                z = try configuration.path.points(from: first, to: second, mixes: weights)
            }
            var decoded: [Float] = []
            for rows in VAE.parts(ofRows: total) {
                decoded += try model.decode(
                    z.narrowed(axis: 0, start: rows.lowerBound, length: rows.count),
                    condition: model.condition(Array(codes[rows]))
                ).mean.floats()
            }
            let length = model.configuration.elementCount
            var jobs: [Renderer.Job] = []
            var start = 0
            for (index, prepared) in chunk.enumerated() {
                let end = start + counts[index] * length
                jobs.append(
                    Renderer.Job(
                        slot: prepared.slot, draw: prepared.draw, parents: prepared.windows,
                        windows: Array(decoded[start..<end]), real: nil, mix: mixes[index],
                        codes: prepared.codes, isMoved: isMoved(prepared)))
                start = end
            }
            return jobs
        }
    }

    private func isMoved(_ prepared: Prepared) -> Bool {
        configuration.direction != nil && configuration.strength != 0
            || !prepared.parentCodes.isEmpty && prepared.parentCodes[0] != prepared.codes
    }

    private func encode(
        _ chunk: [Prepared], by model: VAE, move: LatentMove, parent: Int, counts: [Int],
        noise: Tensor? = nil
    ) throws -> Tensor {
        var values: [Float] = []
        var codes: [[Int]] = []
        var shifts: [Float] = []
        for (prepared, count) in zip(chunk, counts) {
            let own = prepared.parentCodes[parent]
            values += prepared.windows[parent].values(0..<count)
            codes += [[Int]](repeating: own, count: count)
            let shift = move.shift(from: own, to: prepared.codes)
            for _ in 0..<count where !move.isNone { shifts += shift }
        }
        let rows = codes.count
        let (length, width) = (model.configuration.elementCount, model.noiseCount)
        let latentCount = model.configuration.latentCount
        let noise = try noise ?? Tensor.zeros(shape: [rows, width], device: model.device)
        let parts = try VAE.parts(ofRows: rows).map { part in
            var change = InferenceChange()
            if !move.isNone {
                // Of several layers the top one is moved; those below follow it.
                let moved = shifts[part.lowerBound * latentCount..<part.upperBound * latentCount]
                let mean = try Tensor(Array(moved), shape: [part.count, latentCount])
                let below = try Tensor.zeros(shape: [part.count, width - latentCount])
                change.shift = (
                    mean: try Tensor.concatenated([mean, below], axis: 1).to(model.device),
                    logVariance: try Tensor.zeros(shape: [part.count, width], device: model.device)
                )
            }
            return try model.infer(
                model.batch(Array(values[part.lowerBound * length..<part.upperBound * length])),
                condition: model.condition(Array(codes[part])),
                noise: noise.narrowed(axis: 0, start: part.lowerBound, length: part.count),
                change: change
            ).z
        }
        return try parts.count == 1 ? parts[0] : Tensor.concatenated(parts, axis: 0)
    }
}
