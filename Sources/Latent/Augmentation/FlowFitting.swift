import Foundation
import Torch

extension LatentFlow {
    /// What is told on the way.
    typealias Progress = (_ done: Int, _ of: Int) throws -> Void

    /// Steps that are enough where windows are some thousands.
    static let usualStepCount = 2000

    private static let batchSize = 256
    private static let learningRate = 1e-3
    private static let weightDecay = 1.0
    private static let gradientClip = 5.0
    /// One window in so many decides how many steps are taken.
    private static let judgedStride = 5
    /// Times that they are asked in a run.
    private static let judgementCount = 20
    /// Such times in a row without a better answer after which a trial ends.
    private static let patience = 5
    /// Draws of z for each window that is asked.
    private static let judgedDrawCount = 4

    /// Fits a flow to posteriors: maximises the mean over windows of E_q[log p(z|labels)], by new draws
    /// of z in each step, so that it is as wide as these are.
    ///
    /// A first run leaves a fifth of the windows out and says after how many steps they are likeliest;
    /// a second one, on all windows, takes so many. None are the best where windows are few: then it is
    /// one Gaussian.
    ///
    /// - Parameters:
    ///   - latents: of the training windows
    ///   - groups: the labels that its groups are of; nil without
    ///   - stepCount: of the first run, 1 or more
    ///   - seed: decides everything
    ///   - onProgress: called before each step, and with the steps of the run that is under way; may throw
    /// - Returns: the flow; nil for fewer than five windows, or where its numbers overflowed
    /// - Throws: what `onProgress` throws
    /// - Complexity: about 5 ms a step for 16 dimensions, on one core
    static func fitted(
        to latents: LabelledPosteriors, groups: Conditioning?, stepCount: Int, seed: UInt64,
        onProgress: Progress
    ) throws -> LatentFlow? {
        guard latents.count >= judgedStride else { return nil }
        var windowCounts = [Int](repeating: 0, count: groups?.combinations.count ?? 1)
        for group in latents.groups { windowCounts[group] += 1 }
        let configuration = FlowConfiguration(
            dimensionCount: latents.posterior.mean.shape[1], stepCount: stepCount,
            windowCounts: windowCounts)
        let (location, scale) = try latents.standard()
        func made() throws(TorchError) -> LatentFlow {
            try LatentFlow(
                configuration, groups: groups, location: location, scale: scale, seed: seed)
        }
        let rows = Array(0..<latents.count)
        let kept = try made().bestStepCount(
            fitting: rows.filter { $0 % judgedStride != 0 },
            judging: rows.filter { $0 % judgedStride == 0 }, of: latents, seed: seed
        ) { try onProgress($0, stepCount) }
        let flow = try made()
        flow.configuration.keptStepCount = kept
        try flow.train(on: rows, of: latents, until: kept, seed: seed) {
            try onProgress($0, kept)
        }
        for tensor in flow.parameters.tensors() where try !tensor.isFinite() { return nil }
        return flow
    }

    /// Takes steps, and says after how many of them windows that are not fitted to were likeliest.
    private func bestStepCount(
        fitting: [Int], judging: [Int], of latents: LabelledPosteriors, seed: UInt64,
        onStep: (Int) throws -> Void
    ) throws -> Int {
        var best = (steps: 0, level: -Double.infinity)
        let interval = max(1, configuration.stepCount / Self.judgementCount)
        // The same draws each time, so that levels differ by the flow alone.
        let chosen = judging.flatMap { [Int](repeating: $0, count: Self.judgedDrawCount) }
        var generator = Generator(seed: seed, Stream.latentFlow.rawValue, UInt64.max)
        let z = try latents.draws(chosen, using: &generator)
        let labels = try labels(of: chosen, in: latents)
        func judge(after steps: Int) throws {
            let level = try withoutGradients {
                try logDensity(of: z, labels: labels).mean().item()
            }
            if level > best.level { best = (steps, level) }
        }
        struct Ended: Error {}
        do {
            try train(on: fitting, of: latents, until: configuration.stepCount, seed: seed) {
                step in
                try onStep(step)
                guard step % interval == 0 else { return }
                try judge(after: step)
                if step - best.steps >= Self.patience * interval { throw Ended() }
            }
            try judge(after: configuration.stepCount)
        } catch is Ended {}
        return best.steps
    }

    /// Takes the first of the steps of a whole run: its learning rate falls to 0 along a cosine over all.
    private func train(
        on rows: [Int], of latents: LabelledPosteriors, until last: Int, seed: UInt64,
        onStep: (Int) throws -> Void
    ) throws {
        var adam = AdamW.Configuration()
        adam.weightDecay = Self.weightDecay
        let optimizer = try AdamW(parameters.tensors(), configuration: adam)
        for step in 0..<last {
            try onStep(step)
            var generator = Generator(seed: seed, Stream.latentFlow.rawValue, UInt64(step))
            let chosen = (0..<Self.batchSize).map { _ in
                rows[Int(generator.next() % UInt64(rows.count))]
            }
            let z = try latents.draws(chosen, using: &generator)
            try (-logDensity(of: z, labels: labels(of: chosen, in: latents)).mean()).backward()
            _ = try optimizer.clipGradientNorm(maximum: Self.gradientClip)
            let progress = Double(step) / Double(configuration.stepCount)
            try optimizer.step(learningRate: Self.learningRate * 0.5 * (1 + cos(.pi * progress)))
        }
    }

    private func labels(
        of rows: [Int], in latents: LabelledPosteriors
    ) throws(TorchError) -> Tensor? {
        guard let groups else { return nil }
        return try labels(rows.map { groups.combinations[latents.groups[$0]] })
    }

    /// Finds how likely windows are that neither it nor the mixtures were fitted to, and notes both.
    ///
    /// - Parameters:
    ///   - latents: of held-out windows; those of a class without mixture are left out
    ///   - mixtures: of the same training windows; nil for none
    ///   - seed: of the draws of z
    /// - Throws: `TorchError` when the shapes do not fit
    func compare(
        on latents: LabelledPosteriors, with mixtures: LatentDensity?, seed: UInt64
    ) throws {
        try withoutGradients {
            var sums = (flow: 0.0, mixture: 0.0)
            var count = 0
            for (group, rows) in Dictionary(grouping: 0..<latents.count, by: { latents.groups[$0] })
                .sorted(by: { $0.key < $1.key })
            {
                let mixture = mixtures?.mixtures[group]
                guard mixture != nil || mixtures == nil, configuration.windowCounts[group] > 0
                else { continue }
                let chosen = rows.flatMap { [Int](repeating: $0, count: Self.judgedDrawCount) }
                var generator = Generator(
                    seed: seed, Stream.latentFlow.rawValue, UInt64.max - 1, UInt64(group))
                let z = try latents.draws(chosen, using: &generator)
                sums.flow += try logDensity(of: z, labels: labels(of: chosen, in: latents))
                    .sum().item()
                let points = Posterior(mean: z, logVariance: z, isPoint: true)
                sums.mixture +=
                    try mixture?.expectedLogDensity(of: points).reduce(0) { $0 + Double($1) } ?? 0
                count += chosen.count
            }
            // Of latents far out a level may be beyond what a number holds.
            guard count > 0, sums.flow.isFinite, sums.mixture.isFinite else { return }
            configuration.heldOutNats = sums.flow / Double(count)
            if mixtures != nil {
                configuration.mixtureHeldOutNats = sums.mixture / Double(count)
            }
        }
    }
}
