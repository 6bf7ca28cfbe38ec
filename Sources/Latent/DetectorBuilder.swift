import Media

/// The views of a model, and how their scores become one.
struct Detector {
    let views: [DetectorView]
    var ensemble: Ensemble?
}

/// From trained networks to what scores files, and to the scores of normal files.
struct DetectorBuilder {
    let request: TrainingRequest
    /// Threads that read files.
    let readerCount: Int
    /// Told how many items are about to be scored.
    let onCalibrating: (Int) throws -> Void

    /// More calibration scores than this add nothing to a rate of 1 in 1,000.
    private static let calibrationLimit = 20_000

    /// Joins the networks of a view with what is fitted to them; of a model that draws nothing is.
    ///
    /// - Parameters:
    ///   - models: the members, at least one
    ///   - plan: of the view
    ///   - training: windows that scores are fitted to
    ///   - heldOut: windows that decide which scores are kept
    ///   - purpose: of the model
    /// - Returns: what scores windows of that view
    /// - Throws: `TorchError` when a model cannot be run, `MediaError` for a file that has changed
    func view(
        _ models: [VAE], plan: ViewPlan, training: WindowSource, heldOut: WindowSource,
        purpose: TrainingRequest.Purpose
    ) throws -> DetectorView {
        let members = try models.enumerated().map { index, model in
            let kinds =
                index == 0
                ? FittedScores.usualKinds.union(request.scoreKind.map { [$0] } ?? [])
                : FittedScores.networkKinds
            return DetectorView.Member(
                model: model,
                fitted: purpose == .detection
                    ? try FittedScores(
                        kinds, fittedTo: model, training: training, heldOut: heldOut,
                        drawCount: request.drawCount,
                        seed: Stream.seed(ofMember: index, of: request.seed))
                    : FittedScores())
        }
        return DetectorView(
            model: members[0].model, preprocessing: plan.preprocessing, aggregate: plan.aggregate,
            fitted: members[0].fitted, furtherMembers: Array(members.dropFirst()))
    }

    /// Joins views into a detector; of a model that detects with an ensemble of their scores, fitted
    /// to held-out items, where there are enough.
    ///
    /// - Throws: ``LatentError`` `.data` for an item that changed since it was surveyed
    func detector(
        of views: [DetectorView], purpose: TrainingRequest.Purpose, heldOut: [SurveyedItem]
    ) throws -> Detector {
        var detector = Detector(views: views)
        if purpose == .detection {
            detector.ensemble = Ensemble(
                fittedTo: try scores(of: heldOut, by: detector).map { [$0.values] + $0.further },
                ofWholeFiles: views.map(\.preprocessing.windowing.mode) == [.whole],
                keepingLevel: views.contains { $0.preprocessing.keepsLevel })
        }
        return detector
    }

    /// The scores of normal items, by which thresholds are set.
    ///
    /// - Throws: as ``detector(of:purpose:heldOut:)``
    func calibration(
        of detector: Detector, on items: [SurveyedItem], requested: Set<ScoreKind>
    ) throws -> Calibration {
        var scores: [ScoreKind: [Double]] = [:]
        for score in try self.scores(of: items, by: detector, requested: requested) {
            for (kind, value) in score.values { scores[kind, default: []].append(value) }
        }
        return Calibration(
            scores: scores,
            falseAlarmRate: request.falseAlarmRate ?? TrainingConfiguration.usualFalseAlarmRate)
    }

    private func scores(
        of items: [SurveyedItem], by detector: Detector, requested: Set<ScoreKind> = []
    ) throws -> [ItemScore] {
        let chosen = items.prefix(Self.calibrationLimit)
        try onCalibrating(chosen.count)
        var configuration = Scorer.Configuration(drawCount: request.drawCount)
        configuration.readerCount = readerCount
        configuration.requestedKinds = requested
        if let count = request.regretStepCount { configuration.regretStepCount = count }
        let scorer = try Scorer(
            detector.views, ensemble: detector.ensemble, configuration: configuration)
        var scores: [ItemScore] = []
        try scorer.score(chosen.lazy.map(\.item)) { item, result in
            switch result {
            case .success(let score): scores.append(score)
            case .failure(let failed):
                throw LatentError(
                    .data, path: item.path, failed.error.message,
                    hint: "the file changed during training; put it back and use --resume")
            }
        }
        return scores
    }
}
