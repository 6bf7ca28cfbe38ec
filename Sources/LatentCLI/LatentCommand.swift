import ArgumentParser
import CEarlyStart
import Foundation
import Glibc
import Latent

/// The program: parse, run, and turn any error into one line and an exit code.
@main
struct LatentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latent",
        abstract: "Learn what a folder of images or recordings looks like; score and enlarge it.",
        discussion: """
            Trains a variational autoencoder on PNG or WAV files, scores files for anomaly by \
            reconstruction probability with a threshold at a stated false-alarm rate, and writes \
            synthetic files that enlarge a data set. Nothing is downloaded or sent anywhere.

            EXAMPLES
              latent check photos
              latent train photos -o photos.safetensors
              latent score -m photos.safetensors inbox
              latent calibrate -m photos.safetensors new-normal --in-place
              latent train photos --for augmentation -o drawing.safetensors
              latent augment -m drawing.safetensors photos -o more -n 1000
              latent label --real labelled unlabelled > more.ndjson
              latent judge -m drawing.safetensors --real photos generated
              latent score -m photos.safetensors test | latent evaluate detection
              latent evaluate likelihood -m photos.safetensors held-out
              latent inspect photos.safetensors

            DATA is a file, a folder (class folders, flat, or train/ and test/), a manifest (CSV or \
            NDJSON with path, label, split), or - for a list of paths on standard input.

            Results go to standard output, everything else to standard error.
            Exit codes: 0 done; 1 something was flagged, with --exit-code; 64 usage; 65 bad \
            data; 66 an input does not exist; 70 training diverged or internal fault; 74 cannot \
            write; 130 interrupted.

            Shell completions: latent --generate-completion-script bash|zsh|fish
            """,
        version: "latent " + LATENT_VERSION,
        subcommands: [
            CheckCommand.self, TrainCommand.self, ScoreCommand.self, CalibrateCommand.self,
            LabelCommand.self, AugmentCommand.self, JudgeCommand.self,
            EvaluateCommand.self, InspectCommand.self,
        ])

    static func main() {
        // A closed pipe is seen as a failed write, and ends the run quietly.
        signal(SIGPIPE, SIG_IGN)
        // So is a file that grew to the limit.
        signal(SIGXFSZ, SIG_IGN)
        Interruption.endAtOnce()
        // Readers allocate what the main thread frees; with an arena for each thread, as glibc has by
        // default, a third of the memory would be holes. Memory that tensors leave is kept for the
        // next ones: given back, its pages are cleared again, a fifth of all time.
        LatentKeepMemory()
        do {
            try checkVerb(CommandLine.arguments.dropFirst(), of: Self.self)
            var command = try parseAsRoot(
                Arguments.withAttachedNumbers(CommandLine.arguments.dropFirst()))
            try command.run()
            end(0)
        } catch is StandardOutput.Closed {
            end(0)
        } catch let status as ExitStatus {
            end(status.code)
        } catch {
            finish(error)
        }
    }

    /// Refuses a first word that is no verb by its name; the parser would speak of what follows it.
    private static func checkVerb(
        _ words: ArraySlice<String>, of command: any ParsableCommand.Type
    ) throws(LatentError) {
        let verbs = command.configuration.subcommands
        guard let word = words.first, !word.hasPrefix("-"), word != "help", !verbs.isEmpty else {
            return
        }
        let names = verbs.compactMap { $0.configuration.commandName }
        if let place = names.firstIndex(of: word) {
            return try checkVerb(words.dropFirst(), of: verbs[place])
        }
        let parent = command == Self.self ? "" : (command.configuration.commandName ?? "") + " "
        throw LatentError(
            .usage, path: word, "no such verb, expected \(names.joined(separator: ", "))",
            hint: "see latent \(parent)--help")
    }

    /// Ends the process without the destructors of libtorch and OpenSSL.
    ///
    /// Threads that read ahead may still be using both, and would crash.
    private static func end(_ code: Int32) -> Never {
        let isFlushed = fflush(nil) == 0
        _exit(code == 0 && !isFlushed && errno != EPIPE ? 74 : code)
    }

    private static func finish(_ error: any Error) -> Never {
        if let failure = Failure(error) {
            failure.report()
            end(failure.exitCode)
        }
        // What the argument parser has to say: help on request, or a mistake in the arguments.
        let code = exitCode(for: error)
        if code.isSuccess { show(fullMessage(for: error)) }
        Failure.report(Arguments.mistake(message(for: error), full: fullMessage(for: error)))
        // 1 is the parser's code for errors it does not know; here it means that a file was flagged.
        end(code.rawValue == 1 ? 70 : code.rawValue)
    }

    /// Prints what was asked for.
    private static func show(_ text: String) -> Never {
        let output = StandardOutput()
        do {
            try output.line(text)
            try output.flush()
        } catch is StandardOutput.Closed {
        } catch {
            finish(error)
        }
        end(0)
    }
}

/// A way to end without an error message.
struct ExitStatus: Error {
    let code: Int32

    static let flagged = ExitStatus(code: 1)
    static let badData = ExitStatus(code: 65)
}
