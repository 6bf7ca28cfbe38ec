import Torch

/// Windows of one view that are scored together.
///
/// What earlier draws say of them has tensors, which nobody writes to and which other threads read only
/// while the one that made them waits; hence unchecked.
struct ScoringBatch: @unchecked Sendable {
    /// What the noise of a window is keyed by.
    struct Key: Sendable {
        let hash: ContentHash
        let window: Int
    }

    /// What is found of the windows.
    struct Result: @unchecked Sendable {
        /// The scores by kind, [B] each.
        let scores: [ScoreKind: [Double]]
        /// What the draws so far say, of each member; empty where there are no further rounds.
        let kept: [VAE.Statistics]
    }

    let view: Int
    /// The draws of this round.
    let draws: Range<Int>
    var values: [Float] = []
    var keys: [Key] = []
    var codes: [[Int]] = []
    /// The entry of each window in the queue, and its index in that.
    var places: [(entry: Int, window: Int)] = []
    /// What earlier draws say of each window, of each member; empty for the first round.
    var earlier: [[VAE.Statistics.Row]] = []

    init(view: Int, draws: Range<Int>) {
        self.view = view
        self.draws = draws
    }
}

/// Scores batches: on threads, each with a model of its own and a whole batch at a time; or on the calling
/// thread, whose operations are divided among threads.
///
/// Scores are the same to the last bit for any number of threads that have models of their own.
struct ScoringLanes {
    private let lanes: Lanes<BatchScorer>

    /// Bytes that the models of all threads have together, at most.
    private static let byteLimit = 1 << 30

    /// Threads that have models of their own for a file: as many as operations have, unless these models
    /// would be too large.
    static func count(of file: ModelFile) -> Int {
        let bytes = file.weights.values.reduce(0) { $0 + 4 * $1.values.count }
        return max(1, min(Runtime.threadCount, byteLimit / max(1, bytes)))
    }

    /// Takes the same views once for each thread; those of one are run by the calling thread.
    init(
        _ copies: [[DetectorView]], configuration: Scorer.Configuration, rounds: DrawRounds?
    ) throws(LatentError) {
        var scorers: [BatchScorer] = []
        for views in copies {
            scorers.append(
                try BatchScorer(views, configuration: configuration, rounds: rounds))
        }
        lanes = Lanes(scorers)
    }

    /// Number of batches that are scored at a time.
    var size: Int { lanes.workers.count }

    /// The views, as the first thread has them.
    var views: [DetectorView] { lanes.workers[0].views }

    /// What is found of batches, in their order.
    func results(of batches: [ScoringBatch]) throws -> [ScoringBatch.Result] {
        try lanes.map(batches) { scorer, batch in try scorer(batch) }
    }
}

/// What a model makes of windows.
private struct BatchScorer {
    let views: [DetectorView]
    private let requested: RequestedScores
    private let configuration: Scorer.Configuration
    private let rounds: DrawRounds?

    init(
        _ views: [DetectorView], configuration: Scorer.Configuration, rounds: DrawRounds?
    ) throws(LatentError) {
        requested = try RequestedScores(
            configuration.requestedKinds, of: views[0].model.configuration,
            regretStepCount: configuration.regretStepCount)
        self.views = views
        self.configuration = configuration
        self.rounds = rounds
    }

    /// Runs the members of the batch's view.
    func callAsFunction(_ batch: ScoringBatch) throws -> ScoringBatch.Result {
        let view = views[batch.view]
        let x = try view.model.batch(batch.values)
        let condition = try view.model.condition(batch.codes)
        var scores: [[ScoreKind: [Double]]] = []
        var kept: [VAE.Statistics] = []
        for (index, member) in view.members.enumerated() {
            let earlier =
                batch.earlier.isEmpty
                ? nil : try VAE.Statistics(joining: batch.earlier.map { $0[index] })
            let (ofMember, statistics) = try self.scores(
                of: x, condition: condition, by: member, isOfFirstView: batch.view == 0,
                draws: batch.draws, after: earlier
            ) { window, draws in
                self.noise(of: batch.keys[window], draws: draws, view: batch.view, member: index)
            }
            scores.append(ofMember)
            if rounds?.next(after: batch.draws.upperBound) != nil { kept.append(statistics) }
        }
        return ScoringBatch.Result(scores: DetectorView.mean(scores), kept: kept)
    }

    /// What a member makes of a batch of windows, by kind, [B] each, and of which draws.
    ///
    /// After earlier draws only what further ones change is computed.
    private func scores(
        of x: Tensor, condition: Tensor?, by member: DetectorView.Member, isOfFirstView: Bool,
        draws: Range<Int>, after earlier: VAE.Statistics?,
        noise: @escaping (_ window: Int, _ draws: Range<Int>) -> [Float]
    ) throws -> ([ScoreKind: [Double]], VAE.Statistics) {
        let model = member.model
        var statistics = try model.statistics(
            of: x, condition: condition, drawCount: draws.count
        ) { noise($0, $1.lowerBound + draws.lowerBound..<$1.upperBound + draws.lowerBound) }
        if let earlier { statistics = try earlier.appending(statistics) }
        var scores = statistics.scores
        let windows = try ScoredWindows(x, statistics, shape: model.configuration.window)
        scores.merge(try member.fitted.values(of: windows, onlyDrawn: earlier != nil)) { $1 }
        if isOfFirstView, earlier == nil {
            let batch = ScoredBatch(
                model: model, x: x, condition: condition, drawCount: configuration.drawCount,
                noise: noise, statistics: statistics)
            scores.merge(try requested.values(of: batch)) { $1 }
        }
        return (scores, statistics)
    }

    /// The noise of some draws of a window, [draws, D].
    private func noise(
        of key: ScoringBatch.Key, draws: Range<Int>, view: Int, member: Int
    ) -> [Float] {
        var noise: [Float] = []
        for draw in draws {
            // Views and members have draws of their own; those of the first do not depend on there
            // being others.
            var generator = Generator(
                seed: configuration.seed,
                Stream.scoring.rawValue &+ UInt64(view) << 32 &+ UInt64(member) << 48,
                key.hash.word, UInt64(key.window), UInt64(draw))
            noise += generator.normals(views[view].model.noiseCount)
        }
        return noise
    }
}
