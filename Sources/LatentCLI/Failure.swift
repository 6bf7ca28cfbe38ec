import Foundation
import Latent
import Media
import Torch

/// An error as people see it: one line, and an exit code.
struct Failure {
    let line: String
    let exitCode: Int32

    /// Describes an error of the library; nil for others, such as those of the argument parser.
    init?(_ error: any Error) {
        switch error {
        case let error as LatentError:
            line = error.description
            exitCode = Self.exitCode(error.code)
        case let error as MediaError:
            line = error.description
            exitCode = Self.exitCode(error.code)
        case let error as TorchError:
            line = error.description
            exitCode = [.device, .environment].contains(error.code) ? 64 : 70
        case let error as StandardOutput.Failed:
            line = "standard output: \(error.reason); make room, or write elsewhere"
            exitCode = 74
        default:
            return nil
        }
    }

    private static func exitCode(_ code: LatentError.Code) -> Int32 {
        switch code {
        case .usage: 64
        case .data, .model: 65
        case .notFound: 66
        case .exists, .cannotWrite: 74
        case .interrupted: 130
        default: 70
        }
    }

    private static func exitCode(_ code: MediaError.Code) -> Int32 {
        switch code {
        case .notFound: 66
        case .exists, .cannotWrite: 74
        default: 65
        }
    }

    /// Writes the line to standard error.
    func report() { Self.report(line) }

    /// Writes a line about what is wrong to standard error.
    static func report(_ line: String) {
        StandardError.write("latent: error: \(line.onOneLine)\n")
    }
}

extension LatentError {
    /// Inputs in which there is nothing to do what is asked.
    static func noFiles(to verb: String, in inputs: Inputs) -> LatentError {
        let names = inputs.arguments.map { $0 == "-" ? "standard input" : $0 }
        let kind = inputs.domain?.plural ?? "files"
        let others = inputs.omissions.kinds.map { ", but \($0)" } ?? ""
        return LatentError(
            .data,
            path: names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", …" : ""),
            "no \(kind) to \(verb) were found\(others)",
            hint: "name \(kind), or a folder that has some")
    }
}
