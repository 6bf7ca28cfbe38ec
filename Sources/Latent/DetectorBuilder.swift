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
                fittedTo: try scores(of: heldOut, by: detector).map { [$0.values] + $0.further })
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
        return Calibration(scores: scores, falseAlarmRate: request.falseAlarmRate ?? 0.05)
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
