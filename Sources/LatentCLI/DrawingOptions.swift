import ArgumentParser
import Latent

/// What `--method` takes: a way to draw, or `auto`.
enum MethodOption: ExpressibleByArgument, Equatable, Sendable {
    case auto
    case fixed(LatentSampling)

    init?(argument: String) {
        if argument == "auto" {
            self = .auto
        } else if let sampling = LatentSampling(rawValue: argument) {
            self = .fixed(sampling)
        } else {
            return nil
        }
    }

    static var allValueStrings: [String] {
        ["auto"] + LatentSampling.allCases.map(\.rawValue)
    }

    static var allValueDescriptions: [String: String] {
        var descriptions = summaries(of: LatentSampling.self, \.summary)
        descriptions["auto"] =
            """
            in minutes, what does most for a small classifier of DATA, and how many help, up to the \
            number asked for: what a model draws where it is better than transforms beyond doubt, else \
            the best of these, or no new files
            """
        return descriptions
    }

    /// Nil for `auto`.
    var sampling: LatentSampling? {
        guard case .fixed(let sampling) = self else { return nil }
        return sampling
    }
}

extension LatentSampling {
    /// For help.
    fileprivate var summary: String {
        switch self {
        case .prior:
            "the prior; of a model of --objective vamp, posteriors of its pseudo-inputs"
        case .density: "from where the training files of a class lie"
        case .flow:
            "the same by a normalizing flow, of a model of train --flow-steps; its files are no better"
        case .vamp: "posteriors of the pseudo-inputs of --objective vamp"
        case .posterior: "around a real item"
        case .interpolate: "between two items of a class"
        case .smote: "between an item and one of the nearest of its class"
        case .extrapolate: "beyond an item, away from one of the nearest of its class"
        case .deform: "a real item changed as others of a class differ, and as sharp as it is"
        case .transform: "a real item itself, for --transform"
        }
    }
}

/// How new files are drawn.
struct DrawingOptions: ParsableArguments {
    @Option(
        name: .customLong("method"),
        help: ArgumentHelp(
            """
            What new files come from (posterior where data are named, else density, or prior where the \
            model has none; transform without a model).
            """))
    var method: MethodOption?

    @Option(
        help: ArgumentHelp(
            """
            For auto: column of the manifest of DATA, such as speaker; files with one value are all \
            left out at once, so that ways are tried on speakers that nothing was made of.
            """, valueName: "name"))
    var group: String?

    @Option(
        help: ArgumentHelp(
            """
            Factor on the deviation of the posterior, prior, density or flow, or on the strength of \
            deformations: below 1 new files are more typical and less varied.
            """, valueName: "x"))
    var spread = 1.0

    @Option(
        name: .customLong("curve"),
        help:
            "For interpolate: linear, or spherical, along the arc between the directions (linear).")
    var path: LatentPath?

    @Option(
        help: ArgumentHelp(
            """
            For smote and extrapolate: the nearest items that the second one is drawn from, in the latent \
            space (5, and 10 for extrapolate).
            """, valueName: "k"))
    var neighbours: Int?

    @Option(
        help: ArgumentHelp(
            "For extrapolate: how far beyond the item, in distances to the other (0.5).",
            valueName: "x"))
    var lambda: Double?

    @Option(
        help: ArgumentHelp(
            """
            Labels that the new files are to have; without it those of their parents, or all that \
            training saw in turn. Latents of parents are moved to where files of these labels lie.
            """, valueName: "name=value,…"), transform: LabelList.read)
    var condition: LabelList?

    @OptionGroup var direction: DirectionOptions

    /// Whether method and transforms are to be chosen.
    var isAutomatic: Bool { method == .auto }

    /// The method that is named; nil for the usual one, and where it is to be chosen.
    var sampling: LatentSampling? { method?.sampling }

    /// What items are to carry, beside what a model is told.
    var attributeNames: [String] { group.map { [$0] } ?? [] }

    /// Which of the attributes of items is the group; nil where there are none.
    func groupIndex(_ record: ModelRecord?) -> Int? {
        group.flatMap { name in
            (record?.attributeNames(groupedBy: name) ?? attributeNames).firstIndex(of: name)
        }
    }

    func validate() throws {
        guard spread >= 0, spread <= 100 else {
            throw ValidationError("--spread is \(spread); it must be 0 to 100.")
        }
        guard isAutomatic || group == nil else {
            throw ValidationError("--group is of --method auto.")
        }
        guard path == nil || sampling == .interpolate else {
            throw ValidationError("--curve goes with --method interpolate.")
        }
        guard neighbours == nil || sampling?.neighbourCount != nil else {
            throw ValidationError("--neighbours goes with --method smote or extrapolate.")
        }
        guard lambda == nil || sampling == .extrapolate else {
            throw ValidationError("--lambda goes with --method extrapolate.")
        }
        if let neighbours, !(1...1000).contains(neighbours) {
            throw ValidationError("--neighbours is \(neighbours); it must be 1 to 1000.")
        }
        if let lambda, !(lambda > 0 && lambda <= 10) {
            throw ValidationError("--lambda is \(lambda); it must be above 0 and at most 10.")
        }
    }

    /// Sets what is asked for.
    ///
    /// - Parameters:
    ///   - configuration: of the usual method, where none is named
    ///   - file: the model; nil for none
    /// - Throws: as ``DirectionOptions/apply(file:to:)``
    func apply(to configuration: inout Augmenter.Configuration, file: ModelFile?) throws {
        configuration.spread = spread
        configuration.path = path ?? configuration.path
        configuration.neighbourCount = neighbours
        configuration.extrapolation = lambda ?? configuration.extrapolation
        configuration.assignments = condition?.values ?? [:]
        try file.map { try direction.apply(file: $0, to: &configuration) }
    }
}
