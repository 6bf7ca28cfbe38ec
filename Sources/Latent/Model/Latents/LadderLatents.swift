import Torch

/// Two to five stochastic layers: a vector at the top, maps below it, from coarse to fine.
///
/// A bottom-up residual encoder gives features at each level. Going down, each layer's prior
/// p(z|above) and posterior q(z|above, x) share the path from above: the posterior is the prior moved
/// by what the features of its level add. The level of a layer: the deepest for the first map, then
/// one level finer for each; layers beyond the number of levels share the deepest.
///
/// Source: Sønderby et al., "Ladder variational autoencoders", NeurIPS 2016 (shared top-down path);
/// Vahdat & Kautz, "NVAE", NeurIPS 2020, section 3.2 (the posterior as a change of the prior).
/// Differs: no normalisation layers; log-variances are kept within -8…4.
struct LadderLatents: LatentStructure {
    private let levels: [(down: HalvingConvolution, block: ResidualBlock)]
    private let top: PosteriorHead
    private let labelPrior: LabelPrior?
    private let spread: Linear
    private let innerShape: [Int]
    private let steps: [Step]
    private let last: (block: ResidualBlock, up: DoublingConvolution)
    private let topCount: Int
    private let layerCount: Int

    /// A way down: a stochastic map, or the way to the next finer level.
    private enum Step {
        case draw(Draw)
        case up(ResidualBlock, DoublingConvolution)
    }

    private struct Draw {
        let level: Int
        /// Where the layer's latents stand in a row.
        let range: Range<Int>
        let shape: [Int]
        let prior: Convolution
        let fromAbove: Convolution
        let fromBelow: Convolution
        let enter: Convolution
        let block: ResidualBlock
    }

    let dimensionCount: Int

    init(_ site: BuildingSite) throws {
        let configuration = site.configuration
        let widths = configuration.widths
        let encoder = site.root["encoder"]
        let decoder = site.root["decoder"]
        topCount = configuration.latentCount
        layerCount = configuration.layerCount

        var levels: [(down: HalvingConvolution, block: ResidualBlock)] = []
        var inputs = configuration.channelCount
        for (index, width) in widths.enumerated() {
            let scope = encoder["\(index)"]
            levels.append(
                (
                    try HalvingConvolution(scope["down"], inputs: inputs, outputs: width),
                    try ResidualBlock(scope["block"], width: width)
                ))
            inputs = width
        }
        self.levels = levels
        func sides(_ level: Int) -> (height: Int, width: Int) {
            (configuration.height >> (level + 1), configuration.width >> (level + 1))
        }
        let deepest = widths.count - 1
        let area = sides(deepest).height * sides(deepest).width
        top = try PosteriorHead(
            encoder, featureCount: inputs * area, conditionCount: configuration.conditionCount,
            latentCount: topCount, isPoint: false)
        labelPrior = try LabelPrior(site, count: topCount)
        spread = try Linear(
            decoder["top"], inputs: topCount + configuration.conditionCount,
            outputs: inputs * area)
        innerShape = [-1, inputs, sides(deepest).height, sides(deepest).width]

        let mapLevels = configuration.mapLevels
        var steps: [Step] = []
        var used = topCount
        var made = 0
        for level in stride(from: deepest, through: 0, by: -1) {
            let width = widths[level]
            for _ in mapLevels.filter({ $0 == level }) {
                let channels = configuration.mapChannelCount
                let (height, columns) = sides(level)
                let scope = decoder["layer\(made + 1)"]
                let count = channels * height * columns
                steps.append(
                    .draw(
                        Draw(
                            level: level, range: used..<used + count,
                            shape: [-1, channels, height, columns],
                            prior: try Convolution(
                                scope["prior"], inputs: width, outputs: 2 * channels),
                            fromAbove: try Convolution(
                                scope["posterior_above"], inputs: width, outputs: 2 * channels),
                            fromBelow: try Convolution(
                                encoder["layer\(made + 1)"], inputs: width, outputs: 2 * channels),
                            enter: try Convolution(
                                scope["enter"], inputs: channels, outputs: width),
                            block: try ResidualBlock(scope["block"], width: width))))
                used += count
                made += 1
            }
            if level > 0 {
                let scope = decoder["up\(level)"]
                steps.append(
                    .up(
                        try ResidualBlock(scope["block"], width: width),
                        try DoublingConvolution(
                            scope["up"], inputs: width, outputs: widths[level - 1])))
            }
        }
        self.steps = steps
        dimensionCount = used
        last = (
            try ResidualBlock(decoder["last"]["block"], width: widths[0]),
            try DoublingConvolution(
                decoder["last"]["up"], inputs: widths[0],
                outputs: configuration.outputShape.channelCount)
        )
    }

    /// Features of each level, [B, width, H/2, W/2] ….
    func features(of x: Tensor) throws -> [Tensor] {
        var features: [Tensor] = []
        var h = try x * 2 - 1
        for (index, level) in levels.enumerated() {
            h = try level.block(level.down(index == 0 ? h : h.silu()))
            features.append(h)
        }
        return features
    }

    func infer(
        _ features: [Tensor], condition: Tensor?, noise: Tensor, drawCount: Int,
        change: InferenceChange
    ) throws -> (layers: [LatentLayer], output: Tensor) {
        let posterior = try change.applied(
            to: topPosterior(features, condition: condition), at: 0..<topCount)
        let z = try posterior.sample(
            noise: noise.narrowed(axis: 1, start: 0, length: topCount), drawCount: drawCount)
        let labels = try condition.map {
            drawCount > 1 ? try $0.repeatedInterleaved(drawCount) : $0
        }
        var layers = [
            LatentLayer(
                posterior: try posterior.repeated(drawCount), z: z, prior: try topPrior(labels))
        ]
        let output = try descend(from: z, condition: labels) { draw, h, prior in
            let drawNoise = try noise.narrowed(
                axis: 1, start: draw.range.lowerBound, length: draw.range.count)
            if layers.count >= layerCount - change.priorLayerCount {
                let z = try prior.sample(noise: drawNoise)
                layers.append(
                    LatentLayer(posterior: prior, z: z, prior: GaussianPrior(parameters: prior)))
                return z
            }
            // What does not depend on the draw is computed once for each window.
            let below = try draw.fromBelow(features[draw.level].silu())
            let moved =
                try draw.fromAbove(h.silu())
                + (drawCount > 1 ? try below.repeatedInterleaved(drawCount) : below)
            let count = draw.range.count
            let added = try moved.widened().reshaped([-1, 2 * count])
            let posterior = try change.applied(
                to: Posterior(
                    mean: prior.mean + added.narrowed(axis: 1, start: 0, length: count),
                    logVariance: (prior.logVariance
                        + added.narrowed(axis: 1, start: count, length: count))
                        .clamped(to: Posterior.logVarianceRange)),
                at: draw.range, drawCount: drawCount)
            let z = try posterior.sample(noise: drawNoise)
            layers.append(
                LatentLayer(posterior: posterior, z: z, prior: GaussianPrior(parameters: prior)))
            return z
        }
        return (layers, output)
    }

    func topPosterior(_ features: [Tensor], condition: Tensor?) throws -> Posterior {
        let last = features[levels.count - 1]
        return try top(last.silu().reshaped([last.shape[0], -1]), condition: condition)
    }

    func output(of z: Tensor, condition: Tensor?) throws -> Tensor {
        try descend(
            from: z.narrowed(axis: 1, start: 0, length: topCount), condition: condition
        ) { draw, _, _ in
            try z.narrowed(axis: 1, start: draw.range.lowerBound, length: draw.range.count)
        }
    }

    func completed(_ z: Tensor, noise: Tensor?, condition: Tensor?) throws -> Tensor {
        let top = try z.narrowed(axis: 1, start: 0, length: topCount)
        var parts = [top]
        _ = try descend(from: top, condition: condition) { draw, _, prior in
            let below =
                try noise.map {
                    try prior.sample(
                        noise: $0.narrowed(
                            axis: 1, start: draw.range.lowerBound, length: draw.range.count))
                } ?? prior.mean
            parts.append(below)
            return below
        }
        return try Tensor.concatenated(parts, axis: 1)
    }

    private func topPrior(_ condition: Tensor?) throws -> any LatentPrior {
        guard let labelPrior, let condition else { return StandardNormal() }
        return try labelPrior(condition)
    }

    func prior(noise: Tensor, choices: [Float], condition: Tensor?) throws -> Tensor {
        let top = try topPrior(condition).sample(
            noise: noise.narrowed(axis: 1, start: 0, length: topCount), choices: choices)
        var parts = [top]
        _ = try descend(from: top, condition: condition) { draw, _, prior in
            let z = try prior.sample(
                noise: noise.narrowed(
                    axis: 1, start: draw.range.lowerBound, length: draw.range.count))
            parts.append(z)
            return z
        }
        return try Tensor.concatenated(parts, axis: 1)
    }

    /// Goes from the top latents to the decoder's output; `latents` gives z of each map, [N, D], from
    /// the state above it and its prior.
    private func descend(
        from top: Tensor, condition: Tensor?,
        latents: (_ draw: Draw, _ above: Tensor, _ prior: Posterior) throws -> Tensor
    ) throws -> Tensor {
        let joined = try condition.map { try Tensor.concatenated([top, $0], axis: 1) } ?? top
        var h = try spread(joined).reshaped(innerShape)
        for step in steps {
            switch step {
            case .draw(let draw):
                // [N, 2Z, h, w]: means first, then log-variances.
                let parameters = try draw.prior(h.silu()).widened()
                    .reshaped([-1, 2 * draw.range.count])
                let prior = try Posterior(
                    splitting: parameters, axis: 1, count: draw.range.count)
                let z = try latents(draw, h, prior).reshaped(draw.shape)
                h = try draw.block(h + draw.enter(z))
            case .up(let block, let up):
                h = try up(block(h).silu())
            }
        }
        return try last.up(last.block(h).silu())
    }

    var pseudoInputs: Tensor? { nil }
}

extension VAEConfiguration {
    /// The level of each stochastic map, in the order in which they are drawn: the deepest first,
    /// which also takes those beyond the number of levels.
    var mapLevels: [Int] {
        let deepest = widths.count - 1
        let extra = max(0, layerCount - 1 - widths.count)
        return (0..<layerCount - 1).map { max(0, deepest - max(0, $0 - extra)) }
    }

    /// Latent dimensions of all layers.
    public var latentDimensionCount: Int {
        mapLevels.reduce(latentCount) { total, level in
            total + mapChannelCount * (height >> (level + 1)) * (width >> (level + 1))
        }
    }
}
