import Foundation
import Media
import Torch

/// From files to a model file: survey, plan, fit, calibrate.
///
/// The only place that joins `Training/` and `Anomaly/`.
public struct TrainingRun {
    /// What happens on the way.
    public enum Event {
        /// So many inputs have been read.
        case surveyed(Int)
        /// An input cannot be read.
        case failure(ItemFailure)
        /// What was decided from the data.
        case planned(Summary)
        /// One of several views is next, counted from 1.
        case view(name: String, number: Int, of: Int)
        /// One of several members of a view is next, counted from 1.
        case member(number: Int, of: Int)
        /// The weights are being fitted.
        case training(TrainingEvent)
        /// Held-out items are being scored.
        case calibrating(itemCount: Int)
        /// Deformations between items of a class are being learned.
        case deforming(done: Int, of: Int)
        /// A flow of the latents is being learned: in a trial of so many steps at most, and then, again
        /// from 0, in as many as helped.
        case fittingFlow(done: Int, of: Int)
        /// It was learned.
        case fittedFlow(FlowConfiguration)
    }

    /// What was decided from the data, for people.
    public struct Summary: Sendable {
        /// Readable and unreadable files, windows of the training part, classes.
        public let itemCount, failureCount, windowCount, labelCount: Int
        /// Items that are fitted to, held out and calibrated on.
        public let trainingCount, heldOutCount, calibrationCount: Int
        /// The network and what it reads.
        public let model: VAEConfiguration
        /// Latent dimensions of all layers.
        public let latentDimensionCount: Int
        /// From file to windows.
        public let preprocessing: Preprocessing
        /// How it is fitted.
        public let training: TrainingConfiguration
        /// What it is to be good at.
        public let purpose: TrainingRequest.Purpose
        /// Why the view was chosen; nil where it was asked for.
        public let viewReason: String?
    }

    /// Where the model goes and how the machine is used.
    public struct Environment {
        /// The model file.
        public var output: String
        /// Whether an existing model may be replaced.
        public var overwrites = false
        /// Whether to go on from a checkpoint where there is one.
        public var resumes = false
        /// Whether one unreadable file ends the run.
        public var failsOnBadFile = false
        /// Where the work is done.
        public var device = Device.cpu
        /// Threads that read files.
        public var readerCount = 2
        /// Seconds from checkpoint to checkpoint.
        public var checkpointInterval = 15.0
        /// A folder of metrics and pictures; nil for none.
        public var reportFolder: String?
        /// Where decoded windows are kept between epochs.
        public var cache = CachePolicy()
        /// The processes that train together; this one's rank decides whether it writes.
        public var group: ProcessGroup?
        /// Asked after each step.
        public var shouldStop: () -> Bool = { false }

        /// Makes an environment.
        public init(output: String) { self.output = output }

        /// The file that an interrupted run goes on from.
        public var checkpointPath: String { output + ".checkpoint" }

        /// The same of one of several networks.
        func checkpointPath(ofNetwork index: Int) -> String {
            index == 0 ? checkpointPath : "\(checkpointPath).\(index + 1)"
        }
    }

    /// Fewer items than this are no data set.
    public static let minimumItemCount = 10

    let request: TrainingRequest
    let environment: Environment
    let onEvent: (Event) -> Void

    /// Makes a run.
    public init(
        _ request: TrainingRequest, environment: Environment,
        onEvent: @escaping (Event) -> Void
    ) {
        self.request = request
        self.environment = environment
        self.onEvent = onEvent
    }

    /// Trains a model and writes it.
    ///
    /// - Parameters:
    ///   - items: the inputs
    ///   - domain: how to read them
    /// - Returns: the model as written; nil in a process that is not the first of a group
    /// - Throws: ``LatentError``: `.data` without enough readable files, `.usage` for settings that
    ///   do not fit, `.diverged`, `.interrupted`, `.cannotWrite`
    public func callAsFunction(_ items: some Sequence<Item>, domain: Domain) throws -> ModelFile? {
        var stop: ItemFailure?
        let survey = try Survey(
            of: items, domain: domain, threadCount: environment.readerCount
        ) { done, failure in
            if let failure {
                onEvent(.failure(failure))
                if environment.failsOnBadFile { stop = stop ?? failure }
            }
            onEvent(.surveyed(done))
            if environment.shouldStop() {
                throw LatentError(
                    .interrupted, "interrupted while reading the files",
                    hint: "nothing was written; run the command again")
            }
        }
        if let stop {
            throw LatentError(
                .data, path: stop.item.path, stop.error.message,
                hint: "mend or remove the file, or use --on-error skip")
        }
        let prepared = try prepare(survey, domain: domain)
        onEvent(.planned(prepared.summary))
        return try fit(prepared, survey: survey, domain: domain)
    }

    private func fit(_ prepared: Prepared, survey: Survey, domain: Domain) throws -> ModelFile? {
        let team = environment.group.map(Team.init) ?? .alone
        try checkTeam(team, model: prepared.plan.primary.model)
        let fingerprint = Self.fingerprint(survey)
        let outcomes = try networks(
            of: prepared.jobs, fingerprint: fingerprint, team: team, domain: domain)
        guard team.rank == 0 else { return nil }
        let file = try modelFile(
            of: outcomes, prepared, survey: survey, fingerprint: fingerprint)
        try file.write(to: environment.output, overwrite: environment.overwrites)
        for index in 0..<outcomes.joined().count {
            try? FileManager.default.removeItem(
                atPath: environment.checkpointPath(ofNetwork: index))
        }
        try complain(of: outcomes, scoreKind: file.record.scoreKind)
        return file
    }

    /// Fits the networks: of each view, its members.
    private func networks(
        of jobs: [ViewJob], fingerprint: String, team: Team, domain: Domain
    ) throws -> [[Trainer.Outcome]] {
        let memberCount = request.memberCount
        var outcomes = [[Trainer.Outcome]](repeating: [], count: jobs.count)
        var hasToldOfCache = false
        for index in 0..<jobs.count * memberCount {
            let (view, member) = index.quotientAndRemainder(dividingBy: memberCount)
            let job = jobs[view].member(member)
            if jobs.count > 1, member == 0 {
                onEvent(
                    .view(
                        name: job.plan.preprocessing.viewName, number: view + 1, of: jobs.count))
            }
            if memberCount > 1 { onEvent(.member(number: member + 1, of: memberCount)) }
            outcomes[view].append(
                try fit(
                    job, planText: try planText(job, fingerprint: fingerprint), team: team,
                    checkpointPath: environment.checkpointPath(ofNetwork: index),
                    reportFolder: index == 0 ? environment.reportFolder : nil, domain: domain
                ) {
                    // What all views and members meet with is told once.
                    if !hasToldOfCache { onEvent(.training(.warning($0))) }
                    hasToldOfCache = true
                })
        }
        return outcomes
    }

    /// Says of a model that was written what it is not as it was asked for.
    private func complain(
        of outcomes: [[Trainer.Outcome]], scoreKind: ScoreKind
    ) throws(LatentError) {
        if request.scoreKind == .mixture, scoreKind != .mixture {
            throw LatentError(
                .usage,
                "one network rebuilds these files better than a mixture of them does; the model was "
                    + "saved to \(environment.output) with the score \(scoreKind.rawValue)",
                hint: "use that, or another --score")
        }
        for outcome in outcomes.joined() {
            guard let failure = outcome.failure else { continue }
            throw LatentError(
                failure.code,
                failure.message + "; the model of epoch \(outcome.bestEpoch) was saved to "
                    + environment.output, hint: failure.hint)
        }
    }

    private func fit(
        _ job: ViewJob, planText: String, team: Team, checkpointPath: String,
        reportFolder: String?, domain: Domain, onCacheProblem: @escaping (String) throws -> Void
    ) throws -> Trainer.Outcome {
        let report =
            team.rank == 0
            ? try reportFolder.map {
                try TrainingReport(
                    folder: $0, domain: domain, seed: request.seed,
                    exhibits: Array(
                        Self.exhibits(
                            job.heldOut.items.isEmpty ? job.training : job.heldOut, limit: 16
                        ).joined()))
            } : nil
        let outcome = try Trainer(
            Trainer.Job(
                configuration: job.configuration, model: job.plan.model, training: job.training,
                heldOut: job.heldOut, plan: planText, checkpointPath: checkpointPath,
                checkpointInterval: environment.checkpointInterval, team: team),
            device: environment.device,
            observer: Trainer.Observer(
                onEvent: {
                    switch $0 {
                    case .epoch(_, _, _, let rate, _):
                        report?.windowsPerSecond = rate
                        for source in [job.training, job.heldOut] {
                            if let problem = source.takeCacheProblem() {
                                try? onCacheProblem(problem)
                            }
                        }
                    case .rolledBack: report?.reopen()
                    default: break
                    }
                    onEvent(.training($0))
                },
                inspect: report.map { report in { try report.record($1, model: $0) } },
                shouldStop: environment.shouldStop)
        ).run(resuming: environment.resumes)
        try report?.finish(
            model: outcome.model, windows: Self.exhibits(job.training, limit: Self.mapLimit))
        return outcome
    }

    /// Windows that a latent map shows, at most.
    private static let mapLimit = 2_000

    /// Windows of a source as a report shows them.
    private static func exhibits(
        _ source: WindowSource, limit: Int
    ) throws -> [[TrainingReport.Exhibit]] {
        try source.sample(limit: limit).map { batch in
            batch.map { window in
                TrainingReport.Exhibit(
                    values: window.values, codes: source.codes(window.item),
                    label: source.items[window.item].item.label,
                    path: source.items[window.item].item.path)
            }
        }
    }

    /// Refuses to divide batches of an objective that is of whole ones.
    private func checkTeam(_ team: Team, model: VAEConfiguration) throws(LatentError) {
        let kind = model.objective.kind
        guard team.size > 1, kind.objective(model.objective).couplesWindows else { return }
        throw LatentError(
            .usage,
            "--objective \(kind.rawValue) in \(team.size) processes: its loss is of whole "
                + "batches and cannot be divided",
            hint: "train in one process, or use another objective")
    }

    /// SHA-256 over the sorted content words: the same files in another order are the same data.
    private static func fingerprint(_ survey: Survey) -> String {
        ContentHash.fingerprint(ofWords: survey.items.map(\.contentWord))
    }

    private func planText(_ job: ViewJob, fingerprint: String) throws -> String {
        let encoder = ModelFile.encoder
        let parts = [
            try encoder.encode(job.plan.model), try encoder.encode(job.plan.preprocessing),
            try encoder.encode(job.configuration),
        ].map { String(decoding: $0, as: UTF8.self) }
        // A run goes on as what it began as, down to the number of its networks.
        let members = request.memberCount > 1 ? ["\(request.memberCount) members"] : []
        return (parts + members + [fingerprint]).joined(separator: "\n")
    }
}

/// The version of the library.
public enum LatentVersion {
    /// As `latent --version` prints.
    public static let current = "0.1.0"
}
