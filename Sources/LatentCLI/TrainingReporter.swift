import Foundation
import Latent

/// Tells a person how training goes.
final class TrainingReporter {
    private let console: Console
    private let itemCount: Int
    private var failureCount = 0
    private var lastEpochNote = Date.distantPast
    private var deformingSince = Date.distantPast
    private var flowRunCount = 0
    private var secondsLeft: Double?
    private var unitCount = 0

    init(console: Console, itemCount: Int) {
        self.console = console
        self.itemCount = itemCount
    }

    func handle(_ event: TrainingRun.Event) {
        switch event {
        case .surveyed(let done):
            console.progress { "reading \(done) of \(counted(self.itemCount, "file"))" }
        case .failure(let failure):
            failureCount += 1
            console.warning("\(failure.item.path): \(failure.error.message)")
        case .planned(let summary):
            plan(summary)
        case .view(let name, let number, let count):
            console.note("view \(number) of \(count): \(name)")
            lastEpochNote = .distantPast
        case .member(let number, let count):
            console.note("network \(number) of \(count)")
            lastEpochNote = .distantPast
        case .training(let event):
            training(event)
        case .deforming(let done, let count):
            if done == 0 {
                console.note("learning how files of a class differ: \(count) steps")
                deformingSince = Date()
            }
            console.progress {
                let seconds = Date().timeIntervalSince(self.deformingSince) / Double(max(1, done))
                return "deformations, step \(done) of \(count)"
                    + (done > 0
                        ? ", \(Console.duration(seconds * Double(count - done))) left" : "")
            }
        case .fittingFlow(let done, let count):
            if done == 0 {
                console.note(
                    flowRunCount == 0
                        ? "learning a flow of the latents: a trial of at most \(counted(count, "step"))"
                        : "learning it from all windows: \(counted(count, "step"))")
                flowRunCount += 1
            }
            console.progress {
                "flow, step \(done) of \(self.flowRunCount == 1 ? "at most " : "")\(count)"
            }
        case .fittedFlow(let flow):
            console.note("flow: \(flow.sentence)")
            if let own = flow.heldOutNats, let other = flow.mixtureHeldOutNats, own < other {
                console.warning(
                    "held-out files are less likely under the flow than under the mixtures; use --method "
                        + "density, or more files")
            }
        case .calibrating(let count):
            console.progress { "scoring \(counted(count, "held-out file"))" }
        }
    }

    private func plan(_ summary: TrainingRun.Summary) {
        if summary.failureCount > 0 {
            console.warning(
                "left out \(summary.failureCount) of \(summary.failureCount + summary.itemCount) "
                    + "files that cannot be read")
        }
        let classes = summary.labelCount > 1 ? " in \(summary.labelCount) classes" : ""
        console.note(
            "\(summary.itemCount) \(summary.preprocessing.domain.plural)\(classes): "
                + "\(summary.trainingCount) to fit (\(summary.windowCount) windows), "
                + "\(summary.heldOutCount) to decide when to stop, "
                + "\(summary.calibrationCount) for thresholds")
        if let reason = summary.viewReason { console.note("for \(summary.purpose): \(reason)") }
        let model = summary.model
        unitCount = summary.latentDimensionCount
        let labels = model.conditioning.map {
            " on " + $0.attributes.map { "\($0.name) (\($0.values.count))" }.joined(separator: ", ")
        }
        console.note(
            "\(summary.preprocessing.viewName) windows of \(model.channelCount)×\(model.height)×"
                + "\(model.width), \(model.objective.kind.rawValue)\(labels ?? ""), "
                + "\(model.architecture.rawValue) \(model.widths), latent \(model.latentCount)"
                + (model.layerCount > 1 ? " in \(model.layerCount) layers" : "")
                + ", \(model.likelihood.rawValue); up to "
                + "\(summary.training.epochCount) epochs of batches of \(summary.training.batchSize)"
        )
        if summary.calibrationCount < 19 {
            console.note(
                "only \(counted(summary.calibrationCount, "file")) for thresholds: the smallest false-alarm "
                    + "rate they can promise is "
                    + format(Calibration.smallestRate(count: summary.calibrationCount), digits: 3))
        }
    }

    private func training(_ event: TrainingEvent) {
        switch event {
        case .resumed(let epoch, let step):
            console.note("going on from the checkpoint: epoch \(epoch), step \(step)")
        case .fittingVariance:
            console.note("fitting the variance of each element")
        case .step(let done, let of, let epoch, let epochCount):
            console.progress {
                "epoch \(epoch) of \(epochCount), step \(done) of \(of)"
                    + (self.secondsLeft.map { ", \(Console.duration($0)) left" } ?? "")
            }
        case .warning(let text):
            console.advice(text)
        case .rolledBack(let reason, let epoch, let rate):
            console.advice(
                "\(reason) in epoch \(epoch): going back to the last good state with a learning rate "
                    + "of \(rate)")
        case .epoch(let record, let of, let isBest, let rate, let left):
            secondsLeft = left
            // Many short epochs would flood a log: about one line in two seconds.
            let isLast = record.epoch == of
            guard Date().timeIntervalSince(lastEpochNote) >= 2 || isLast else { return }
            lastEpochNote = Date()
            let heldOut = record.heldOutLoss.map { ", held out \(format($0))" } ?? ""
            let units =
                record.activeUnitCount.map { ", \($0) of \(self.unitCount) units active" } ?? ""
            let bits = record.rate / log(2) / Double(max(1, unitCount))
            console.note(
                "epoch \(record.epoch)/\(of): loss \(format(record.trainingLoss))\(heldOut)"
                    + "\(isBest ? " *" : ""), reconstruction \(format(record.distortion)), KL "
                    + "\(format(record.rate)) nats (\(format(bits, digits: 2)) bits a dimension)"
                    + "\(units), \(Int(rate)) windows/s, "
                    + "\(Console.duration(left)) left")
        case .stoppedEarly(let epoch, let best):
            console.note(
                "stopped after epoch \(epoch): the held-out bound was best in epoch \(best)")
        }
    }

    func conclude(_ file: ModelFile, output: String) {
        console.clear()
        let calibration = file.record.calibration
        let rate = calibration.falseAlarmRate
        let kind = file.record.scoreKind
        let count = calibration.scores(kind).count
        if let threshold = calibration.threshold(kind) {
            console.note(
                "threshold \(format(threshold)) (\(kind.rawValue)) at \(rate * 100) % false alarms, from "
                    + "\(counted(count, "held-out file"))")
        } else {
            console.warning(
                "no threshold: a false-alarm rate of \(rate) needs "
                    + "\(counted(Calibration.neededCount(rate: rate), "file")) for calibration, there are "
                    + "\(count); give more files, a larger --calibration, or a larger "
                    + "--false-alarms")
        }
        console.note("wrote \(output)")
    }
}
