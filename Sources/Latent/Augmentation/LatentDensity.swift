import Torch

/// Where the latents of the training files lie: a mixture of Gaussians for each class, or for each
/// combination of labels of a conditional model.
///
/// Draws from it are more like real files than draws from the prior, which puts weight where no file's
/// posterior is. Source: ``GaussianMixture``.
struct LatentDensity: Sendable, Equatable {
    /// A mixture for each combination of ``groups(of:)``; nil where no window was of it.
    let mixtures: [GaussianMixture?]

    /// Takes mixtures as they are.
    init(mixtures: [GaussianMixture?]) { self.mixtures = mixtures }

    /// Numbers that a model file is to hold of it, at most: 32 MB.
    private static let valueLimit = 1 << 23
    /// Windows of a group by which the number of components is chosen, at most.
    private static let triedCount = 4_096
    /// Numbers of components that are tried.
    private static let componentCounts = [1, 2, 4, 8, 16]
    /// Windows for each component, at least.
    private static let windowsForComponent = 10
    /// One window in so many decides which of them is kept.
    private static let heldOutStride = 5

    /// The labels by which latents are grouped: those of a conditional model, else the classes where
    /// there are several; nil where all files are of one kind.
    static func groups(of record: ModelRecord) -> Conditioning? {
        if let conditioning = record.configuration.conditioning { return conditioning }
        return record.labels.count > 1 ? Conditioning(classes: record.labels) : nil
    }

    /// Fits to the posteriors of a sample of the training windows.
    ///
    /// The number of components of a group is that which makes a fifth of its windows likeliest when
    /// fitted to the others, or to some of them; what is chosen is fitted on to all. nil where a
    /// covariance for each group would be too large for a file.
    ///
    /// - Parameters:
    ///   - latents: of windows with labels of `groups`
    ///   - groups: as of ``groups(of:)``
    ///   - seed: chooses where components begin
    /// - Throws: `TorchError` where numbers overflow
    /// - Complexity: some hundred rounds of N·K·D²
    init?(fittedTo latents: LabelledPosteriors, groups: Conditioning?, seed: UInt64) throws {
        let members = latents.posterior
        let dimensions = members.mean.shape[1]
        let groupCount = groups?.combinations.count ?? 1
        guard groupCount * dimensions * (dimensions + 1) <= Self.valueLimit else { return nil }
        var rows = [[Int]](repeating: [], count: groupCount)
        for (row, group) in latents.groups.enumerated() { rows[group].append(row) }
        let expected = try withoutGradients {
            try Self.pooledCovariance(of: members, groups: rows).floats()
        }
        let parts = try rows.map { try $0.isEmpty ? nil : members.rows($0).hosted() }
        // The many small products of one group gain nothing from several threads.
        mixtures = try Crew(size: min(groupCount, Runtime.threadCount)).map(
            Array(parts.enumerated())
        ) { _, part in
            guard let member = part.element else { return nil }
            var generator = Generator(
                seed: seed, Stream.latentDensity.rawValue, UInt64(part.offset))
            return try withoutGradients {
                try Self.mixture(
                    of: Posterior(member),
                    expected: Tensor(expected, shape: [dimensions, dimensions]),
                    limit: Self.valueLimit / groupCount, using: &generator)
            }
        }
    }

    /// One draw for each group of a list, [N, D] in row-major order.
    ///
    /// - Parameters:
    ///   - groups: N indices of mixtures that there are
    ///   - noise: standard normal numbers times the spread, [N, noiseCount]; the first D of a row are
    ///     used
    ///   - noiseCount: D or more
    ///   - choices: N uniform numbers in 0…1
    /// - Returns: z of the top layer
    func draws(groups: [Int], noise: [Float], noiseCount: Int, choices: [Float]) -> [Float] {
        groups.enumerated().flatMap { row, group -> [Float] in
            guard let mixture = mixtures[group] else { return [] }
            let start = row * noiseCount
            return mixture.sample(
                noise: noise[start..<start + mixture.dimensionCount], choice: choices[row])
        }
    }

    /// The combination of labels that an item of a source is of; nil for none that is known.
    static func group(
        of item: Int, in source: WindowSource, groups: Conditioning?
    ) -> Int? {
        guard let groups else { return 0 }
        let codes = source.codes(item)
        if !codes.isEmpty { return groups.combinations.firstIndex(of: codes) }
        return source.items[item].item.label.flatMap { label in
            groups.attributes[0].values.firstIndex(of: label)
        }
    }

    /// The covariance of draws about the mean of their group, [D, D].
    private static func pooledCovariance(of members: Posterior, groups: [[Int]]) throws -> Tensor {
        let dimensions = members.mean.shape[1]
        let diagonal = try Tensor.identity(dimensions, device: members.mean.device)
        var sum = try diagonal * 0
        var count = 0
        for rows in groups where !rows.isEmpty {
            let group = try members.rows(rows)
            let centred = try group.mean - group.mean.mean(axes: [0])
            sum =
                try sum + centred.transposed(0, 1).matmul(centred)
                + group.variance().sum(axes: [0]) * diagonal
            count += rows.count
        }
        let covariance = try sum * (1 / Double(max(1, count)))
        // A dimension that never varies still has a width, so that there is a factor.
        let ridge = try (covariance * diagonal).sum().item() / Double(dimensions) * 1e-4 + 1e-8
        return try covariance + diagonal * ridge
    }

    /// The mixture with the number of components that held-out windows are likeliest under: chosen by
    /// some of the windows, and fitted on from there to all.
    private static func mixture(
        of members: Posterior, expected: Tensor, limit: Int, using generator: inout Generator
    ) throws -> GaussianMixture {
        let (count, dimensions) = (members.mean.shape[0], members.mean.shape[1])
        let possible = componentCounts.filter {
            $0 * windowsForComponent <= count - count / heldOutStride
                && $0 * dimensions * (dimensions + 1) <= limit
        }
        var best: (mixture: GaussianMixture, level: Double)?
        if possible.count > 1 {
            let triedCount = min(count, Self.triedCount)
            let tried = (0..<triedCount).map { $0 * count / triedCount }
            let heldOut = try members.rows(
                tried.indices.filter { $0 % heldOutStride == 0 }.map { tried[$0] })
            let fitted = try members.rows(
                tried.indices.filter { $0 % heldOutStride != 0 }.map { tried[$0] })
            for components in possible {
                let mixture = try GaussianMixture(
                    fittedTo: fitted, componentCount: components, expected: expected,
                    using: &generator)
                let level = try mixture.expectedLogDensity(of: heldOut).map(Double.init)
                    .meanAndDeviation.mean
                if level > best?.level ?? -.infinity { best = (mixture, level) }
            }
        }
        guard let best else {
            return try GaussianMixture(
                fittedTo: members, componentCount: 1, expected: expected, using: &generator)
        }
        return try GaussianMixture(
            fittedTo: members, startingAt: best.mixture, expected: expected)
    }
}

// MARK: - The model file

extension LatentDensity {
    private static let prefix = "density."

    /// Whether a path of a model file is of a density, not of the network.
    static func owns(_ path: String) -> Bool { path.hasPrefix(prefix) }

    /// All numbers under their paths in a model file: of each group πₖ, means and factors.
    func tensors() -> [String: HostTensor] {
        var tensors: [String: HostTensor] = [:]
        for (group, mixture) in mixtures.enumerated() {
            guard let mixture else { continue }
            let (count, width) = (mixture.weights.count, mixture.dimensionCount)
            let path = "\(Self.prefix)\(group)."
            tensors[path + "weights"] = HostTensor(shape: [count], values: mixture.weights)
            tensors[path + "means"] = HostTensor(shape: [count, width], values: mixture.means)
            tensors[path + "factors"] = HostTensor(
                shape: [count, width, width], values: mixture.factors)
        }
        return tensors
    }

    /// Takes the numbers of a model file; nil where it has none.
    ///
    /// - Throws: ``LatentError`` with code `.model` when they do not fit together
    init?(_ file: ModelFile) throws(LatentError) {
        guard file.weights.keys.contains(where: Self.owns) else { return nil }
        let dimensions = file.record.configuration.latentCount
        let groupCount = Self.groups(of: file.record)?.combinations.count ?? 1
        var mixtures: [GaussianMixture?] = []
        var used = 0
        for group in 0..<groupCount {
            let parts = ["weights", "means", "factors"].map {
                file.weights["\(Self.prefix)\(group).\($0)"]
            }
            guard let weights = parts[0], let means = parts[1], let factors = parts[2] else {
                mixtures.append(nil)
                continue
            }
            used += 3
            guard
                let mixture = GaussianMixture(
                    weights: weights.values, means: means.values, factors: factors.values,
                    dimensionCount: dimensions)
            else { throw Self.broken }
            mixtures.append(mixture)
        }
        guard used == file.weights.keys.count(where: Self.owns) else { throw Self.broken }
        self.mixtures = mixtures
    }

    private static var broken: LatentError {
        LatentError(
            .model, "the numbers of the latent density do not fit together",
            hint: "train the model again")
    }
}

extension Posterior {
    /// The numbers of a posterior, free to cross threads.
    fileprivate struct Hosted: Sendable {
        let mean, logVariance: HostTensor
        let isPoint: Bool
    }

    fileprivate func hosted() throws -> Hosted {
        func host(_ tensor: Tensor) throws -> HostTensor {
            HostTensor(shape: tensor.shape, values: try tensor.floats())
        }
        return Hosted(mean: try host(mean), logVariance: try host(logVariance), isPoint: isPoint)
    }

    fileprivate init(_ hosted: Hosted) throws {
        self.init(
            mean: try Tensor(hosted.mean.values, shape: hosted.mean.shape),
            logVariance: try Tensor(hosted.logVariance.values, shape: hosted.logVariance.shape),
            isPoint: hosted.isPoint)
    }

    /// Some of the rows.
    func rows(_ indices: [Int]) throws -> Posterior {
        Posterior(
            mean: try mean.rows(indices), logVariance: try logVariance.rows(indices),
            isPoint: isPoint)
    }
}
