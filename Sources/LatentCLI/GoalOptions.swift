import ArgumentParser
import Foundation
import Latent

/// What a threshold is to be best at, by files of which it is known whether they are anomalous.
struct GoalOptions: ParsableArguments {
    @Flag(help: "By labelled files: the threshold of the largest F1.")
    var bestF1 = false

    @Option(
        help: ArgumentHelp(
            "By labelled files: the threshold of the least cost, given what each error costs.",
            valueName: "miss=10,alarm=1"))
    var cost: String?

    @Option(
        help: ArgumentHelp(
            """
            By labelled files: the threshold that so many false alarms allow, as 5/day; with --rate.
            """, valueName: "n/unit"))
    var maxAlarms: String?

    @Option(
        help: ArgumentHelp(
            "With --max-alarms: how many files come in, as 200/hour (minute, hour, day, week).",
            valueName: "n/unit"))
    var rate: String?

    @OptionGroup var truth: TruthOptions

    func validate() throws { _ = try goal() }

    /// The goal; nil where none is asked for.
    ///
    /// - Throws: `ValidationError` for goals that exclude each other or cannot be read
    func goal() throws -> LabelledThreshold.Goal? {
        let names = [
            (bestF1, "--best-f1"), (cost != nil, "--cost"), (maxAlarms != nil, "--max-alarms"),
        ].filter(\.0).map(\.1)
        guard names.count < 2 else {
            throw ValidationError("\(names.joined(separator: " and ")) exclude each other.")
        }
        guard (maxAlarms == nil) == (rate == nil) else {
            throw ValidationError(
                maxAlarms == nil
                    ? "--rate goes with --max-alarms."
                    : "--max-alarms needs --rate: how many files come in, as 200/hour.")
        }
        if bestF1 { return .bestF1 }
        if let cost {
            let costs = try Self.costs(cost)
            return .cost(miss: costs.miss, alarm: costs.alarm)
        }
        if let maxAlarms, let rate {
            return .maxAlarms(
                perDay: try Self.perDay(maxAlarms, "--max-alarms", "5/day"),
                filesPerDay: try Self.perDay(rate, "--rate", "200/hour"))
        }
        guard truth.normal == nil, truth.labels == nil else {
            throw ValidationError(
                "--normal and --labels go with --best-f1, --cost or --max-alarms.")
        }
        return nil
    }

    private static func costs(_ text: String) throws -> (miss: Double, alarm: Double) {
        let values = LabelList(argument: text)?.values.mapValues { Double($0) ?? .nan } ?? [:]
        guard Set(values.keys) == ["miss", "alarm"], let miss = values["miss"],
            let alarm = values["alarm"], [miss, alarm].allSatisfy({ $0 > 0 && $0.isFinite })
        else {
            throw ValidationError(
                "--cost is \(text); it must be two numbers above 0, as miss=10,alarm=1.")
        }
        return (miss, alarm)
    }

    private static let perDay = [
        "minute": 1440.0, "min": 1440, "hour": 24, "h": 24, "day": 1, "d": 1, "week": 1.0 / 7,
    ]

    /// A number of times, for a day.
    private static func perDay(
        _ text: String, _ option: String, _ example: String
    ) throws -> Double {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let count = Double(parts[0]), count > 0, count.isFinite,
            let factor = perDay[parts[1].lowercased()]
        else {
            throw ValidationError(
                "\(option) is \(text); it must be a number above 0 for a minute, hour, day or "
                    + "week, as \(example).")
        }
        return count * factor
    }
}
