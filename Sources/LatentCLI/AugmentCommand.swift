import ArgumentParser
import Foundation
import Latent
import Media

struct AugmentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "augment",
        abstract: "Write synthetic files that enlarge a data set.",
        discussion: """
            Draws latents, decodes them, and writes PNG or WAV files into class folders below DIR, \
            with a line for each in DIR/manifest.ndjson: file, label, method, parents with their \
            hashes, seed, draw, model. The same command writes the same bytes.

            EXAMPLES
              latent train photos --for augmentation -o drawing.safetensors
              latent augment -m drawing.safetensors photos -o more -n 1000
              latent augment -m drawing.safetensors -o dreams -n 100 --method prior
              latent augment -m m.safetensors photos -o between -n 500 --method interpolate
              latent augment -m m.safetensors photos -o more -n 100000 --shard 3/8
            """)

    @Option(name: .shortAndLong, help: ArgumentHelp("The model file.", valueName: "file"))
    var model: String

    @OptionGroup var input: InputOptions

    @Option(name: .shortAndLong, help: ArgumentHelp("The folder to write.", valueName: "dir"))
    var output: String

    @Option(
        name: [.customShort("n"), .long], help: ArgumentHelp("Files to write.", valueName: "n"))
    var number: Int

    @Option(
        help: """
            prior; density, where the training files of a class lie; posterior, around a real item; \
            interpolate, between two items of a class (posterior where data are named, else density, \
            or prior where the model has none).
            """)
    var method: LatentSampling?

    @Option(
        help: ArgumentHelp(
            """
            Factor on the deviation of the posterior, prior or density: below 1 new files are more \
            typical and less varied.
            """, valueName: "x"))
    var spread = 1.0

    @Option(
        help: ArgumentHelp(
            """
            For a conditional model: labels that the new files are to have; without it those of \
            their parents, or all that training saw in turn.
            """, valueName: "name=value,…"))
    var condition: LabelList?

    @Option(help: "Encoding of recordings: pcm16, float32.")
    var encoding = WAVEncoding.pcm16

    @Flag(help: "Write into a folder that is not empty, replacing files of the same names.")
    var force = false

    @OptionGroup var sharding: ShardOptions

    @OptionGroup(title: "Machine") var machine: MachineOptions

    func validate() throws {
        guard (1...100_000_000).contains(number) else {
            throw ValidationError("-n is \(number); it must be 1 to 100000000.")
        }
        guard spread >= 0, spread <= 100 else {
            throw ValidationError("--spread is \(spread); it must be 0 to 100.")
        }
        if let method, method.parentCount == 0, !input.data.isEmpty {
            throw ValidationError(
                "--method \(method.rawValue) starts from no real items; leave DATA out.")
        }
    }

    func run() throws {
        let console = Console(quiet: machine.quiet)
        let loaded = try ModelFile.read(model)
        let domain = loaded.file.record.preprocessing.domain
        let inputs = try input.inputs(of: loaded.file.record)
        let parents = Array(inputs)
        if let note = inputs.omissions.note { console.note(note) }
        guard input.data.isEmpty || !parents.isEmpty else {
            throw LatentError(
                .data, "no \(domain.plural) were found in the data", hint: "name other folders")
        }
        // A part may find the files of others there, so that only this keeps it from the inputs.
        if force || sharding.shard != nil {
            try OutputCheck.holdsNoInput(output, of: parents.lazy.map(\.path))
        }
        var configuration = Augmenter.Configuration(
            method: method
                ?? (!input.data.isEmpty ? .posterior : loaded.file.hasDensity ? .density : .prior),
            count: number)
        configuration.spread = spread
        configuration.seed = machine.seed
        configuration.encoding = encoding
        configuration.workerCount = machine.readerCount
        configuration.shard = sharding.shard?.shard
        configuration.assignments = condition?.values ?? [:]
        let device = try machine.start()
        let augmenter = try Augmenter(
            file: loaded.file, model: try loaded.file.model(on: device),
            configuration: configuration)
        if !force { try OutputFolder.checkIsEmpty(output, shard: configuration.shard) }
        // Made when there is something to write: an error before leaves nothing behind.
        var folder: OutputFolder?
        func prepared() throws -> OutputFolder {
            let made =
                try folder
                ?? OutputFolder(path: output, shard: configuration.shard, overwrites: force)
            folder = made
            return made
        }
        let missing =
            configuration.method == .density && configuration.assignments.isEmpty
            ? loaded.file.labelsWithoutDensity : []
        if !missing.isEmpty {
            console.warning(
                "none are drawn of \(missing.joined(separator: ", ")): the files were too few to fit "
                    + "to; name real ones, or train with --validation 0")
        }
        let total = configuration.itemCount

        let interruption = Interruption()
        let startedAt = Date()
        var written = 0
        var failed = 0
        try augmenter.generate(parents: parents) { failure in
            failed += 1
            console.warning("\(failure.item.path): \(failure.error.message)")
        } emit: { item in
            _ = try prepared().write(item, configuration: configuration, modelHash: loaded.hash)
            written += 1
            if interruption.isRequested {
                throw LatentError(
                    .interrupted, "interrupted after \(written) of \(total) files",
                    hint: "the files and their manifest lines are whole; --force starts again")
            }
            console.progress {
                let seconds = Date().timeIntervalSince(startedAt) / Double(written)
                return "wrote \(written) of \(total) files, "
                    + "\(Console.duration(seconds * Double(total - written))) left"
            }
        }
        console.clear()
        let manifest = try prepared().manifestName
        console.note("wrote \(written) files and \(manifest) to \(output)")
        if failed > 0 {
            console.warning("\(failed) of \(parents.count) parents cannot be read")
            throw ExitStatus.badData
        }
    }
}
