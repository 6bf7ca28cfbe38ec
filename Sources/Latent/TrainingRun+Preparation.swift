import Foundation

/// What is decided before the first step: views, networks, parts and schedules.
extension TrainingRun {
    /// Everything that is decided from a survey before the first step.
    struct Prepared {
        let plan: TrainingPlan
        let split: Split
        let jobs: [ViewJob]
        let labels: [String]
        let summary: Summary
    }

    /// Decides on views, networks, parts and schedules.
    ///
    /// - Parameters:
    ///   - survey: what is there
    ///   - domain: how it is read
    ///   - itemCount: number of items, where the survey is of some of them
    /// - Returns: what training begins with
    /// - Throws: ``LatentError`` `.data` without enough readable files, `.usage` for settings that do
    ///   not fit
    func prepare(_ survey: Survey, domain: Domain, itemCount: Int? = nil) throws -> Prepared {
        try Self.checkCount(survey, domain: domain)
        let plan = try TrainingPlan(request, survey: survey, domain: domain)
        let configuredShares = shares(itemCount: itemCount ?? survey.items.count)
        let split = Split(
            survey.items, heldOutShare: configuredShares.heldOut,
            calibrationShare: configuredShares.calibration, seed: request.seed)
        guard !split.training.isEmpty else {
            throw LatentError(
                .usage, "the shares leave none of the \(survey.items.count) files to train on",
                hint: "use a smaller --validation or --calibration")
        }
        guard request.scoreKind != .ensemble || split.heldOut.count >= Ensemble.smallestCount
        else {
            throw LatentError(
                .usage,
                "the score ensemble is fitted to \(Ensemble.smallestCount) held-out files, there are "
                    + "\(split.heldOut.count)",
                hint: "use a larger --validation, or another --score"
            )
        }
        let jobs = try plan.views.map { view in
            try ViewJob(
                view, split: split, readerCount: environment.readerCount,
                cache: environment.cache, memberCount: request.memberCount
            ) {
                var configuration = trainingConfiguration(
                    windowCount: $0 * (itemCount ?? survey.items.count) / survey.items.count,
                    plan: plan, view: view)
                configuration.heldOutShare = configuredShares.heldOut
                configuration.calibrationShare = configuredShares.calibration
                return configuration
            }
        }
        for job in jobs {
            try checkMemory(
                job.plan.model,
                batchSize: min(job.configuration.batchSize, job.training.windowCount))
        }
        let windowCount = jobs[0].training.windowCount
        guard
            request.scoreKind != .mixture
                || windowCount >= MixtureError.smallestWindowCount
                    && plan.primary.preprocessing.windowing.mode != .grid
        else {
            throw LatentError(
                .usage,
                "the score mixture needs \(MixtureError.smallestWindowCount) windows to fit, no "
                    + "patches; there are \(windowCount) of \(plan.primary.preprocessing.viewName)",
                hint: "use another --score")
        }
        let labels = Set(survey.items.compactMap(\.item.label)).sorted()
        return Prepared(
            plan: plan, split: split, jobs: jobs, labels: labels,
            summary: Summary(
                itemCount: survey.items.count, failureCount: survey.failures.count,
                windowCount: jobs[0].training.windowCount, labelCount: labels.count,
                trainingCount: split.training.count, heldOutCount: split.heldOut.count,
                calibrationCount: split.calibration.count, model: plan.primary.model,
                latentDimensionCount: plan.primary.model.latentDimensionCount,
                preprocessing: plan.primary.preprocessing, training: jobs[0].configuration,
                purpose: plan.purpose, viewReason: plan.viewReason))
    }

    /// One view, and what its network is fitted to.
    struct ViewJob {
        let plan: ViewPlan
        let training: WindowSource
        let heldOut: WindowSource
        var configuration: TrainingConfiguration

        init(
            _ plan: ViewPlan, split: Split, readerCount: Int, cache: CachePolicy, memberCount: Int,
            configuration: (_ windowCount: Int) -> TrainingConfiguration
        ) throws {
            self.plan = plan
            let windowCount = split.training.reduce(0) {
                $0 + plan.preprocessing.windowCount(of: $1)
            }
            self.configuration = configuration(windowCount)
            var cache = cache
            // What is read once is not worth writing.
            if self.configuration.epochCount * memberCount < 2 { cache.folder = nil }
            training = try WindowSource(
                split.training, preprocessing: plan.preprocessing, threadCount: readerCount,
                conditioning: plan.model.conditioning, cache: cache)
            heldOut = try WindowSource(
                split.heldOut, preprocessing: plan.preprocessing, threadCount: readerCount,
                conditioning: plan.model.conditioning, cache: cache.withMemory(of: 32 << 20))
        }

        /// The same of one of several members.
        func member(_ index: Int) -> ViewJob {
            var job = self
            job.configuration.seed = Stream.seed(
                ofMember: index, of: configuration.seed)
            return job
        }
    }

    /// Refuses what this machine cannot hold, where the system would otherwise end the process.
    private func checkMemory(_ model: VAEConfiguration, batchSize: Int) throws(LatentError) {
        let needed = model.stepByteCount(batchSize: batchSize) / 1e9
        let available = Double(ProcessInfo.processInfo.physicalMemory) / 1e9
        guard environment.device == .cpu, needed > available else { return }
        throw LatentError(
            .usage,
            "steps of \(batchSize) windows of \(model.channelCount)×\(model.height)×"
                + "\(model.width) in layers of \(model.widths) take about "
                + "\(Int(needed.rounded(.up))) GB, the machine has \(Int(available)) GB",
            hint: "use a smaller --batch, --size, --channels or --latent")
    }

    /// Seconds of sound that are enough to train on in pieces of some seconds.
    private static let longSeconds = 100.0

    private static func checkCount(_ survey: Survey, domain: Domain) throws(LatentError) {
        guard survey.items.count >= minimumItemCount else {
            let bad = survey.failures.count
            let found =
                survey.items.isEmpty && bad == 0
                ? "no \(domain.plural) were found"
                : "\(survey.items.count) readable "
                    + (survey.items.count == 1
                        ? "\(domain.plural.dropLast()) was found" : "\(domain.plural) were found")
                    + (bad == 0 ? "" : " and \(bad) that cannot be read")
            let seconds = survey.items.reduce(0.0) {
                $0 + ($1.sampleRate > 0 ? Double($1.width) / Double($1.sampleRate) : 0)
            }
            throw LatentError(
                .data, "\(found), training needs at least \(minimumItemCount)",
                hint: seconds < longSeconds
                    ? "name folders or files that hold more"
                    : "name more, or cut long ones into pieces: ffmpeg -i LONG.wav -f segment "
                        + "-segment_time 30 -c copy PIECES/%04d.wav")
        }
    }

    /// Shares of the items that are not fitted to.
    ///
    /// A tenth each, but as many for thresholds as the false-alarm rate needs to be promised, up to
    /// three tenths: a model without thresholds is of little use.
    private func shares(itemCount: Int) -> (heldOut: Double, calibration: Double) {
        let needed = Calibration.neededCount(
            rate: request.falseAlarmRate ?? TrainingConfiguration.usualFalseAlarmRate)
        let share = Double(needed) / Double(itemCount)
        let calibration = share <= 0.3 ? max(0.1, share) : 0.1
        // As many as an ensemble is fitted to, up to two tenths.
        let heldOut = min(0.2, max(0.1, Double(Ensemble.smallestCount) / Double(itemCount)))
        return (request.heldOutShare ?? heldOut, request.calibrationShare ?? calibration)
    }

    private func trainingConfiguration(
        windowCount: Int, plan: TrainingPlan, view: ViewPlan
    ) -> TrainingConfiguration {
        var configuration = TrainingConfiguration(
            windowCount: windowCount,
            stepCount: plan.purpose == .detection
                ? TrainingConfiguration.detectionStepCount : TrainingConfiguration.defaultStepCount,
            batchSize: request.batchSize, epochCount: request.epochCount, patience: request.patience
        )
        configuration.seed = request.seed
        if let value = request.learningRate { configuration.learningRate = value }
        if let value = request.gradientClip { configuration.gradientClip = value }
        if let value = request.klWarmupShare { configuration.klWarmupShare = value }
        if let value = request.falseAlarmRate { configuration.falseAlarmRate = value }
        configuration.freeNats = request.freeNats ?? (view.model.layerCount > 1 ? 2 : 0)
        if let value = request.averageDecay { configuration.averageDecay = value }
        configuration.balance = request.balance
        configuration.precision = request.precision ?? .usual(on: environment.device)
        let usual = plan.purpose == .detection ? TrainingRequest.Augmentation.off : .light
        if request.augmentation ?? usual == .light {
            configuration.augmentation = .light(for: view.preprocessing)
        }
        return configuration
    }
}
