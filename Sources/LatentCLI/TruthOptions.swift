import ArgumentParser
import Latent

/// Which files are anomalous, where that is known.
struct TruthOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Labels of normal files (good, normal, ok, in any case).", valueName: "label,…"),
        transform: NameList.read)
    var normal: NameList?

    @Option(
        help: ArgumentHelp(
            "Manifest (.csv, .ndjson) with path and label, instead of the labels that files have.",
            valueName: "file"))
    var labels: String?

    /// The labels of the manifest.
    func table() throws(LatentError) -> LabelTable? {
        guard let labels else { return nil }
        return try LabelTable(manifest: labels)
    }

    /// The labels that mean normal among those of scored files.
    func normalLabels(of lines: ScoredLines, console: Console) throws -> Set<String> {
        let found = try lines.normalLabels(normal?.values)
        for name in lines.unused(normal?.values ?? []) {
            console.warning("no file has the label \(name) of --normal")
        }
        return found
    }
}
