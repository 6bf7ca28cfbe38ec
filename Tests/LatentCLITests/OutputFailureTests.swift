import Foundation
import TestSupport
import Testing

/// Outputs that cannot be written: one line with what the system says, and exit code 74.
@Suite("Outputs that fail")
struct OutputFailures {
    private func expect(_ run: ToolRun, _ texts: String..., status: Int32 = 74) {
        #expect(run.status == status, "\(run.status) \(run.errors)")
        #expect(run.errorLines.count == 1, "\(run.errors)")
        for text in texts { #expect(run.errors.contains(text), "\(run.errors)") }
    }

    @Test(
        "Help and completions that cannot be written are an error", .enabled(if: hasFullDevice),
        arguments: [
            "--help", "augment --help", "evaluate detection --help",
            "--generate-completion-script bash",
        ])
    func help(arguments: String) throws {
        let run = try Tool.shell("\"$latent\" \(arguments) > /dev/full")
        expect(run, "standard output: No space left on device")
        #expect(try Tool.shell("\"$latent\" \(arguments) | head -n 1").errors.isEmpty)
    }

    /// No file grows beyond four blocks, as on a disk that is full.
    private static let full = "ulimit -f 4; "

    @Test("A full disk is named, with the file, and what was there is whole")
    func fullDisk() throws {
        let folder = try TemporaryFolder()
        let trained = try Tool.shell(
            Self.full
                + "\"$latent\" train \"$1\" -o \"$2\" -q \(TrainedModels.tiny.joined(separator: " "))",
            TrainedModels.shapes, folder / "m")
        expect(trained, "File too large", "ulimit -f")
        let written = try Tool.shell(
            Self.full + """
                "$latent" augment "$1" -o "$2" -n 40 --transform rotate --include-originals -q
                """, TrainedModels.shapes, folder / "new")
        expect(written, "\(folder / "new")", "File too large")
        let lines = try String(contentsOfFile: folder / "new/manifest.ndjson", encoding: .utf8)
        #expect(lines.hasSuffix("\n") && lines.contains("\"method\":\"original\""))
        // With room again, the same command ends it.
        let again = try Tool.run(
            "augment", TrainedModels.shapes, "-o", folder / "new", "-n", "40", "--transform",
            "rotate", "--include-originals")
        #expect(again.status == 0 && again.errors.contains("going on"), "\(again.errors)")
    }

    @Test("What --force cannot remove is named")
    func force() throws {
        let folder = try TemporaryFolder()
        func augment() throws -> ToolRun {
            try Tool.run(
                "augment", TrainedModels.shapes, "-o", folder / "new", "-n", "2", "--transform",
                "rotate", "--force")
        }
        #expect(try augment().status == 0)
        // A folder is in the place of the file, which nobody can unlink.
        try FileManager.default.removeItem(atPath: folder / "new/manifest.ndjson")
        _ = try folder.makeFolder("new/manifest.ndjson")
        expect(
            try augment(), "\(folder / "new/manifest.ndjson"): cannot be removed: Is a directory")
    }

    @Test("A folder that is closed or missing is named before any work", .enabled(if: !isRoot))
    func closed() throws {
        let folder = try TemporaryFolder()
        _ = try folder.makeFolder("closed")
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o555], ofItemAtPath: folder / "closed")
        for arguments in [
            ["augment", TrainedModels.shapes, "-n", "2", "--transform", "rotate", "-o"],
            ["train", TrainedModels.shapes, "-o"],
        ] {
            expect(
                try Tool.run(arguments + [folder / "closed/new"]), "Permission denied",
                "check the permissions")
        }
    }

    @Test("A folder that is not there, or is a file, is said to be")
    func missing() throws {
        let folder = try TemporaryFolder()
        let train = try Tool.run("train", TrainedModels.shapes, "-o", folder / "none/m")
        expect(train, "\(folder / "none/m"): its folder is not there")
        try Data().write(to: URL(fileURLWithPath: folder / "file"))
        expect(
            try Tool.run("train", TrainedModels.shapes, "-o", folder / "file/m"), "Not a directory")
        expect(
            try Tool.run(
                "augment", TrainedModels.shapes, "-o", folder / "file/new", "-n", "1",
                "--transform", "rotate"), "Not a directory")
    }

    @Test(
        "An empty name, as an unset variable leaves it, is refused",
        arguments: [
            ["train", "x", "-o", ""], ["train", "x", "-o", "m", "--report", ""],
            ["augment", "x", "-o", "", "-n", "1", "--transform", "rotate"],
            ["calibrate", "-m", "m", "x", "-o", ""], ["score", "-m", "m", "x", "--maps", ""],
            ["evaluate", "detection", "x", "--plot", ""],
            ["evaluate", "augmentation", "--real", "x", "--synthetic", "y", "--report", ""],
        ])
    func emptyName(arguments: [String]) throws {
        let run = try Tool.run(arguments)
        expect(run, status: 64)
        #expect(run.errors.contains("empty name") || run.errors.contains("names no folder"))
    }

    @Test("An input of an empty name is shown as one")
    func emptyInput() throws {
        for arguments in [
            ["inspect", ""], ["check", ""], ["train", "", "-o", "m"], ["score", "-m", "", "x"],
        ] {
            expect(try Tool.run(arguments), "latent: error: '': ", status: 66)
        }
    }
}
