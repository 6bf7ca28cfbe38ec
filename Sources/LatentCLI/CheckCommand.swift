import ArgumentParser
import Foundation
import Latent
import Synchronization
import Torch

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Look at data before anything is trained, and say what train would do with them.",
        discussion: """
            Reads every file once, on all cores. A line for each file with a problem: unreadable, \
            short, small, silent, constant, or a duplicate of an earlier one by content. Then what is \
            there, and what train would do with it with these options: parts, windows, network, and \
            the time and memory that it would take on this machine, from a few real steps. Exit code 65 \
            when a file cannot be read, or training would be refused.

            EXAMPLES
              latent check photos
              latent check photos --for detection --view contrast,gradients
              latent check parts --format ndjson | jq -c 'select(.row == "duplicate")'
              latent check photos --exit-code -q > report.txt || echo look at report.txt
              latent check photos --list --format csv > files.csv
              latent check photos --shard 3/8 > files-3.ndjson
            """)

    @OptionGroup var input: InputOptions

    @Option(help: "Kind of files; found from the extensions where it is not given: image, audio.")
    var domain: Domain?

    @Option(help: "Format: ndjson, csv, tsv, table (table on a terminal, else ndjson).")
    var format: RowFormat?

    @Flag(
        help: """
            A line for each file instead, with its SHA-256, size and format, and no totals. (With \
            --shard always.)
            """)
    var list = false

    @Flag(help: "Exit with 1 when a readable file has a problem.")
    var exitCode = false

    @OptionGroup var sharding: ShardOptions

    @OptionGroup(title: "Model, as for train") var model: ModelOptions
    @OptionGroup(title: "Windows, as for train") var windows: WindowOptions
    @OptionGroup(title: "Training, as for train") var training: TrainingOptions
    @OptionGroup(title: "Machine") var machine: MachineOptions

    func validate() throws {
        try input.requireData()
    }

    func run() throws {
        let console = Console(quiet: machine.quiet)
        let device = try machine.start()
        let lists = list || sharding.shard != nil
        var inputs = try input.inputs(
            domain: domain, attributeNames: model.condition?.values ?? [])
        inputs.shard = sharding.shard(groupSize: 1)
        let output = StandardOutput()
        let writer = CheckWriter(
            output, format: format ?? (output.isTerminal ? .table : .ndjson), lists: lists)
        try writer.begin()
        let check = try DataCheck(
            domain: domain, threadCount: machine.threadCount, findsDuplicates: !lists)
        try read(inputs, check, writer, console)
        console.clear()
        if let note = inputs.omissions.note { console.note(note) }
        guard check.totals.fileCount > 0 || inputs.omissions.otherShardCount > 0 else {
            throw LatentError.noFiles(to: "check", in: inputs)
        }
        var isRefused = false
        if !lists {
            try check.duplicates { try writer.write(duplicate: $0, of: $1) }
            try writer.write(check.totals)
            try output.flush()
            console.progress { "taking a few steps of training" }
            switch Result(catching: { () throws(LatentError) in
                try forecast(check, device: device)
            }) {
            case .success(let forecast):
                try writer.write(forecast)
                console.clear()
                advise(forecast, console)
            case .failure(let error) where error.code == .data:
                isRefused = true
                try writer.write(refusal: error)
            case .failure(let error): throw error
            }
            console.clear()
        }
        try output.flush()
        let problems = check.totals.problems
        if let count = problems[.unreadable] {
            console.warning("\(count) of \(counted(check.totals.fileCount, "file")) cannot be read")
        }
        if problems[.unreadable] != nil || isRefused { throw ExitStatus.badData }
        if exitCode, !problems.isEmpty { throw ExitStatus.flagged }
    }

    /// Warns, as training would at its end, of too few files for thresholds.
    private func advise(_ forecast: TrainingForecast, _ console: Console) {
        let rate = training.falseAlarms ?? TrainingConfiguration.usualFalseAlarmRate
        let needed = Calibration.neededCount(rate: rate)
        guard forecast.calibrationCount < needed else { return }
        console.advice(
            "train would set no threshold: a false-alarm rate of \(rate) needs \(counted(needed, "file")) for "
                + "calibration, there would be \(forecast.calibrationCount); give more files, a larger "
                + "--calibration, or a larger --false-alarms")
    }

    /// Reads the files; a signal stops it between two of them.
    private func read(
        _ inputs: Inputs, _ check: DataCheck, _ writer: CheckWriter, _ console: Console
    ) throws {
        let interruption = Interruption()
        let startedAt = Date()
        let ahead = FileCount()
        try check.read(inputs) { item, result in
            try writer.write(item, result)
            if interruption.isRequested {
                throw LatentError(.interrupted, "interrupted while reading the files")
            }
            console.progress {
                ahead.start(input, domain: domain, shard: inputs.shard)
                let done = check.totals.fileCount
                guard let total = ahead.total else { return "checked \(counted(done, "file"))" }
                let seconds = Date().timeIntervalSince(startedAt) / Double(done)
                return "checked \(done) of \(counted(total, "file")), "
                    + "\(Console.duration(seconds * Double(max(0, total - done)))) left"
            }
        }
    }

    private func forecast(
        _ check: DataCheck, device: Device
    ) throws(LatentError) -> TrainingForecast {
        let totals = check.totals
        let kind: Domain
        if let domain {
            kind = domain
        } else {
            kind = try Domain(
                imageCount: totals.imageCount, recordingCount: totals.recordingCount,
                hint: "say which to train on with --domain image or --domain audio")
        }
        do {
            return try TrainingRun.forecast(
                TrainingRequest(model, windows, training, seed: machine.seed), of: check,
                domain: kind, device: device,
                readerCount: machine.readerCount,
                cache: training.cachePolicy(ProcessInfo.processInfo.environment))
        } catch let error as LatentError {
            throw error
        } catch {
            // A file that has gone since it was read, or the like.
            throw LatentError(
                .data, "training cannot be tried: \(ItemError(error).message)",
                hint: "run the check again")
        }
    }
}

/// Counts files on another thread, ahead of what is done with them, once somebody wants to know.
private final class FileCount {
    private let shared = Shared()
    private var isStarted = false

    private final class Shared: Sendable {
        let total = Atomic<Int>(-1)
    }

    /// The number of files; nil as long as it is not known.
    var total: Int? {
        let total = shared.total.load(ordering: .relaxed)
        return total < 0 ? nil : total
    }

    /// Begins to count; paths on standard input cannot be counted ahead.
    func start(_ input: InputOptions, domain: Domain?, shard: Shard?) {
        guard !isStarted, !input.isStream else { return }
        isStarted = true
        let thread = Thread { [shared, data = input.data] in
            guard var inputs = try? Inputs(data, domain: domain) else { return }
            inputs.shard = shard
            var count = 0
            for _ in inputs { count += 1 }
            shared.total.store(count, ordering: .relaxed)
        }
        thread.stackSize = 8 << 20
        thread.start()
    }
}
