import ArgumentParser
import Foundation
import Latent

struct InspectCommand: ParsableCommand {
    enum Format: String, CaseIterable, ExpressibleByArgument { case text, json }

    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show everything in a model file, without running it.",
        discussion: """
            EXAMPLES
              latent inspect photos.safetensors
              latent inspect photos.safetensors --format json | python3 -m json.tool
            """)

    @Argument(help: "The model file.", completion: .file(extensions: ["safetensors"]))
    var model: String

    @Option(help: "Format: text, json.")
    var format = Format.text

    func run() throws {
        let loaded = try ModelFile.read(model)
        let output = StandardOutput()
        switch format {
        case .json:
            try output.line(try loaded.file.recordJSON())
        case .text:
            for (name, value) in ModelSheet(path: model, loaded: loaded).rows {
                try output.line("\(name.flushLeft(19)) \(value)")
            }
        }
        try output.flush()
    }
}
