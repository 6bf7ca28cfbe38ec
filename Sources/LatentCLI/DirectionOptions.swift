import ArgumentParser
import Foundation
import Latent

/// An attribute that real items are changed in.
struct DirectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            For posterior: change one attribute of real items and keep the rest. A folder of files that \
            have it (or a file or manifest of such), or a label of the training files, as speaker=theo \
            or theo: latents are moved by the difference of means, to a label from that of the item.
            """, valueName: "dir|label"),
        completion: .file())
    var toward: String?

    @Option(
        help: ArgumentHelp(
            "A folder of files that lack it (DATA). Classes that both have are compared each by itself.",
            valueName: "dir"),
        completion: .file())
    var awayFrom: String?

    @Option(
        help: ArgumentHelp(
            """
            How far to move, in differences of means: 0.5 is half the way, -1 the other way (1).
            """, valueName: "x"))
    var strength: Double?

    func validate() throws {
        guard toward != nil || (awayFrom == nil && strength == nil) else {
            throw ValidationError(
                "\(awayFrom != nil ? "--away-from" : "--strength") goes with --toward.")
        }
        if let strength, !(abs(strength) <= 100) {
            throw ValidationError("--strength is \(strength); it must be -100 to 100.")
        }
    }

    /// What new items are moved by: between two sets of files, or to labels.
    ///
    /// - Parameters:
    ///   - file: the model
    ///   - configuration: gets the direction or the labels, and the strength
    /// - Throws: `LatentError` for what is neither a file nor a label, and for too few files
    func apply(
        file: ModelFile, to configuration: inout Augmenter.Configuration
    ) throws {
        guard let toward else { return }
        configuration.strength = strength ?? 1
        guard FileManager.default.fileExists(atPath: toward) else {
            configuration.assignments = try file.labels(named: toward)
            guard awayFrom == nil else {
                throw LatentError(
                    .usage,
                    "--away-from with --toward \(toward): items are moved from their own labels",
                    hint: "leave --away-from out, or name two folders")
            }
            return
        }
        configuration.direction = try LatentDirection(
            toward: items(of: toward, file), named: toward,
            awayFrom: awayFrom.map { try items(of: $0, file) }, named: awayFrom)
    }

    private func items(of path: String, _ file: ModelFile) throws -> [Item] {
        let inputs = try Inputs(
            [path], domain: file.record.preprocessing.domain,
            attributeNames: file.record.attributeNames(groupedBy: nil))
        return Array(inputs).toTrainOn
    }
}
