import Torch

/// What becomes of networks once they are fitted: a detector, its thresholds, and what a model draws with.
extension TrainingRun {
    /// The model of fitted networks, of each view its members; not yet written.
    func modelFile(
        of outcomes: [[Trainer.Outcome]], _ prepared: Prepared, survey: Survey, fingerprint: String
    ) throws -> ModelFile {
        let (plan, jobs) = (prepared.plan, prepared.jobs)
        let model = outcomes[0][0].model
        let builder = DetectorBuilder(
            request: request, readerCount: environment.readerCount,
            onCalibrating: { onEvent(.calibrating(itemCount: $0)) })
        let precision = try VAE.chooseScoringPrecision(
            of: zip(jobs, outcomes).flatMap { job, outcomes in
                outcomes.map { ($0.model, job.heldOut) }
            }, trainingPrecision: jobs[0].configuration.precision, seed: request.seed)
        let detector = try builder.detector(
            of: zip(jobs, outcomes).map { job, outcomes in
                try builder.view(
                    outcomes.map(\.model), plan: job.plan, training: job.training,
                    heldOut: job.heldOut, purpose: plan.purpose)
            }, purpose: plan.purpose, heldOut: prepared.split.heldOut)
        var record = try record(
            of: detector, by: builder, prepared,
            training: .init(
                configuration: jobs[0].configuration,
                trainingItemCount: prepared.split.training.count,
                heldOutItemCount: prepared.split.heldOut.count,
                calibrationItemCount: prepared.split.calibration.count,
                unreadableItemCount: survey.failures.count, dataFingerprint: fingerprint,
                bestEpoch: outcomes[0][0].bestEpoch, epochs: outcomes[0][0].history))
        if precision != .float32 { record.scoringPrecision = precision }
        try describeOutput(
            &record, survey: survey, plan: plan.primary, training: prepared.split.training)

        let groups = LatentDensity.groups(of: record)
        let drawsLatents = plan.purpose == .augmentation || request.flowStepCount > 0
        let latents =
            drawsLatents
            ? try LabelledPosteriors(
                of: jobs[0].training, by: model, precision: jobs[0].configuration.precision,
                labels: groups) : nil
        let density =
            plan.purpose == .augmentation ? density(of: latents, groups: groups) : nil
        let flow = try flow(
            of: latents, model: model, job: jobs[0], density: density, groups: groups)
        return try ModelFile(
            record: record, networks: detector.views.map(\.members), density: density, flow: flow,
            deformations: try deformations(survey, plan: plan))
    }

    /// What a model says of itself: views, the score that is its own, and the thresholds of all scores.
    private func record(
        of detector: Detector, by builder: DetectorBuilder, _ prepared: Prepared,
        training: ModelRecord.Training
    ) throws -> ModelRecord {
        let (plan, split) = (prepared.plan, prepared.split)
        let lacksMixture =
            request.scoreKind == .mixture && !detector.views[0].fitted.has(.mixture)
        let kind =
            (lacksMixture ? nil : request.scoreKind)
            ?? (detector.ensemble == nil ? .reconstructionProbability : .ensemble)
        let calibration = try builder.calibration(
            of: detector, on: split.calibration, requested: [kind])
        var record = ModelRecord(
            configuration: plan.primary.model, preprocessing: plan.primary.preprocessing,
            aggregate: plan.primary.aggregate,
            furtherViews: plan.views.dropFirst().map {
                ModelRecord.View(
                    configuration: $0.model, preprocessing: $0.preprocessing,
                    aggregate: $0.aggregate)
            }, labels: prepared.labels, outputSize: nil, outputBitDepth: nil,
            outputReferenceLevel: nil, training: training, purpose: plan.purpose, scoreKind: kind,
            ensemble: detector.ensemble, calibration: calibration,
            drawCount: request.drawCount, regretStepCount: request.regretStepCount,
            writtenBy: "latent \(LatentVersion.current), libtorch \(Runtime.libtorchVersion)")
        if request.memberCount > 1 { record.memberCount = request.memberCount }
        if plan.purpose == .detection {
            record.maps = try MapCalibration(
                of: detector.views, scaleItems: split.heldOut.map(\.item),
                items: split.calibration.map(\.item))
        }
        return record
    }
}
