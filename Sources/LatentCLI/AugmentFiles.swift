import ArgumentParser
import Latent
import Media

/// Where `augment` takes its model from, and what stands in the folder that it writes.
struct AugmentFiles: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The model file; not needed for --method transform.", valueName: "file"))
    var model: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("The folder to write.", valueName: "dir"))
    var output: String

    @Flag(
        help: """
            Also write the files of DATA into the class folders, byte for byte, with lines of the \
            method original.
            """)
    var includeOriginals = false

    @Flag(
        help: """
            Link those files instead of copying them: hard links on one file system, else symbolic \
            links.
            """)
    var link = false

    @Option(
        help: """
            Encoding of recordings: pcm16, float32 (pcm16, or float32 for --method transform of a file \
            of more than 16 bits).
            """)
    var encoding: WAVEncoding?

    @Flag(
        help: """
            Begin again in a folder that is not empty: files of an earlier run are removed, others of \
            the same names replaced.
            """)
    var force = false

    /// How files of DATA get into the folder; nil where they do not.
    var originals: OriginalFiles? { includeOriginals ? link ? .linked : .copied : nil }

    func validate() throws {
        try checkName(output, "-o")
        guard includeOriginals || !link else {
            throw ValidationError("--link is of --include-originals.")
        }
    }
}
