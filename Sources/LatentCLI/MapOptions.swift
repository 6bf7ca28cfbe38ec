import ArgumentParser
import Latent
import Torch

/// Where in a file the anomaly is: what score writes beside its lines.
struct MapOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Write where in each file the anomaly is, in the tree of the files. Of an image 7.png: \
            7.png, a grey heat map of 16 bits on one scale for all files, and 7_overlay.png, the \
            image with heat and a contour. Of a recording: a picture of its spectrogram with the \
            anomaly over time, and the stretches that stand out as "segments" in the NDJSON line.
            """, valueName: "dir"))
    var maps: String?

    @Option(
        help: ArgumentHelp(
            """
            With --maps: share of the pixels of normal files that lies inside of contours, or of \
            normal recordings, as long as those of calibration, that have a segment (0.01). The \
            middle of a heat map's scale, 32768, is the level of a share of 0.01 whatever is given \
            here.
            """, valueName: "share"))
    var mapAlarms: Double?

    @Flag(help: "Replace files in the folder of --maps.")
    var force = false

    func validate() throws {
        try checkShare(mapAlarms, "--map-alarms")
        guard maps != nil || (mapAlarms == nil && !force) else {
            throw ValidationError("--map-alarms and --force go with --maps.")
        }
        guard maps != "" else { throw ValidationError("--maps names no folder.") }
    }

    /// Prepares the folder; nil where no maps are asked for.
    func folder(
        for file: ModelFile, model: String, inputs: [String], scoring: ScoringOptions,
        on machine: MachineOptions
    ) throws -> MapFolder? {
        guard let maps else { return nil }
        do {
            return try MapFolder(
                path: maps, file: file, device: try machine.start(),
                assignments: try file.record.assignments(scoring.condition),
                share: mapAlarms ?? MapCalibration.middleShare,
                inputs: inputs.filter { $0 != "-" }, overwrites: force)
        } catch let error as LatentError where error.path == nil {
            throw LatentError(error.code, path: model, error.message, hint: error.hint)
        }
    }
}
