import Foundation
import Latent
import TestSupport
import Testing

@Suite("Usage")
struct Usage {
    @Test("The version is that of the library")
    func version() throws {
        let run = try Tool.run("--version")
        #expect(run.status == 0)
        #expect(run.output == "latent \(LatentVersion.current)\n")
        #expect(run.errors.isEmpty)
    }

    @Test(
        "A word that is no verb is named, with the verbs there are",
        arguments: [
            (["scroe", "-m", "model", "folder"], "scroe", "train, score", "latent --help"),
            (
                ["evaluate", "detectoin", "scores"], "detectoin", "detection, likelihood",
                "evaluate --help"
            ),
        ])
    func misspelt(words: [String], word: String, verbs: String, help: String) throws {
        let run = try Tool.run(words)
        #expect(run.status == 64 && run.output.isEmpty)
        #expect(run.errors.hasPrefix("latent: error: \(word): no such verb, expected "))
        #expect(run.errors.contains(verbs) && run.errors.hasSuffix("\(help)\n"))
        #expect(try Tool.run("help", "score").status == 0)
    }

    @Test("A folder without files of the kind is named, with what it has instead")
    func noFiles() throws {
        let folder = try TemporaryFolder()
        let empty = try folder.makeFolder("empty")
        _ = try folder.makeFolder("mixed")
        for name in ["a.wav", "b.wav", "notes.txt"] {
            try Data().write(to: URL(fileURLWithPath: folder / "mixed/\(name)"))
        }
        let shapes = Fixtures.path("images/shapes")
        let model = try TrainedModels.images().path
        let mixed = folder / "mixed"
        let instead = "were found, but 1 .txt, 2 .wav; name images"
        for (arguments, text) in [
            (
                ["train", "--domain", "image", "-o", folder / "m", mixed],
                "\(mixed): no images to train on \(instead)"
            ),
            (
                ["augment", "-m", model, "-o", folder / "more", "-n", "1", mixed],
                "\(mixed): no images to augment \(instead)"
            ),
            (
                ["judge", "-m", model, "--real", mixed, shapes],
                "\(mixed): no images to judge by \(instead)"
            ),
            (
                ["calibrate", "-m", model, "-o", folder / "new", mixed],
                "\(mixed): no images to calibrate on \(instead)"
            ),
            // What is asked for is of recordings, and there are none of either kind.
            (
                ["augment", "-o", folder / "more", "-n", "1", "--transform", "gain", empty],
                "\(empty): no files to augment were found; name files"
            ),
            (["check", empty], "\(empty): no files to check were found; name files"),
            (
                ["check", "--domain", "image", mixed], "\(mixed): no images to check \(instead)"
            ),
            // Before anything is learned.
            (
                ["label", "--real", shapes, "--steps", "100000", mixed],
                "\(mixed): no images to label \(instead)"
            ),
        ] {
            let run = try Tool.run(arguments)
            #expect(run.status == 65)
            #expect(run.errors.contains("latent: error: \(text)"), "\(run.errors)")
        }
    }

    @Test("The version is answered before libtorch is initialised")
    func earlyVersion() throws {
        let run = try Tool.shell("LD_DEBUG=libs \"$latent\" --version")
        #expect(run.output == "latent \(LatentVersion.current)\n")
        let initialised = run.errors.split(separator: "\n").filter {
            $0.contains("calling init:") && $0.contains("libtorch_cpu")
        }
        #expect(initialised.isEmpty)
    }

    @Test("A version that cannot be written is an error", .enabled(if: hasFullDevice))
    func versionOnFullDisk() throws {
        #expect(try Tool.shell("\"$latent\" --version > /dev/full").status == 74)
    }

    @Test(
        "Help explains itself with examples",
        arguments: [
            "", "check", "train", "score", "calibrate", "label", "augment", "judge", "inspect",
        ])
    func help(verb: String) throws {
        let run = try Tool.run((verb.isEmpty ? [] : [verb]) + ["--help"])
        #expect(run.status == 0)
        #expect(run.output.contains("EXAMPLES\n"))
        #expect(run.output.contains("latent \(verb.isEmpty ? "train" : verb) "))
        #expect(run.errors.isEmpty)
    }

    @Test(
        "Examples stay in their lines on a terminal of 80 columns",
        arguments: [
            "", "check", "train", "score", "calibrate", "label", "augment", "judge", "inspect",
            "evaluate detection", "evaluate likelihood", "evaluate augmentation",
        ])
    func examples(verb: String) throws {
        let run = try Tool.shell("COLUMNS=80 \"$latent\" \(verb) --help")
        let lines = run.output.split(separator: "\n", omittingEmptySubsequences: false)
        let start = try #require(lines.firstIndex(of: "EXAMPLES"))
        let examples = lines[(start + 1)...].prefix { !$0.isEmpty }
        #expect(!examples.isEmpty && examples.allSatisfy { $0.hasPrefix("  ") })
    }

    @Test("augment names its model and its folder before what may be left out")
    func order() throws {
        let names = try Tool.run("augment", "--help").lines.filter { $0.hasPrefix("  -") }
            .compactMap { $0.split(separator: " ").first { $0.hasPrefix("--") } }
            .map { $0.filter { $0 != "," } }
        let wanted = ["--model", "--output", "--number", "--method", "--toward", "--transform"]
        #expect(names.filter(wanted.contains) == wanted)
    }

    @Test(
        "An unknown flag is refused in one line",
        arguments: [
            ["--frobnicate"], ["train", "x", "-o", "m", "--frobnicate"],
            ["score", "-m", "m", "x", "--frobnicate"],
            ["augment", "-m", "m", "-o", "d", "-n", "1", "--frobnicate"],
            ["inspect", "m", "--frobnicate"], ["frobnicate"],
        ])
    func unknownFlag(arguments: [String]) throws {
        let run = try Tool.run(arguments)
        #expect(run.status == 64)
        #expect(run.output.isEmpty)
        #expect(run.errors.split(separator: "\n").count == 1, "\(run.errors)")
        #expect(run.errors.hasPrefix("latent: error: "))
        #expect(run.errors.contains("frobnicate") && run.errors.contains("; see latent "))
    }

    @Test(
        "Names of files cannot steer a terminal",
        arguments: ["check", "score", "judge", "train", "augment"])
    func controlCharacters(verb: String) throws {
        let folder = try TemporaryFolder()
        // Clears the screen and rings; a line break; one that only Unicode knows.
        for (number, name) in ["\u{1B}[2J\u{07}", "a\nlatent: error: b", "\u{9B}1m\u{2028}c"]
            .enumerated()
        {
            let label = "x\u{1B}]0;title\u{07}"
            _ = try folder.makeFolder("data/\(label)")
            try folder.copy(
                "\(TrainedModels.shapes)/disc/00\(number).png", as: "data/\(label)/\(name).png")
            try Data("text".utf8).write(to: URL(fileURLWithPath: folder / "data/\(name)broken.png"))
        }
        let model = try TrainedModels.images().path
        let arguments = [
            "check": ["--format", "table"], "score": ["-m", model, "--format", "table"],
            "judge": ["-m", model, "--format", "table", "--reject", "broken"],
            "train": ["-o", folder / "m"],
            "augment": [
                "-o", folder / "new", "-n", "2", "--transform", "rotate", "--include-originals",
            ],
        ]
        let run = try Tool.run([verb, folder / "data"] + (arguments[verb] ?? []))
        #expect(run.status == 65, "\(run.errors)")
        #expect(run.errorLines.count <= 1)
        for scalar in (run.output + run.errors).unicodeScalars where scalar != "\n" {
            let category = scalar.properties.generalCategory
            #expect(![.control, .lineSeparator, .paragraphSeparator].contains(category))
        }
        #expect((run.output + run.errors).contains("[2J"), "the names are not shown")
    }

    @Test("A completion script works in bash")
    func completion() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.shell(
            """
            "$latent" --generate-completion-script bash > "$1/completion" || exit 1
            bash -n "$1/completion" && source "$1/completion" && complete -p latent
            """, folder.path)
        #expect(run.status == 0)
        #expect(run.output.contains("latent"))
        #expect(run.errors.isEmpty)
    }
}

/// Whether the system has a device that is always full.
let hasFullDevice = FileManager.default.fileExists(atPath: "/dev/full")
/// Whether permissions hold for this user.
let isRoot = geteuid() == 0

@Suite("Validation")
struct Validation {
    struct Refusal: CustomTestStringConvertible, Sendable {
        let arguments: [String]
        let message: String
        var testDescription: String { arguments.joined(separator: " ") }

        init(_ arguments: String, _ message: String) {
            self.arguments = arguments.split(separator: " ").map(String.init)
            self.message = message
        }
    }

    static let refusals = [
        Refusal("train", "-o"), Refusal("train -o m", "no data: name a folder"),
        Refusal("train x -o m --epochs 0", "--epochs is 0; it must be 1 to 1000000."),
        Refusal("train x -o m --epochs many", "--epochs"),
        Refusal("train x -o m --batch 0", "--batch is 0; it must be 1 to 65536."),
        Refusal("train x -o m --batch 65537", "--batch is 65537; it must be 1 to 65536."),
        Refusal("train x -o m --patience=-1", "--patience is -1; it must be 0 to 1000000."),
        Refusal("train x -o m --draws 0", "--draws is 0; it must be 1 to "),
        Refusal("train x -o m --learning-rate 0", "--learning-rate is 0.0; it must be above 0."),
        Refusal("train x -o m --learning-rate nan", "--learning-rate is nan"),
        Refusal("train x -o m --learning-rate inf", "--learning-rate is inf"),
        Refusal("train x -o m --clip=-1", "--clip is -1.0; it must be above 0."),
        Refusal("train x -o m --kl-warmup 1", "--kl-warmup is 1.0; it must be 0 or more"),
        Refusal("train x -o m --validation 1", "--validation is 1.0; it must be 0 or more"),
        Refusal("train x -o m --calibration=-0.1", "--calibration is -0.1; it must be 0 or more"),
        Refusal(
            "train x -o m --calibration 0.5 --validation 0.5",
            "--validation and --calibration leave nothing to train on."),
        Refusal("train x -o m --false-alarms 0", "--false-alarms is 0.0; it must be above 0"),
        Refusal(
            "train x -o m --checkpoint-interval=-1",
            "--checkpoint-interval is -1.0; it must be 0 or more."),
        Refusal("train x -o m --sample-rate 1", "--sample-rate is 1; it must be 1000 to 768000."),
        Refusal("train x -o m --fft 8", "--fft is 8; it must be 16 to 65536."),
        Refusal("train x -o m --hop 0", "--hop is 0; it must be 1 to 32768."),
        Refusal("train x -o m --mels 0", "--mels is 0; it must be 1 to 4096."),
        Refusal("train x -o m --range 0", "--range is 0.0; it must be above 0 and at most 200 dB."),
        Refusal("train x -o m --size 0", "'--size"), Refusal("train x -o m --size 5000", "'--size"),
        Refusal("train x -o m --size 8x8x8", "'--size"),
        Refusal("train x -o m --channels 0", "'--channels"),
        Refusal("train x -o m --channels 8,,8", "'--channels"),
        Refusal("train x -o m --architecture gan", "'--architecture"),
        Refusal("train x -o m --likelihood cauchy", "'--likelihood"),
        Refusal("train x -o m --windows half", "'--windows"),
        Refusal("train x -o m --colour pink", "'--colour"),
        Refusal("train x -o m --aggregate median", "'--aggregate"),
        Refusal("train x -o m --domain video", "'--domain"),
        Refusal("train x -o m --on-error panic", "'--on-error"),
        Refusal("train x -o m --threads 2000", "--threads is 2000; it must be 0 to 1024."),
        Refusal("train x -o m --threads=-1", "--threads is -1; it must be 0 to 1024."),
        Refusal("train x -o m --seed=-1", "'--seed"),
        Refusal("score -m m", "no data: name a folder"), Refusal("score x", "--model"),
        Refusal("score -m m x --false-alarms 1", "--false-alarms is 1.0; it must be above 0"),
        Refusal("score -m m x --false-alarms nan", "--false-alarms is nan"),
        Refusal("score -m m x --draws 0", "--draws is 0; it must be 1 to "),
        Refusal("score -m m x --batch 0", "--batch is 0; it must be 1 to 65536."),
        Refusal("score -m m x --score entropy", "'--score"),
        Refusal("score -m m x --format xml", "'--format"),
        Refusal("augment -m m -o d", "-n"), Refusal("augment -m m -n 3", "-o"),
        Refusal("augment -m m -o d -n 0", "-n is 0; it must be 1 to 100000000."),
        Refusal("augment -m m -o d -n 3 --spread=-1", "--spread is -1.0; it must be 0 to 100."),
        Refusal("augment -m m -o d -n 3 --spread nan", "--spread is nan; it must be 0 to 100."),
        Refusal(
            "augment -m m -o d -n 3 x --method prior --reject none",
            "--method prior starts from no real"),
        Refusal("augment -m m -o d -n 3 --reject copies", "name them"),
        Refusal("augment -m m -o d -n 3 --reject stale", "'--reject"),
        Refusal("judge -m m x", "--real"), Refusal("judge -m m --real x", "no data"),
        Refusal("augment -m m -o d -n 3 --method dream", "'--method"),
        Refusal("augment -m m -o d -n 3 --encoding mp3", "'--encoding"),
        Refusal("augment -m m -o d -n 3 --spread -1", "--spread is -1.0; it must be 0 to 100."),
        Refusal("augment -m m -o d -n -3", "-n is -3; it must be 1 to 100000000."),
        Refusal("train x -o m --patience -1", "--patience is -1; it must be 0 to 1000000."),
        Refusal("train x -o m --draws 10001", "--draws is 10001; it must be 1 to 10000."),
        Refusal("augment -m m -o d -n 3 x --reject copies=2", "above 0 and at most 0.5"),
        Refusal("train x -o m --size 5000", "expected a size from 1 to 4096"),
        Refusal("train x -o m --channels 0", "expected numbers above 0, as 32,64,128"),
        Refusal("score -m m x --shard 9/8", "expected a part of a whole, as 3/8"),
        Refusal("score -m m x --condition 3", "expected labels by name, as digit=3"),
        Refusal("augment -m m -o d -n 3 --method dream", "posterior, interpolate, smote"),
        Refusal("train x -o", "Missing value for '-o <model>'; see latent train --help"),
        Refusal("inspect", "model"), Refusal("inspect m --format xml", "'--format"),
    ]

    @Test("A value out of range is refused with what it must be", arguments: refusals)
    func outOfRange(refusal: Refusal) throws {
        let run = try Tool.run(refusal.arguments)
        #expect(run.status == 64)
        #expect(run.output.isEmpty)
        #expect(run.errors.split(separator: "\n").count == 1, "\(run.errors)")
        #expect(run.errorLines.count == 1)
        #expect(run.errors.contains(refusal.message), "\(run.errors)")
    }

    @Test("A device that is not there is refused", arguments: ["tpu", "cuda:99", ""])
    func device(name: String) throws {
        let run = try Tool.run(
            "score", "-m", TrainedModels.images().path, Fixtures.path("images/inbox"),
            "--device", name)
        #expect(run.status == 64)
        #expect(run.output.isEmpty)
        #expect(run.errorLines.count == 1)
    }
}
