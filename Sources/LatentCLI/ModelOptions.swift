import ArgumentParser
import Latent

/// The objectives that read a number, with a remark on each.
private func users(
    of number: ObjectiveConfiguration.Number, remark: (ObjectiveKind) -> String? = { _ in nil }
) -> String {
    ObjectiveKind.allCases.filter { $0.numbers.contains(number) }.map { kind in
        kind.rawValue + (remark(kind).map { " (\($0))" } ?? "")
    }.joined(separator: ", ")
}

/// What is trained: network, latents, likelihood and objective.
struct ModelOptions: ParsableArguments {
    @Option(
        name: .customLong("for"),
        help: """
            What the model is to be good at: detection, reading a view in which what does not \
            belong stands out; augmentation, reading what can be turned back into files (detection \
            where there is one class).
            """)
    var purpose: TrainingRequest.Purpose?

    @Option(
        help: ArgumentHelp(
            "What is minimised.", valueName: "objective"))
    var objective = ObjectiveKind.vae

    @Option(
        help: ArgumentHelp(
            "Factor of what \(users(of: .weight) { "\($0.defaultWeight.formatted())" }) add.",
            valueName: "x"))
    var beta: Double?

    @Option(
        help: ArgumentHelp(
            "For \(users(of: .capacity)): the KL term rises to so many nats and is held there.",
            valueName: "nats"))
    var capacity: Double?

    @Option(
        help: ArgumentHelp(
            "For \(users(of: .drawCount)): draws of z for each window (8).", valueName: "k"))
    var importanceDraws: Int?

    @Option(
        help: ArgumentHelp(
            "For \(users(of: .componentCount)): components of the prior (200).", valueName: "k"))
    var components: Int?

    @Option(
        help: ArgumentHelp(
            """
            Labels that the model is told: class, for class folders or the column label; other \
            columns of a manifest, such as digit,speaker.
            """, valueName: "name,…"), transform: NameList.read)
    var condition: NameList?

    @Option(
        help: ArgumentHelp(
            "Stochastic layers: 1, or 2 to 5 for a hierarchical model (1).", valueName: "n"))
    var layers = 1

    @Option(
        help: ArgumentHelp(
            "Channels of the latent maps below the top layer (4).", valueName: "n"))
    var mapChannels: Int?

    @Option(
        help: """
            Kind of network (conv; resnet with --layers; mlp for detection).
            """)
    var architecture: VAEConfiguration.Architecture?

    @Option(
        help: ArgumentHelp(
            "Channels of the convolutions, or widths of the hidden layers (32,64,128; 128,128 for detection).",
            valueName: "n,n,…"), transform: WidthList.read)
    var channels: WidthList?

    @Option(help: ArgumentHelp("Latent dimensions (16; 8 for detection).", valueName: "n"))
    var latent: Int?

    @Option(
        help: "p(x|z), what files look like given their latents.")
    var likelihood = LikelihoodKind.gaussian

    func validate() throws {
        for (value, name) in [(beta, "--beta"), (capacity, "--capacity")] {
            guard let value, !(value >= 0 && value.isFinite) else { continue }
            throw ValidationError("\(name) is \(value); it must be a finite number, 0 or more.")
        }
        for (isGiven, name, number) in [
            (beta != nil, "--beta", .weight), (capacity != nil, "--capacity", .capacity),
            (importanceDraws != nil, "--importance-draws", .drawCount),
            (components != nil, "--components", .componentCount),
        ] as [(Bool, String, ObjectiveConfiguration.Number)] where isGiven {
            guard objective.numbers.contains(number) else {
                throw ValidationError(
                    "\(name) is for --objective \(users(of: number)), not for "
                        + "\(objective.rawValue).")
            }
        }
        guard (1...5).contains(layers) else {
            throw ValidationError("--layers is \(layers); it must be 1 to 5.")
        }
        guard mapChannels == nil || layers > 1 else {
            throw ValidationError("--map-channels is for --layers 2 to 5.")
        }
    }

    func apply(to request: inout TrainingRequest) {
        request.purpose = purpose
        request.objective = ObjectiveConfiguration(objective)
        if let beta { request.objective.weight = beta }
        request.objective.capacity = capacity
        if let importanceDraws { request.objective.drawCount = importanceDraws }
        if let components { request.objective.componentCount = components }
        request.conditionNames = condition?.values ?? []
        request.layerCount = layers
        request.mapChannelCount = mapChannels
        request.architecture = architecture
        request.widths = channels?.values
        request.latentCount = latent
        request.likelihood = likelihood
    }
}
