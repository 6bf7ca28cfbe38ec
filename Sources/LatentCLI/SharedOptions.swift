import ArgumentParser
import Foundation
import Latent
import Media
import Torch

/// What every verb that computes takes.
struct MachineOptions: ParsableArguments {
    @Option(help: "Device: cpu, cuda, cuda:N or mps.")
    var device = "cpu"

    @Option(help: ArgumentHelp("Threads for computing; 0 takes all cores.", valueName: "n"))
    var threads = 0

    @Option(help: ArgumentHelp("Seed of every random choice.", valueName: "n"))
    var seed: UInt64 = 0

    @Flag(
        name: .shortAndLong,
        help: "Print nothing on standard error but errors, and warnings of files.")
    var quiet = false

    func validate() throws {
        guard (0...1024).contains(threads) else {
            throw ValidationError("--threads is \(threads); it must be 0 to 1024.")
        }
    }

    /// Prepares libtorch on this thread and gives the device.
    func start() throws -> Device {
        try Runtime.configure(threadCount: threadCount)
        return try Device(named: device)
    }

    /// More threads than cores would only wait for each other.
    var threadCount: Int {
        let cores = ProcessInfo.processInfo.activeProcessorCount
        return threads > 0 ? min(threads, cores) : cores
    }

    /// Readers are cheap beside the model: two at least, and more than eight wait for the disk.
    var readerCount: Int { max(2, min(8, threadCount)) }
}

/// Where inputs come from.
struct InputOptions: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "Files, folders, manifests (.csv, .ndjson), or - for paths on standard input.",
            valueName: "data"),
        completion: .file())
    var data: [String] = []

    @Flag(
        name: .customShort("0"), help: "Paths on standard input end in NUL, as find -print0 gives.")
    var null = false

    /// Whether paths come on standard input, perhaps one by one.
    var isStream: Bool { data.contains("-") }

    /// How long paths on standard input may pause before those that came are worked on, in seconds.
    var pause: Double? { isStream ? 0.05 : nil }

    /// Refuses a command line without data.
    func requireData() throws {
        guard !data.isEmpty else {
            throw ValidationError("no data: name a folder, files, a manifest, or -.")
        }
        guard !null || isStream else {
            throw ValidationError("-0 is of paths on standard input, which - stands for.")
        }
    }

    /// The inputs of a model: its domain, and the labels that it is told.
    func inputs(of record: ModelRecord, groupedBy attribute: String? = nil) throws -> Inputs {
        try inputs(
            domain: record.preprocessing.domain,
            attributeNames: record.attributeNames(groupedBy: attribute))
    }

    /// The inputs, of one domain where it is known.
    func inputs(domain: Domain?, attributeNames: [String] = []) throws -> Inputs {
        try Inputs(
            data, domain: domain, separator: null ? .null : .newline,
            attributeNames: attributeNames)
    }
}

/// A part of a run, for several processes or machines.
struct ShardOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Do only part i of n, of the same command with 1/n to n/n: disjoint parts that are together \
            the whole run, to the last digit. Parts are made of groups of consecutive files, as many as \
            are computed at once.
            """, valueName: "i/n"), transform: Part.read)
    var shard: Part?

    /// `3/8`.
    struct Part: WordedArgument, Sendable {
        static let form = "a part of a whole, as 3/8, from 1/8 to 8/8"
        let shard: Shard

        init?(argument: String) {
            let numbers = argument.split(separator: "/", omittingEmptySubsequences: false)
                .map { Int($0) }
            guard numbers.count == 2, let number = numbers[0], let count = numbers[1],
                let shard = Shard(number: number, of: count)
            else { return nil }
            self.shard = shard
        }
    }

    /// The part, in groups of so many items.
    func shard(groupSize: Int) -> Shard? {
        guard var shard = shard?.shard else { return nil }
        shard.groupSize = groupSize
        return shard
    }

    /// Refuses an option that has no meaning for a part.
    func refuse(_ isGiven: Bool, _ option: String, _ reason: String) throws {
        guard shard != nil, isGiven else { return }
        throw ValidationError("\(option) \(reason); leave --shard out.")
    }
}

extension ModelRecord {
    /// What items are to carry: what the model is conditioned on, and what tells their group.
    func attributeNames(groupedBy attribute: String?) -> [String] {
        let names = configuration.conditioning?.names ?? []
        return names + (attribute.map { names.contains($0) ? [] : [$0] } ?? [])
    }
}

/// How a model is run on files to score them.
struct ScoringOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            For a conditional model: labels that all files are taken to have, instead of those of \
            their folders or manifest.
            """, valueName: "name=value,…"), transform: LabelList.read)
    var condition: LabelList?

    @Option(help: ArgumentHelp("Windows that are scored at once.", valueName: "n"))
    var batch = 32

    func validate() throws {
        guard (1...65_536).contains(batch) else {
            throw ValidationError("--batch is \(batch); it must be 1 to 65536.")
        }
    }

    /// Prepares libtorch and the model.
    ///
    /// - Parameters:
    ///   - file: the model
    ///   - drawCount: L; nil takes as many as it was calibrated with
    ///   - requested: scores that are computed only when asked for, and are
    ///   - pause: seconds without a further file after which those that wait are scored
    ///   - stopping: when a file has draws enough; nil takes all for each
    ///   - machine: where the work is done
    /// - Returns: the scorer, which stays on this thread
    /// - Throws: `LatentError` for labels or a device that are not there
    func scorer(
        of file: ModelFile, drawCount: Int? = nil, requested: Set<ScoreKind> = [],
        pause: Double? = nil, stopping: SequentialStopping? = nil,
        on machine: MachineOptions
    ) throws -> Scorer {
        let device = try machine.start()
        var configuration = Scorer.Configuration(drawCount: drawCount ?? file.record.drawCount)
        configuration.seed = machine.seed
        configuration.batchSize = batch
        configuration.pause = pause
        configuration.stopping = stopping
        configuration.readerCount = machine.readerCount
        configuration.assignments = try file.record.assignments(condition)
        configuration.requestedKinds = requested
        return try Scorer(file: file, device: device, configuration: configuration)
    }
}

extension Domain: ExpressibleByArgument {}
extension TrainingRequest.Purpose: ExpressibleByArgument {}
extension LikelihoodKind: ExpressibleByArgument {
    /// What each value is, for the help.
    public static var allValueDescriptions: [String: String] {
        summaries(of: Self.self, \.summary)
    }
}

extension ObjectiveKind: ExpressibleByArgument {
    /// What each value is, for the help.
    public static var allValueDescriptions: [String: String] {
        summaries(of: Self.self, \.summary)
    }
}

extension ScoreKind: ExpressibleByArgument {}
extension TrainingConfiguration.Precision: ExpressibleByArgument {}
extension TrainingConfiguration.Balance: ExpressibleByArgument {}
extension TrainingRequest.Augmentation: ExpressibleByArgument {}
extension Aggregate: ExpressibleByArgument {}
extension LatentPath: ExpressibleByArgument {}
extension WAVEncoding: ExpressibleByArgument {}
extension VAEConfiguration.Architecture: ExpressibleByArgument {
    /// What each value is, for the help.
    public static var allValueDescriptions: [String: String] {
        summaries(of: Self.self, \.summary)
    }
}

/// A size as `64` or `48x64`, height first.
struct WindowSize: WordedArgument, Sendable {
    static let form = "a size from 1 to 4096, or height x width, as 48x64"
    let height: Int
    let width: Int

    init?(argument: String) {
        let parts = argument.lowercased().split(separator: "x", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { Int($0) }
        guard numbers.count == parts.count, (1...2).contains(numbers.count),
            numbers.allSatisfy({ (1...4096).contains($0) })
        else { return nil }
        height = numbers[0]
        width = numbers[numbers.count - 1]
    }

    static var allValueStrings: [String] { [] }
}

/// A list of numbers as `32,64,128`.
struct WidthList: WordedArgument, Sendable {
    static let form = "numbers above 0, as 32,64,128"
    let values: [Int]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        values = parts.compactMap { Int($0) }
        guard !values.isEmpty, values.count == parts.count, values.allSatisfy({ $0 > 0 }) else {
            return nil
        }
    }
}

/// Names as `digit,speaker`.
struct NameList: WordedArgument, Sendable {
    static let form = "different names with commas between, as a,b"
    let values: [String]

    init?(argument: String) {
        values = argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard values.allSatisfy({ !$0.isEmpty }), Set(values).count == values.count else {
            return nil
        }
    }
}

/// Labels as `digit=3,speaker=theo`.
struct LabelList: WordedArgument, Sendable {
    static let form = "labels by name, as digit=3,speaker=theo"
    let values: [String: String]

    init?(argument: String) {
        var values: [String: String] = [:]
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let equals = part.firstIndex(of: "="), equals > part.startIndex else {
                return nil
            }
            let name = String(part[..<equals])
            guard values[name] == nil else { return nil }
            values[name] = String(part[part.index(after: equals)...])
        }
        self.values = values
    }
}

/// The name of something that is written, which an unset variable of a shell leaves empty.
func checkName(_ value: String?, _ option: String) throws {
    guard value != "" else {
        throw ValidationError("\(option) is given an empty name; it must name a file or folder.")
    }
}

/// A share strictly between 0 and 1.
func checkShare(_ value: Double?, _ name: String, allowsZero: Bool = false) throws {
    guard let value else { return }
    guard value.isFinite, value < 1, allowsZero ? value >= 0 : value > 0 else {
        throw ValidationError(
            "\(name) is \(value); it must be \(allowsZero ? "0 or more" : "above 0") and below 1.")
    }
}
