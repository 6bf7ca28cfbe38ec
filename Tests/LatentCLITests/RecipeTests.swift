import Foundation
import TestSupport
import Testing

/// The recipes of the README's section "In a shell", run as they stand there.
@Suite("Recipes")
struct RecipeTests {
    private static let hasJQ = ["/usr/bin/jq", "/usr/local/bin/jq"].contains {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    /// Programs that stand in where the real ones are not installed.
    private static let standIns = [
        // New files of a folder, as they appear, until there is a file `stop`.
        "inotifywait": """
        for folder; do :; done
        touch seen
        until [ -e stop ]; do
            for file in "$folder"/*; do
                [ -e "$file" ] && ! grep -qxF "$file" seen && echo "$file" | tee -a seen
            done
            sleep 0.05
        done
        """,
        "parallel": """
        if [ "$1" = latent ]; then
            words=
            while [ "$1" != ":::" ]; do words="$words $1"; shift; done
            shift
            for word; do sh -c "$(echo "$words" | sed "s/{}/$word/g")" || exit 1; done
            exit 0
        fi
        [ "$1 $2 $3" = "-0 -k -n" ] || exit 99
        n=$4; shift 4; exec xargs -0 -n "$n" -P 2 "$@"
        """,
    ]

    /// A folder with a model, an empty inbox, the programs, and a recipe.
    private func workplace(_ recipe: String) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.copy(try TrainedModels.images().path, as: "model.safetensors")
        _ = try folder.makeFolder("inbox")
        _ = try folder.makeFolder("bin")
        var programs = Self.standIns.filter { name, _ in
            !FileManager.default.isExecutableFile(atPath: "/usr/bin/\(name)")
        }
        programs["latent"] = "exec '\(Tool.path)' \"$@\""
        for (name, text) in programs {
            try Data("#!/bin/sh\n\(text)\n".utf8).write(
                to: URL(fileURLWithPath: folder / "bin/\(name)"))
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o755], ofItemAtPath: folder / "bin/\(name)")
        }
        try Data(recipe.utf8).write(to: URL(fileURLWithPath: folder / "recipe.sh"))
        return folder
    }

    /// The block of shell in the README that has a text.
    private func recipe(_ text: String) throws -> String {
        let found = try Fixtures.shellBlocks(of: "README.md").filter { $0.contains(text) }
        #expect(found.count == 1)
        return try #require(found.first)
    }

    /// Runs a script in the folder, which finds the programs first and files to copy as `$inbox`.
    private func run(_ script: String, in folder: TemporaryFolder) throws -> ToolRun {
        try Tool.shell(
            "cd \"$1\" || exit 90; export PATH=\"$1/bin:$PATH\" inbox=\"$2\"\n" + script,
            folder.path, Scoring.imageInbox)
    }

    private func scores(_ lines: [String]) throws -> [String: Double] {
        Dictionary(
            try lines.map { try object($0) }.map {
                ($0["path"] as? String ?? "", $0["score"] as? Double ?? .nan)
            }, uniquingKeysWith: { $1 })
    }

    @Test("a line for a path is out before the next path is given")
    func oneByOne() throws {
        let folder = try workplace("")
        let run = try run(
            """
            mkfifo in
            latent score -q -m model.safetensors - < in > out &
            exec 3> in
            count=0
            for file in "$inbox"/*.png; do
                echo "$file" >&3
                count=$((count + 1))
                for try in $(seq 300); do
                    [ "$(wc -l < out)" -ge $count ] && break
                    sleep 0.1
                done
                [ "$(wc -l < out)" -eq $count ] || { echo "no line for $file"; exit 9; }
            done
            exec 3>&-
            wait $! && cat out
            """, in: folder)
        #expect(run.status == 0, "\(run.output) \(run.errors)")
        let expected = try Tool.run(
            "score", "-q", "-m", folder / "model.safetensors", Scoring.imageInbox)
        let (found, together) = (try scores(run.lines), try scores(expected.lines))
        #expect(run.lines.count == 20 && found.keys == together.keys)
        for (path, score) in together {
            #expect(abs(try #require(found[path]) - score) < 1e-4 * max(1, abs(score)))
        }
    }

    @Test(
        "a watched folder: each odd or broken file is named while the watch goes on",
        .enabled(if: hasJQ))
    func watch() throws {
        let folder = try workplace(try recipe("inotifywait -m"))
        let run = try run(
            """
            sh recipe.sh > out &
            await() {
                for try in $(seq 300); do [ "$(wc -l < out)" -ge "$1" ] && return; sleep 0.1; done
                echo "no line $1"; exit 9
            }
            # The real inotifywait sees only what comes after it has begun.
            sleep 1
            printf broken > inbox/a.png; await 1
            # Moved and not copied, so that no file is seen half.
            mkdir new && cp "$inbox"/odd-*.png new && mv new/* inbox
            printf broken > inbox/z.png
            for try in $(seq 300); do grep -q z.png out && break; sleep 0.1; done
            cat out
            touch stop
            # The stand-in ends by itself.
            pkill -P $! inotifywait 2> /dev/null
            wait $!
            """, in: folder)
        let odd = try Tool.run(
            "score", "-q", "-m", folder / "model.safetensors", folder / "inbox", "--only",
            "anomalies")
        let flagged = try odd.lines.map { try object($0) }.filter { $0["error"] == nil }
            .compactMap { ($0["path"] as? String)?.split(separator: "/").last }
        #expect(run.lines.first?.hasPrefix("inbox/a.png ") == true, "\(run.output) \(run.errors)")
        #expect(run.lines.count == flagged.count + 2)
        #expect(run.lines.contains { $0.hasPrefix("inbox/z.png ") })
        for name in flagged { #expect(run.lines.contains("inbox/\(name) anomalous")) }
    }

    @Test("from cron: each run prints what came since the last, and nothing when nothing came")
    func cron() throws {
        let folder = try workplace(try recipe("-cnewer last-run"))
        let run = try run(
            """
            sh recipe.sh && echo none
            cp "$inbox"/odd-*.png inbox
            sh recipe.sh; echo first
            sleep 0.05
            sh recipe.sh && echo none
            printf broken > inbox/a.png
            sh recipe.sh; echo second
            """, in: folder)
        let odd = try Tool.run(
            "score", "-q", "-m", folder / "model.safetensors", folder / "inbox", "--only",
            "anomalies")
        let flagged = odd.lines.count - 1
        let lines = run.lines
        #expect(lines.first == "none", "\(run.output) \(run.errors)")
        let first = try #require(lines.firstIndex(of: "first"))
        #expect(first == flagged + 1)
        #expect(lines[first + 1] == "none")
        #expect(lines[first + 2].contains("inbox/a.png") && lines[first + 3] == "second")
        let kept = try String(contentsOfFile: folder / "anomalies.ndjson", encoding: .utf8)
        #expect(kept.split(separator: "\n").map(String.init) == lines.filter { $0.hasPrefix("{") })
    }

    @Test("in parallel: the lines of one run")
    func parallel() throws {
        let text = try recipe("parallel -0")
        let folder = try workplace(text.replacing("-n 200", with: "-n 6"))
        #expect(text.contains("-n 200"))
        let run = try run(
            "cp \"$inbox\"/*.png inbox && sh recipe.sh && cat scores.ndjson", in: folder)
        #expect(run.status == 0, "\(run.errors)")
        let expected = try Tool.run(
            "score", "-q", "-m", "model.safetensors", "inbox", in: folder.path)
        let (found, together) = (try scores(run.lines), try scores(expected.lines))
        #expect(run.lines.count == 20 && found.keys == together.keys)
        for (path, score) in together {
            #expect(abs(try #require(found[path]) - score) < 1e-4 * max(1, abs(score)))
        }
    }

    /// The sorted lines of one run over the folder `inbox`.
    private func whole(_ folder: TemporaryFolder, threads: Int) throws -> [String] {
        let run = try Tool.run(
            "score", "-q", "--threads", "\(threads)", "-m", "model.safetensors", "inbox",
            in: folder.path)
        #expect(run.lines.count == 120)
        return run.lines.sorted()
    }

    @Test("parts in parallel: the very lines of one run")
    func parts() throws {
        let folder = try workplace(try recipe("::: 1 2 3 4 5 6 7 8"))
        let run = try run(
            "cp -r '\(TrainedModels.shapes)'/* inbox && sh recipe.sh && cat sorted.ndjson",
            in: folder)
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.lines.sorted() == (try whole(folder, threads: 1)))
    }

    @Test("as a job array of Slurm: the very lines of one run")
    func jobArray() throws {
        let folder = try workplace(try recipe("SLURM_ARRAY_TASK_ID"))
        let run = try run(
            """
            cp -r '\(TrainedModels.shapes)'/* inbox
            for number in 1 2 3 4 5 6 7 8; do
                SLURM_ARRAY_TASK_ID=$number sh recipe.sh || exit
            done
            sort scores-*.ndjson
            """, in: folder)
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.lines.sorted() == (try whole(folder, threads: 2)))
    }
}
