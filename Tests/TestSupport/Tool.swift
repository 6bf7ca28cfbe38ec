import Foundation

/// A program that was run to its end.
public struct ToolRun: Sendable {
    /// The exit status; minus the signal's number when a signal ended it.
    public let status: Int32
    /// All of standard output.
    public let output: String
    /// All of standard error.
    public let errors: String

    /// The lines of standard output.
    public var lines: [String] {
        output.split(separator: "\n").map(String.init)
    }

    /// The lines of standard error that report an error.
    public var errorLines: [String] {
        errors.split(separator: "\n").map(String.init).filter { $0.hasPrefix("latent: error:") }
    }
}

/// The program `latent` that was built with the tests.
public enum Tool {
    /// Its path: beside the test bundle.
    public static let path: String = {
        var folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        if !FileManager.default.fileExists(atPath: "/proc/self/exe") {
            folder = URL(fileURLWithPath: CommandLine.arguments[0])
        }
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            let candidate = folder.appendingPathComponent("latent").path
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
        }
        return Fixtures.packageRoot.appendingPathComponent(".build/debug/latent").path
    }()

    /// Runs `latent`.
    ///
    /// - Parameters:
    ///   - arguments: without the program's name
    ///   - input: standard input; nothing when nil
    ///   - folder: where it runs
    public static func run(
        _ arguments: String..., input: String? = nil, in folder: String? = nil
    ) throws -> ToolRun {
        try run(arguments, input: input, in: folder)
    }

    /// Runs `latent` with a list of arguments.
    public static func run(
        _ arguments: [String], input: String? = nil, in folder: String? = nil
    ) throws -> ToolRun {
        try execute(path, arguments, input: input, folder: folder)
    }

    /// Runs a script of bash, which finds `latent` as `$latent` and the arguments as `$1`, `$2`, ….
    public static func shell(_ script: String, _ arguments: String...) throws -> ToolRun {
        try execute(
            "/bin/bash", ["-c", "latent='\(path)'; " + script, "bash"] + arguments, input: nil,
            folder: nil)
    }

    /// Output goes to files and not to pipes: nobody has to empty them, and no child of another
    /// test keeps them open.
    private static func execute(
        _ program: String, _ arguments: [String], input: String?, folder: String?
    ) throws -> ToolRun {
        let scratch = try TemporaryFolder()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
        for name in ["in", "out", "err"] {
            try Data((name == "in" ? input ?? "" : "").utf8).write(
                to: URL(fileURLWithPath: scratch / name))
        }
        let output = try handle(scratch / "out")
        let errors = try handle(scratch / "err")
        process.standardInput = FileHandle(forReadingAtPath: scratch / "in")
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        // A program that hangs fails its test and not the whole run.
        let watchdog = DispatchWorkItem { [pid = process.processIdentifier] in kill(pid, SIGKILL) }
        DispatchQueue.global().asyncAfter(deadline: .now() + 300, execute: watchdog)
        process.waitUntilExit()
        watchdog.cancel()
        func text(_ name: String) throws -> String {
            String(
                decoding: try Data(contentsOf: URL(fileURLWithPath: scratch / name)), as: UTF8.self)
        }
        let status = process.terminationStatus
        return ToolRun(
            status: process.terminationReason == .exit ? status : -status,
            output: try text("out"), errors: try text("err"))
    }

    private static func handle(_ path: String) throws -> FileHandle {
        try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    }
}

/// A folder that is removed with its last owner.
public final class TemporaryFolder: Sendable {
    /// Its path.
    public let path: String

    /// Makes an empty folder.
    public init() throws {
        let url = FileManager.default.temporaryDirectory
            .appendingPathComponent("latent-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    /// The path of something in it.
    public static func / (folder: TemporaryFolder, name: String) -> String {
        "\(folder.path)/\(name)"
    }

    /// Makes a folder in it.
    public func makeFolder(_ name: String) throws -> String {
        try FileManager.default.createDirectory(
            atPath: self / name, withIntermediateDirectories: true)
        return self / name
    }

    /// Copies a file or folder into it.
    public func copy(_ source: String, as name: String) throws {
        try FileManager.default.copyItem(atPath: source, toPath: self / name)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
