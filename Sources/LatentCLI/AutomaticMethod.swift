import ArgumentParser
import Foundation
import Latent
import Torch

/// `augment --method auto`: chooses how new files are made, says why, and keeps to it in a run that goes
/// on.
struct AutomaticMethod {
    let source: (file: ModelFile, model: VAE)?
    /// How new files are drawn where nothing can be tried.
    let drawing: Augmenter.Configuration
    let domain: Domain
    /// What new files of a method are refused for.
    let filters: (LatentSampling) -> Filters
    let device: Device
    /// Which attribute of items is their group.
    let groupIndex: Int?
    let console: Console

    private var usual: AugmentationChoice.Way { source == nil ? .classic : .init(drawing.method) }

    /// What the folder's run chose; else what a trial on the real files chooses.
    ///
    /// - Parameters:
    ///   - items: the real files
    ///   - output: the folder to write
    ///   - beginsAgain: whether what is in it is of no interest
    /// - Returns: what is taken
    /// - Throws: `LatentError` `.exists` for a folder that holds something else, `.interrupted`, and
    ///   whatever the usual method throws, before anything is tried
    func choice(
        of items: [Item], in output: String, beginsAgain: Bool
    ) throws -> AugmentationChoice {
        if !beginsAgain {
            if let chosen = RunRecord.choice(in: output) {
                console.note("\(output) was begun with \(chosen.chosen.name), which auto chose")
                report(chosen)
                return chosen
            }
            try OutputFolder.checkIsEmpty(output, shard: drawing.shard)
        }
        // Requests that cannot be met are refused now, not in minutes.
        let count = try newCount(of: items)
        let trial = AugmentationTrial(
            source: source, drawing: drawing, domain: domain, filters: filters, device: device)
        let chosen =
            count > 0
            ? try tried(trial, on: items, .init(count: count, groupIndex: groupIndex))
            : AugmentationChoice(untried: usual, because: "no class lacks files")
        report(chosen)
        return chosen
    }

    /// Number of new files that are asked for.
    private func newCount(of items: [Item]) throws -> Int {
        var plain = drawing
        try apply(usual, to: &plain)
        let augmenter =
            try source.map {
                try Augmenter(file: $0.file, model: $0.model, configuration: plain)
            } ?? Augmenter(transforming: plain)
        return try augmenter.plan(for: items).slotCount
    }

    /// Seconds of training that say how long the whole will take.
    private static let timedSeconds = 2.0

    private func tried(
        _ trial: AugmentationTrial, on items: [Item], _ request: AugmentationTrial.Request
    ) throws -> AugmentationChoice {
        let interruption = Interruption()
        var startedAt: Date?
        var isTimed = false
        let chosen = try trial.choice(of: items, request: request, otherwise: usual) { progress in
            if interruption.isRequested {
                throw LatentError(
                    .interrupted, "interrupted while methods were tried",
                    hint: "nothing is written yet; name a --method to do without")
            }
            guard progress.share > 0 else { return }
            guard let startedAt else {
                startedAt = Date()
                return console.note(
                    "trying \(trial.ways.count) ways of making new files on the real ones: at most "
                        + "\(trial.trainingCount) trainings of a small classifier")
            }
            let seconds = Date().timeIntervalSince(startedAt)
            let left = seconds * (1 - progress.share) / progress.share
            if !isTimed, seconds >= Self.timedSeconds {
                isTimed = true
                console.note("that takes about \(Console.duration(seconds + left)), or less")
            }
            console.progress {
                "trying \(progress.way.name): \(Int(progress.share * 100)) % done, "
                    + "\(Console.duration(left)) left"
            }
        }
        console.clear()
        return chosen
    }

    /// Sets what is chosen.
    ///
    /// - Parameters:
    ///   - choice: as of ``choice(of:in:beginsAgain:)``
    ///   - items: the real files
    ///   - drawing: method, filters, transforms and amount are set
    /// - Throws: as an augmenter's plan does
    func apply(
        _ choice: AugmentationChoice, of items: [Item],
        to drawing: inout Augmenter.Configuration
    ) throws {
        try apply(choice.chosen, to: &drawing)
        if choice.chosen == .real {
            drawing.amount = .total(0)
        } else if let ratio = choice.chosen.ratio {
            drawing.amount = drawing.amount.limited(
                to: ratio, of: items.count, from: try newCount(of: items))
        }
    }

    private func apply(
        _ way: AugmentationChoice.Way, to drawing: inout Augmenter.Configuration
    ) throws {
        let way = way == .real ? .classic : way
        drawing.method = way.method ?? drawing.method
        drawing.filters = filters(drawing.method)
        drawing.transforms = try way.transforms.map { try FileTransforms($0, domain: domain) }
    }

    // MARK: Report

    /// Says what was tried, on standard error, and what is taken.
    private func report(_ choice: AugmentationChoice) {
        if !choice.rows.isEmpty {
            console.note("  accuracy  over real           over the floor      way")
        }
        for row in choice.rows {
            let gains = [
                row.way == .real ? "" : Self.text(row.overReal),
                row.way == choice.floor ? "the floor" : Self.text(row.overFloor),
            ]
            console.note(
                (row.way == choice.chosen ? "*" : " ")
                    + format(100 * row.balancedAccuracy).flushRight(9) + "  "
                    + gains.map { $0.flushLeft(20) }.joined() + row.way.name)
        }
        for remark in choice.ground == .untried ? [] : choice.remarks { console.note(remark) }
        let row = choice.chosenRow
        switch choice.ground {
        case .better:
            console.note(
                "auto: \(choice.chosen.name), with gains in points of balanced accuracy whose "
                    + "intervals hold together with 95 %; the gain of what was chosen for it is "
                    + "rather less")
        case .transforms:
            console.advice(
                "auto: nothing that a model draws is better than transforms beyond doubt; "
                    + "\(choice.chosen.name) is taken"
                    + (row.map { ", \(Self.text($0.overReal)) points over real files alone" } ?? "")
            )
        case .real:
            console.advice(
                "auto: nothing helps: transforms do harm, and nothing else is better than "
                    + "real files alone beyond doubt; no new files are made")
        case .untried:
            console.advice(
                "auto: nothing was tried, as \(choice.remarks.joined(separator: ", ")); "
                    + "\(choice.chosen.name) is taken")
        }
    }

    /// `+2.1 (-0.4…+4.6)`, in points.
    private static func text(_ gain: AugmentationChoice.Gain) -> String {
        let words = [gain.value, gain.low, gain.high].map { String(format: "%+.1f", 100 * $0) }
        return "\(words[0]) (\(words[1])…\(words[2]))"
    }
}
