import ArgumentParser
import Foundation
import Latent

struct InspectCommand: ParsableCommand {
    enum Format: String, CaseIterable, ExpressibleByArgument { case text, json }

    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show everything in a model file, without running it.",
        discussion: """
            EXAMPLES
              latent inspect photos.safetensors
              latent inspect photos.safetensors --format json | python3 -m json.tool
            """)

    @Argument(help: "The model file.", completion: .file(extensions: ["safetensors"]))
    var model: String

    @Option(help: "Format: text, json.")
    var format = Format.text

    func run() throws {
        let loaded = try ModelFile.read(model)
        let output = StandardOutput()
        switch format {
        case .json:
            try output.line(try loaded.file.recordJSON())
        case .text:
            for (name, value) in rows(loaded) {
                try output.line("\(name.flushLeft(19)) \(value)")
            }
        }
        try output.flush()
    }

    private func rows(_ loaded: ModelFile.Loaded) -> [(String, String)] {
        let record = loaded.file.record
        let configuration = record.configuration
        let windowing = record.preprocessing.windowing
        let training = record.training
        let weightCount = loaded.file.networkWeightCount
        // Scales, of which each network has one, are neither.
        let keptCount =
            loaded.file.weights.values.reduce(0) { $0 + $1.values.count } - weightCount
            - record.views.count * record.members
        var rows = [
            ("file", model), ("sha256", "\(loaded.hash)"), ("written by", record.writtenBy),
            ("domain", record.preprocessing.domain.rawValue),
            ("purpose", "\(record.purpose.rawValue), by \(record.scoreKind.rawValue)"),
            ("view", record.preprocessing.viewName),
            (
                "window",
                "\(configuration.channelCount)×\(configuration.height)×\(configuration.width), "
                    + "\(windowing.mode.rawValue), stride \(windowing.stride)"
            ),
        ]
        if case .logMel(let view) = record.preprocessing.view {
            rows.append(
                (
                    "log-mel",
                    "\(view.sampleRate) Hz, FFT \(view.fftLength), hop \(view.hopLength), "
                        + "\(view.melCount) bands, range \(LatentCLI.format(view.rangeNats * LogMelView.decibelsPerNat)) dB, "
                        + (view.referenceNats == nil ? "level removed" : "level kept")
                ))
        }
        rows += [
            (
                "network",
                "\(configuration.architecture.rawValue) \(configuration.widths), latent "
                    + "\(configuration.latentCount), \(weightCount) weights"
                    + (keptCount > 0 ? "; \(keptCount) numbers beside them" : "")
            ),
            ("likelihood", configuration.likelihood.rawValue),
            ("labels", record.labels.isEmpty ? "none" : record.labels.joined(separator: ", ")),
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
        if let counts = loaded.file.densityComponentCounts {
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
        for kind in ScoreKind.allCases where loaded.file.scoreKinds.contains(kind) {
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
            for name in groups.names {
                guard let own = groups.groups[name] else { continue }
                let kind = record.scoreKind
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
