import ArgumentParser
import Foundation
import Glibc
import Latent
import Media
import Torch

struct TrainCommand: ParsableCommand {
    enum ErrorPolicy: String, CaseIterable, ExpressibleByArgument { case skip, fail }

    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Fit a model to a folder of images or recordings.",
        discussion: """
            Reads every file once, decides on windows, network and schedule from what is there, \
            fits a variational autoencoder, and sets thresholds on items that neither the weights \
            nor the stopping have seen. All of it is recorded in MODEL, one .safetensors file.

            EXAMPLES
              latent train photos -o photos.safetensors
              latent train photos -o drawing.safetensors --for augmentation
              latent train normal.csv -o m.safetensors --latent 8 --false-alarms 0.01
              find clips -name '*.wav' -print0 | latent train -0 - -o clips.safetensors
              latent train photos -o photos.safetensors --resume   # after any interruption
              latent train photos -o m.safetensors --condition class --report m-report
              latent train photos -o m.safetensors --layers 3 --score likelihood-ratio
              torchrun --nproc-per-node 2 --no-python latent train photos -o m.safetensors
            """)

    @OptionGroup var input: InputOptions

    @Option(name: .shortAndLong, help: ArgumentHelp("The model file to write.", valueName: "model"))
    var output: String

    @Flag(help: "Go on from the checkpoint that an interrupted run left beside MODEL.")
    var resume = false

    @Option(
        help: ArgumentHelp(
            """
            A folder for what training looks like: metrics.ndjson, TensorBoard's event files, sheets \
            of reconstructions and samples, a map of the latent space, traversals.
            """, valueName: "dir"))
    var report: String?

    @Flag(help: "Replace MODEL if it exists.")
    var force = false

    @Option(help: "Kind of files; found from the extensions where it is not given: image, audio.")
    var domain: Domain?

    @Option(help: "What to do about a file that cannot be read: skip, fail.")
    var onError = ErrorPolicy.skip

    @OptionGroup(title: "Model") var model: ModelOptions
    @OptionGroup(title: "Windows") var windows: WindowOptions
    @OptionGroup(title: "Training") var training: TrainingOptions
    @OptionGroup(title: "Machine") var machine: MachineOptions

    func validate() throws {
        try input.requireData()
        try checkName(output, "-o")
        try checkName(report, "--report")
    }

    func run() throws {
        if !force, !resume { try OutputCheck.isFree(output) }
        let checkpoint = output + ".checkpoint"
        if !force, !resume, FileManager.default.fileExists(atPath: checkpoint) {
            throw LatentError(
                .exists, path: checkpoint, "an interrupted run left its checkpoint",
                hint: "use --resume to go on from it, or --force to start anew")
        }
        try OutputCheck.writableFolder(of: output)
        try checkReport()
        // The first process of a group speaks for all.
        let rank = ProcessInfo.processInfo.environment["RANK"] ?? "0"
        let isGroup = (ProcessInfo.processInfo.environment["WORLD_SIZE"] ?? "1") != "1"
        let console = Console(quiet: machine.quiet, silent: isGroup && rank != "0")
        let (items, domain, omissions) = try collect()
        try OutputCheck.isNoInput(output, of: input.data + items.lazy.map(\.path))
        if resume, FileManager.default.fileExists(atPath: output), !force,
            !FileManager.default.fileExists(atPath: checkpoint)
        {
            console.note("\(output) is finished already; use --force to train it again")
            return
        }
        let device = try machine.start()
        let group = try ProcessGroup.fromEnvironment(
            ProcessInfo.processInfo.environment, timeoutSeconds: Self.groupTimeoutSeconds)
        let interruption = Interruption()
        var environment = TrainingRun.Environment(output: output)
        environment.overwrites = force || resume
        environment.resumes = resume
        environment.failsOnBadFile = onError == .fail
        environment.device = device
        environment.readerCount = machine.readerCount
        environment.checkpointInterval = training.checkpointInterval
        environment.reportFolder = report
        environment.cache = training.cachePolicy(ProcessInfo.processInfo.environment)
        environment.group = group
        environment.shouldStop = { interruption.isRequested }

        let reporter = TrainingReporter(console: console, itemCount: items.count)
        let request = TrainingRequest(model, windows, training, seed: machine.seed)
        let file = try TrainingRun(
            request, environment: environment, onEvent: reporter.handle
        )(items, domain: domain)
        guard let file else { return }
        if let note = omissions.note { console.note(note) }
        reporter.conclude(file, output: output)
    }

    /// A process that ends is noticed at once; this is how long one may be silent.
    private static let groupTimeoutSeconds = 300.0

    private func checkReport() throws(LatentError) {
        guard let report, !force, !resume,
            let content = try? FileManager.default.contentsOfDirectory(atPath: report),
            !content.isEmpty
        else { return }
        throw LatentError(
            .exists, path: report, "the folder is not empty",
            hint: "name another folder, or use --force to write into it")
    }

    private static let domainHint = "say which to train on with --domain image or --domain audio"

    /// The items to train on: those of the train split where there are splits.
    private func collect() throws -> ([Item], Domain, Inputs.Omissions) {
        let inputs = try input.inputs(
            domain: domain, attributeNames: model.condition?.values ?? [])
        let items = Array(inputs).toTrainOn
        guard !items.isEmpty else { throw LatentError.noFiles(to: "train on", in: inputs) }
        if let domain { return (items, domain, inputs.omissions) }
        return (items, try Domain(of: items, hint: Self.domainHint), inputs.omissions)
    }
}

extension [Item] {
    /// Those of the train split where there are splits, else all: what is made of test files must not be
    /// trained on, nor what tells them learned from them.
    var toTrainOn: [Item] {
        contains { $0.split == "train" } ? filter { $0.split == "train" } : self
    }
}

extension Domain {
    /// The kind of the files where none was asked for; refuses data of both.
    init(of items: [Item], hint: String = "name folders of one kind") throws(LatentError) {
        let kinds = Dictionary(grouping: items) { Domain(path: $0.path) }.mapValues(\.count)
        try self.init(
            imageCount: kinds[.image] ?? 0, recordingCount: kinds[.audio] ?? 0, hint: hint)
    }

    /// The same of files that were counted.
    init(imageCount: Int, recordingCount: Int, hint: String) throws(LatentError) {
        guard imageCount == 0 || recordingCount == 0 else {
            throw LatentError(
                .data, "the data hold \(imageCount) images and \(recordingCount) recordings",
                hint: hint)
        }
        self = recordingCount > 0 ? .audio : .image
    }
}

/// Checks on outputs before any work is done.
enum OutputCheck {
    /// Refuses a name that is taken.
    static func isFree(_ path: String) throws(LatentError) {
        guard FileManager.default.fileExists(atPath: path) else { return }
        throw LatentError(
            .exists, path: path, "the file exists already",
            hint: "name another output, or use --force to replace it")
    }

    /// Refuses an output that is one of the inputs, under whatever name.
    static func isNoInput(_ path: String, of inputs: some Sequence<String>) throws(LatentError) {
        guard let output = identity(path) else { return }
        for input in inputs where identity(input) == output {
            throw LatentError(
                .cannotWrite, path: path, "is one of the inputs, which are never written",
                hint: "name another output")
        }
    }

    /// Refuses a folder that holds one of the inputs.
    static func holdsNoInput(_ folder: String, of inputs: some Sequence<String>) throws(LatentError)
    {
        guard let root = URL(fileURLWithPath: folder).resolvedPath else { return }
        for input in inputs {
            guard let path = URL(fileURLWithPath: input).resolvedPath, path.hasPrefix(root + "/")
            else { continue }
            throw LatentError(
                .cannotWrite, path: folder,

                "holds the input \(input), and inputs are never written",
                hint: "name another folder")
        }
    }

    /// Refuses a folder in one of the folders that are read: the same command would then start from
    /// what it wrote.
    static func isOutside(_ inputs: [String], _ folder: String) throws(LatentError) {
        // What is not there yet is where the first folder above it is.
        var place = URL(fileURLWithPath: folder).standardizedFileURL
        while place.resolvedPath == nil, place.pathComponents.count > 1 {
            place.deleteLastPathComponent()
        }
        guard let place = place.resolvedPath else { return }
        for input in inputs {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: input, isDirectory: &isFolder),
                isFolder.boolValue, let root = URL(fileURLWithPath: input).resolvedPath,
                (place + "/").hasPrefix(root == "/" ? root : root + "/")
            else { continue }
            throw LatentError(
                .cannotWrite, path: folder, "is inside \(input), which is read",
                hint: "name a folder outside")
        }
    }

    /// Device and inode of what is there.
    private static func identity(_ path: String) -> [UInt64]? {
        var status = stat()
        return stat(path, &status) == 0 ? [UInt64(status.st_dev), UInt64(status.st_ino)] : nil
    }

    /// Refuses a path whose folder is missing or closed, before hours of work.
    static func writableFolder(of path: String) throws(LatentError) {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        // The slash tells a file, which is no folder.
        if access(folder + "/", W_OK | X_OK) != 0 {
            let failure = SystemFailure()
            throw LatentError(
                .cannotWrite, path: path,
                failure.number == ENOENT
                    ? "its folder is not there"
                    : "its folder cannot be written into: \(failure.reason)",
                hint: failure.number == ENOENT
                    ? "make the folder, or name another output" : failure.advice)
        }
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue
        {
            throw LatentError(
                .cannotWrite, path: path, "is a folder, expected a file name",
                hint: "name a file, such as \(path)/model.safetensors")
        }
        var status = stat()
        guard stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG else {
            throw LatentError(
                .cannotWrite, path: path, "is a pipe or device, expected a file name",
                hint: "name another output")
        }
    }
}

extension URL {
    /// The path without links, or nil where nothing is.
    fileprivate var resolvedPath: String? {
        guard let path = realpath(path, nil) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }
}
