import Latent

/// What is in a model file, as lines of a name and a value.
struct ModelSheet {
    typealias Row = (name: String, value: String)

    let path: String
    let loaded: ModelFile.Loaded
    private var file: ModelFile { loaded.file }
    private var record: ModelRecord { loaded.file.record }

    var rows: [Row] { origin + network + training + draws + thresholds }

    private var origin: [Row] {
        let shape = record.configuration
        let windowing = record.preprocessing.windowing
        var rows: [Row] = [
            ("file", path), ("sha256", "\(loaded.hash)"), ("written by", record.writtenBy),
            ("domain", record.preprocessing.domain.rawValue),
            ("purpose", "\(record.purpose.rawValue), by \(record.scoreKind.rawValue)"),
            ("view", record.preprocessing.viewName),
            (
                "window",
                "\(shape.channelCount)×\(shape.height)×\(shape.width), \(windowing.mode.rawValue), "
                    + "stride \(windowing.stride)"
            ),
        ]
        if case .logMel(let view) = record.preprocessing.view {
            let decibels = view.rangeNats * LogMelView.decibelsPerNat
            rows.append(
                (
                    "log-mel",
                    "\(view.sampleRate) Hz, FFT \(view.fftLength), hop \(view.hopLength), "
                        + "\(view.melCount) bands, range \(LatentCLI.format(decibels)) dB, "
                        + (view.referenceNats == nil ? "level removed" : "level kept")
                ))
        }
        return rows
    }

    private var network: [Row] {
        let configuration = record.configuration
        // Scales, of which each network has one, are neither.
        let keptCount =
            file.weights.values.reduce(0) { $0 + $1.values.count } - file.networkWeightCount
            - record.views.count * record.members
        return [
            (
                "network",
                "\(configuration.architecture.rawValue) \(configuration.widths), latent "
                    + "\(configuration.latentCount), \(file.networkWeightCount) weights"
                    + (keptCount > 0 ? "; \(keptCount) numbers beside them" : "")
            ),
            ("likelihood", configuration.likelihood.rawValue),
            ("labels", record.labels.isEmpty ? "none" : record.labels.joined(separator: ", ")),
        ]
    }

    private var training: [Row] {
        let training = record.training
        var rows: [Row] = [
            (
                "files",
                "\(training.trainingItemCount) fitted, \(training.heldOutItemCount) held out, "
                    + "\(training.calibrationItemCount) for thresholds, "
                    + "\(training.unreadableItemCount) unreadable"
            ),
            ("data fingerprint", training.dataFingerprint),
            (
                "training",
                "\(training.epochs.count) epochs of batches of \(training.configuration.batchSize), "
                    + "learning rate \(training.configuration.learningRate), seed "
                    + "\(training.configuration.seed); weights of epoch \(training.bestEpoch)"
            ),
        ]
        if record.members > 1 {
            rows.append(
                ("members", "\(record.members) networks of each view, of which scores are the mean")
            )
        }
        if let precision = record.scoringPrecision {
            rows.append(("scored in", "products of \(precision.rawValue)"))
        }
        if let best = training.epochs.first(where: { $0.epoch == training.bestEpoch }) {
            rows.append(
                (
                    "bound",
                    "training \(LatentCLI.format(-best.trainingLoss)), held out "
                        + (best.heldOutLoss.map { LatentCLI.format(-$0) } ?? "-")
                        + " nats; KL \(LatentCLI.format(best.rate)) nats"
                ))
        }
        for view in record.furtherViews {
            let shape = view.configuration
            rows.append(
                (
                    "further view",
                    "\(view.preprocessing.viewName), \(shape.channelCount)×\(shape.height)×"
                        + "\(shape.width), \(view.preprocessing.windowing.mode.rawValue), "
                        + "\(shape.architecture.rawValue) \(shape.widths), latent "
                        + "\(shape.latentCount)"
                ))
        }
        return rows
    }

    /// What new files are drawn with.
    private var draws: [Row] {
        var rows: [Row] = []
        if let counts = file.densityComponentCounts {
            rows.append(
                (
                    "latent density",
                    "mixtures of \(counts.map(String.init).joined(separator: ", ")) Gaussians"
                ))
        }
        if let flow = record.flow { rows.append(("latent flow", flow.sentence)) }
        if let deformation = record.deformation {
            rows.append(
                (
                    "deformations",
                    "\(deformation.channelCount)×\(deformation.height)×\(deformation.width), "
                        + "\(deformation.stepCount) steps of pairs of \(deformation.itemCount) files"
                ))
        }
        return rows
    }

    private var thresholds: [Row] {
        var rows: [Row] = []
        for kind in ScoreKind.allCases where file.scoreKinds.contains(kind) {
            let count = record.calibration.scores(kind).count
            if kind.isRequested, count == 0 { continue }
            let threshold = record.calibration.threshold(kind)
            rows.append(
                (
                    "threshold",
                    "\(kind.rawValue) "
                        + (threshold.map { LatentCLI.format($0, digits: kind.digits) } ?? "none")
                        + " at \(record.calibration.falseAlarmRate * 100) % false alarms, "
                        + "\(count) scores, \(record.drawCount) draws"
                ))
        }
        if let groups = record.calibrationGroups {
            let kind = record.scoreKind
            for name in groups.names {
                guard let own = groups.groups[name] else { continue }
                let threshold = own.threshold(kind).map {
                    LatentCLI.format($0, digits: kind.digits)
                }
                rows.append(
                    (
                        "group threshold",
                        "\(groups.attribute) \(name): \(kind.rawValue) "
                            + "\(threshold ?? "that of all files"), \(own.scores(kind).count) scores"
                    ))
            }
        }
        if let labelled = record.labelledThreshold {
            rows.append(
                (
                    "labelled threshold",
                    "\(labelled.scoreKind.rawValue) "
                        + LatentCLI.format(labelled.threshold, digits: labelled.scoreKind.digits)
                        + " for \(labelled.goalText), which score flags by; \(labelled.sentence)"
                ))
        }
        for drift in record.calibrationHistory ?? [] {
            rows.append(("calibration", "\(drift.kind.rawValue), \(drift.sentence)"))
        }
        return rows
    }
}
