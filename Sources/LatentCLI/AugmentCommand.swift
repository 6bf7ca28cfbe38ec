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
            hashes, seed, draw, model. The same command writes the same bytes; where it was interrupted \
            it goes on, and the set is what it would have been. PNGs are compressed at zlib's level 6.

            With --transform each new file is varied too, by classic transforms. Without a model, \
            --transform is all that is done to real files: --method transform.

            EXAMPLES
              latent train photos --for augmentation -o drawing.safetensors
              latent augment -m drawing.safetensors photos -o more -n 1000
              latent augment -m m.safetensors photos -o even --balance --include-originals
              latent augment -m m.safetensors photos -o few --counts cat=9,dog=2 --dry-run
              latent augment -m drawing.safetensors -o dreams -n 100 --method prior
              latent augment -m m.safetensors -o drawn -n 500 --method flow
              latent augment -m m.safetensors photos -o between -n 500 --method interpolate
              latent augment -m m.safetensors photos -o beyond -n 500 \\
                  --method extrapolate --lambda 0.3
              latent augment -m m.safetensors photos -o changed -n 500 --method deform
              latent augment -m m.safetensors faces -o smiling -n 500 \\
                  --toward smiles --away-from frowns
              latent augment -m m.safetensors words.csv -o t -n 500 --toward speaker=theo
              latent augment -m m.safetensors photos -o best -n 500 --method auto
              latent augment -m m.safetensors words.csv -o best -n 500 \\
                  --method auto --group speaker
              latent augment -m m.safetensors photos -o more -n 100000 --shard 3/8
              latent augment photos -o classic -n 5000 --transform classic
              latent augment photos -o bent -n 5000 --transform flip-x,classic,elastic=0.05
              latent augment -m m.safetensors photos -o more -n 1000 --transform classic
              latent augment words -o noisy -n 500 \\
                  --transform snr=0..20 --noise kitchen --noise pink
            """)

    @OptionGroup var input: InputOptions

    @OptionGroup(title: "Model and folder") var files: AugmentFiles

    @OptionGroup(title: "How many") var amount: AmountOptions

    @OptionGroup(title: "How they are drawn") var drawing: DrawingOptions

    @Flag(help: "Say what would be written of each class, on standard output, and write nothing.")
    var dryRun = false

    @Option(
        help: "Format of that: ndjson, csv, tsv, table (table on a terminal, else ndjson).")
    var format: RowFormat?

    @OptionGroup(title: "Classic transforms") var transforming: TransformOptions

    @Option(
        help: RejectList.help(
            usual:
                "all but duplicates, as far as DATA tell, and but copies of what posterior and deform change"
        ), transform: RejectList.read)
    var reject: RejectList?

    @OptionGroup var sharding: ShardOptions

    @OptionGroup(title: "Machine") var machine: MachineOptions

    func validate() throws {
        let countsData = amount.amount.countsRealItems
        if input.data.isEmpty, countsData || files.includeOriginals {
            throw ValidationError(
                "\(countsData ? "--balance, --balance-to and --multiply count" : "--include-originals takes") "
                    + "the files of DATA; name them.")
        }
        guard !input.data.isEmpty || reject?.filters.needsRealItems != true else {
            throw ValidationError(
                "--reject copies and mislabelled compare with the files of DATA; name them.")
        }
        guard dryRun || format == nil else {
            throw ValidationError("--format is of --dry-run.")
        }
        if let method = drawing.sampling, method.parentCount == 0, !input.data.isEmpty,
            !files.includeOriginals,
            !filters(for: method).needsRealItems,
            amount.number != nil || !amount.counts.isEmpty
        {
            throw ValidationError(
                "--method \(method.rawValue) starts from no real items, and --reject compares with none; "
                    + "leave DATA out.")
        }
        try drawing.isAutomatic ? checkAutomatic() : checkTransform()
        try checkAttribute()
    }

    private func checkAttribute() throws {
        guard drawing.direction.toward != nil else { return }
        guard drawing.sampling == .posterior || drawing.method == nil && files.model != nil else {
            throw ValidationError(
                "--toward changes real items by a model, with --method posterior; leave the other "
                    + "--method out, or name a model with -m.")
        }
        guard !input.data.isEmpty else {
            throw ValidationError("--toward changes real items; name some as DATA.")
        }
        guard drawing.condition == nil else {
            throw ValidationError(
                "--toward and --condition: give only one; --toward takes labels too.")
        }
    }

    private func checkAutomatic() throws {
        guard !input.data.isEmpty else {
            throw ValidationError("--method auto tries methods on real items; name some as DATA.")
        }
        guard transforming.transform == nil else {
            throw ValidationError("--method auto chooses transforms too; leave --transform out.")
        }
        guard drawing.condition == nil, drawing.spread == 1 else {
            throw ValidationError(
                "--condition and --spread are of a method; leave them out for --method auto.")
        }
    }

    /// Whether real files are transformed, and no model is needed.
    private var isTransform: Bool {
        drawing.sampling == .transform || (drawing.method == nil && files.model == nil)
    }

    private func checkTransform() throws {
        guard isTransform else {
            guard files.model != nil else {
                throw ValidationError(
                    "--method \(drawing.sampling?.rawValue ?? "") draws from a model; name it with -m."
                )
            }
            return
        }
        guard transforming.transform != nil else {
            throw ValidationError(
                files.model == nil && drawing.sampling == nil
                    ? "new files are drawn from a model, -m FILE, or are real ones varied by --transform."
                    : "--method transform writes real items varied by --transform; add it.")
        }
        guard files.model == nil else {
            throw ValidationError("--method transform uses no model; leave -m out.")
        }
        guard !input.data.isEmpty else {
            throw ValidationError("--method transform starts from real items; name some as DATA.")
        }
        guard reject?.filters.isEmpty != false else {
            throw ValidationError("--reject judges by a model; leave it out.")
        }
        guard drawing.condition == nil, drawing.spread == 1 else {
            throw ValidationError("--condition and --spread are of a model; leave them out.")
        }
    }

    /// What new files are refused for: what is asked for, else what is usual for the method.
    private func filters(for method: LatentSampling) -> Filters {
        // Real files that are transformed are judged by no model, whatever is asked for.
        method == .transform
            ? .none : reject?.filters ?? .usual(for: method, hasRealItems: !input.data.isEmpty)
    }

    func run() throws {
        let console = Console(quiet: machine.quiet)
        let loaded = try files.model.map { try ModelFile.read($0) }
        let inputs =
            try loaded.map {
                try input.inputs(of: $0.file.record, groupedBy: drawing.group)
            } ?? input.inputs(domain: nil, attributeNames: drawing.attributeNames)
        let parents = Array(inputs).toTrainOn
        guard input.data.isEmpty || !parents.isEmpty else {
            throw LatentError.noFiles(to: "augment", in: inputs)
        }
        let domain = try loaded?.file.record.preprocessing.domain ?? Domain(of: parents)
        guard files.encoding == nil || domain == .audio else {
            throw LatentError(
                .usage, "--encoding is of recordings, and these are images", hint: "leave it out")
        }
        let transforms = try transforming.transforms(of: domain)
        if let note = inputs.omissions.note { console.note(note) }
        try OutputCheck.holdsNoInput(
            files.output, of: parents.lazy.map(\.path) + (transforms?.noisePaths ?? []))
        try OutputCheck.isOutside(input.data, files.output)
        let usual = defaultMethod(loaded?.file)
        var configuration = Augmenter.Configuration(
            method: drawing.sampling ?? usual, amount: amount.amount)
        configuration.seed = machine.seed
        configuration.encoding = files.encoding
        configuration.transforms = transforms?.transforms
        configuration.filters = filters(for: configuration.method)
        configuration.workerCount = machine.readerCount
        configuration.shard = sharding.shard?.shard
        try drawing.apply(to: &configuration, file: loaded?.file)
        try OutputCheck.holdsNoInput(
            files.output,
            of: (configuration.direction.map { $0.toward + ($0.away ?? []) } ?? []).lazy.map(\.path)
        )
        let device = try machine.start()
        let source = try loaded.map { (file: $0.file, model: try $0.file.model(on: device)) }
        var choice: AugmentationChoice?
        if drawing.isAutomatic {
            let automatic = AutomaticMethod(
                source: source, drawing: configuration, domain: domain, filters: filters,
                device: device, groupIndex: drawing.groupIndex(loaded?.file.record),
                console: console)
            let chosen = try automatic.choice(
                of: parents, in: files.output, beginsAgain: files.force)
            try automatic.apply(chosen, of: parents, to: &configuration)
            choice = chosen
        }
        let usesModel = configuration.method != .transform
        let augmenter =
            try source.flatMap {
                usesModel
                    ? try Augmenter(file: $0.file, model: $0.model, configuration: configuration)
                    : nil
            } ?? Augmenter(transforming: configuration)
        let plan = try augmenter.plan(for: parents)
        let record = RunRecord(
            configuration, plan: plan, modelHash: loaded?.hash, originals: files.originals,
            choice: choice)
        let run = try AugmentRun(
            augmenter, configuration: configuration, plan: plan, record: record,
            modelHash: usesModel ? loaded?.hash : nil, files: files, console: console)
        if dryRun { return try run.rehearse(format: format) }
        if plan.slotCount == 0, !files.includeOriginals {
            return console.note(
                "nothing to write"
                    + (choice?.ground == .real ? "" : ": no class lacks files"))
        }
        try run.write(parentCount: parents.count) {
            let missing =
                configuration.assignments.isEmpty && amount.number != nil
                ? loaded?.file.labelsNotFitted(for: configuration.method) ?? [] : []
            if !missing.isEmpty {
                console.warning(
                    "none are drawn of \(missing.joined(separator: ", ")): the files were too few to "
                        + "fit to; name real ones, or train with --validation 0")
            }
        }
    }

    private func defaultMethod(_ file: ModelFile?) -> LatentSampling {
        guard let file else { return .transform }
        return !input.data.isEmpty ? .posterior : file.hasDensity ? .density : .prior
    }
}
