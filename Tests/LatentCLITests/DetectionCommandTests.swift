import Foundation
import Media
import TestSupport
import Testing

@Suite("Detection command")
struct DetectionCommandTests {
    /// A line as `latent score` writes it.
    private func line(
        _ path: String, _ score: Double, label: String? = nil, mse: Double = 0,
        kind: String = "reconstruction-probability"
    ) -> String {
        let label = label.map { "\"\($0)\"" } ?? "null"
        return "{\"schema\":1,\"path\":\"\(path)\",\"label\":\(label),\"score\":\(score),"
            + "\"kind\":\"\(kind)\",\"threshold\":5.5,\"p_value\":0.1,\"anomaly\":\(score > 5.5),"
            + "\"windows\":1,\"components\":{\"reconstruction_nats\":\(-score),"
            + "\"kl_nats\":1.5,\"negative_elbo_nats\":2,\"mse\":\(mse)}}\n"
    }

    private let unread =
        "{\"schema\":1,\"path\":\"test/good/x.png\",\"error\":{\"code\":\"truncated\",\"message\":"
        + "\"it ends early\"}}\n"

    /// Ten good files with scores 0…9, of which 6 to 9 are flagged, a crack at 8.5, a dent at 20.
    private var scores: String {
        (0..<10).map { line("test/good/\($0).png", Double($0), mse: Double(10 - $0)) }.joined()
            + line("test/crack/0.png", 8.5, mse: 0.5) + line("test/dent/0.png", 20, mse: 3.5)
    }

    private func evaluate(_ flags: String..., input: String) throws -> ToolRun {
        try Tool.run(["evaluate", "detection"] + flags, input: input)
    }

    private func write(_ text: String, to path: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }

    /// The values of all classes, by metric.
    private func values(_ run: ToolRun, of name: String? = nil) throws -> [String: Double] {
        var values: [String: Double] = [:]
        for text in run.lines {
            let line = try object(text)
            guard line["class"] as? String == name else { continue }
            values[try #require(line["metric"] as? String)] =
                (line["value"] as? NSNumber)?.doubleValue
        }
        return values
    }

    @Test("a file that two lines are of counts twice, which is said; with two labels it is refused")
    func repeated() throws {
        let run = try evaluate(input: scores + line("test/dent/0.png", 21))
        #expect(run.status == 0)
        #expect(
            run.errors
                == "latent: warning: 1 of 13 lines are of files that an earlier line is of too: "
                + "each counts\n")
        #expect(try values(run)["anomaly_count"] == 3)
        let other = try evaluate(input: scores + line("test/good/0.png", 3, label: "crack"))
        #expect(other.status == 65 && other.output.isEmpty)
        #expect(
            other.errors.contains(
                "line 13 says that test/good/0.png is crack, which an earlier one says is good"))
    }

    @Test("a pipe gives a line for each figure, for all anomalous files and each class")
    func pipe() throws {
        let run = try evaluate(input: scores)
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.isEmpty)
        for text in run.lines {
            let line = try object(text)
            #expect(
                Set(line.keys) == [
                    "schema", "metric", "class", "value", "low", "high", "interval",
                ])
            #expect(line["schema"] as? Int == 1)
        }
        let whole = try values(run)
        #expect(whole["normal_count"] == 10 && whole["anomaly_count"] == 2)
        #expect(whole["error_count"] == 0)
        #expect(abs((whole["auroc"] ?? 0) - 0.95) < 1e-12)
        #expect(abs((whole["average_precision"] ?? 0) - (1 + 2.0 / 3) / 2) < 1e-12)
        #expect(whole["false_alarm_rate"] == 0.4 && whole["detection_rate"] == 1)
        #expect(abs((whole["f1"] ?? 0) - 0.5) < 1e-12)
        #expect(whole["best_f1_threshold"] == 8.5)
        #expect(try abs((values(run, of: "crack")["auroc"] ?? 0) - 0.9) < 1e-12)
        #expect(try values(run, of: "dent")["auroc"] == 1)

        // As a file, or as standard input by name, it is the same to the last byte.
        let folder = try TemporaryFolder()
        try write(scores, to: folder / "s.ndjson")
        for arguments in [[folder / "s.ndjson"], ["-"]] {
            let other = try Tool.run(["evaluate", "detection"] + arguments, input: scores)
            #expect(other.status == 0 && other.output == run.output)
        }
        let halves = try Tool.shell(
            """
            head -n 7 "$1/s.ndjson" > "$1/a"
            tail -n +8 "$1/s.ndjson" | "$latent" evaluate detection "$1/a" -
            """, folder.path)
        #expect(halves.output == run.output, "\(halves.errors)")
        let seeds = try ["0", "1"].map {
            try evaluate("--bootstrap", "9", "--seed", $0, input: scores).output
        }
        #expect(seeds[0] != seeds[1])
        let plain = try evaluate("--bootstrap", "0", input: scores)
        let auroc = try object(try #require(plain.lines.first { $0.contains("\"auroc\"") }))
        #expect(auroc["low"] is NSNull && auroc["interval"] is NSNull)
    }

    @Test("what latent score writes is read, with labels from a manifest either way")
    func scored() throws {
        let model = try TrainedModels.images().path
        let labels = Fixtures.path("images/inbox/labels.csv")
        let labelled = try Tool.shell(
            "\"$latent\" score -q -m \"$1\" \"$2\" | \"$latent\" evaluate detection", model, labels)
        #expect(labelled.status == 0, "\(labelled.errors)")
        #expect(try values(labelled)["normal_count"] == 16)
        #expect(try values(labelled, of: "odd")["anomaly_count"] == 4)
        let unlabelled = try Tool.shell(
            """
            "$latent" score -q -m "$1" "$2/" | "$latent" evaluate detection --labels "$2/labels.csv"
            """, model, Fixtures.path("images/inbox"))
        #expect(unlabelled.status == 0, "\(unlabelled.errors)")
        #expect(unlabelled.output == labelled.output)
    }

    @Test("a component ranks instead of the score; a log-likelihood the other way round")
    func components() throws {
        let byMSE = try evaluate("--score", "mse", input: scores)
        #expect(byMSE.status == 0, "\(byMSE.errors)")
        // 0.5 is below all, 3.5 above 1, 2 and 3.
        #expect(try abs((values(byMSE)["auroc"] ?? 0) - 0.15) < 1e-12)
        #expect(try values(byMSE)["f1"] == nil)
        let byLikelihood = try evaluate("--score", "reconstruction_nats", input: scores)
        #expect(try abs((values(byLikelihood)["auroc"] ?? 0) - 0.95) < 1e-12)
        let missing = try evaluate("--score", "entropy", input: scores)
        #expect(missing.status == 65 && missing.errorLines.count == 1)
        #expect(missing.errors.contains("line 1") && missing.errors.contains("kl_nats, mse"))
    }

    @Test("lines of files that could not be read are counted and said")
    func errors() throws {
        let run = try evaluate(input: unread + scores + unread)
        #expect(run.status == 0)
        #expect(try values(run)["error_count"] == 2)
        #expect(try values(run)["normal_count"] == 10)
        #expect(run.errors.contains("2 of 14 files have no score"))
        let quiet = try evaluate("--quiet", input: unread + scores)
        #expect(quiet.errors.contains("1 of 13"))
        let only = try evaluate(input: unread)
        #expect(only.status == 65 && only.errorLines.count == 1)
    }

    @Test("a broken line is refused with its number and what is wrong")
    func broken() throws {
        let good = line("test/good/1.png", 1)
        let cases = [
            ("nonsense\n", "line 2 is not a JSON object: nonsense"),
            ("\u{1B}[2J\u{07}\n", "line 2 is not a JSON object: ·[2J·"),
            ("path,label,score\n", "--format ndjson"),
            (String(good.prefix(80)) + "\n", "line 2 is not a JSON object"), ("[1]\n", "line 2"),
            ("{\"schema\":1,\"label\":\"a\",\"score\":3}\n", "line 2 has no path"),
            ("{\"schema\":2,\"path\":\"a/b.png\",\"score\":3}\n", "line 2 has schema 2"),
            ("{\"path\":\"a/b.png\",\"score\":null}\n", "line 2 has no number as its score"),
            ("{\"path\":\"a/b.png\",\"score\":\"3\"}\n", "line 2 has a score of another kind"),
            ("{\"path\":\"b.png\",\"score\":3}\n", "line 2 has no label"),
            (line("a/b.png", 3, kind: "mse"), "line 2 ranks by mse"),
        ]
        for (text, message) in cases {
            let run = try evaluate(input: good + text + good)
            #expect(run.status == 65, "\(text)")
            #expect(run.output.isEmpty)
            #expect(run.errorLines.count == 1)
            #expect(run.errors.hasPrefix("latent: error: standard input: line 2"))
            #expect(run.errors.contains(message), "\(run.errors)")
        }
        let missing = try evaluate("no-such-file", input: "")
        #expect(missing.status == 66 && missing.errorLines.count == 1)
        let empty = try evaluate(input: "\n")
        #expect(empty.status == 65 && empty.errorLines.count == 1)
        let folder = try evaluate(Fixtures.path("images"), input: "")
        #expect(folder.status == 65 && folder.errorLines.count == 1)
    }

    @Test("without a normal label, or with nothing else, the labels found are listed")
    func normals() throws {
        let strange = scores.replacingOccurrences(of: "/good/", with: "/fine/")
        let run = try evaluate(input: strange)
        #expect(run.status == 65 && run.errorLines.count == 1)
        #expect(run.errors.contains("found crack, dent, fine"))
        #expect(run.errors.contains("--normal"))
        let named = try evaluate("--normal", "fine,dent", input: strange)
        #expect(try values(named)["normal_count"] == 11)
        let partly = try evaluate("--normal", "fine,perfect", input: strange)
        #expect(partly.status == 0 && partly.errors.contains("perfect"))
        let upper = scores.replacingOccurrences(of: "/good/", with: "/Normal/")
        #expect(try values(evaluate(input: upper))["normal_count"] == 10)
        let all = try evaluate("--normal", "good,crack,dent", input: scores)
        #expect(all.status == 65 && all.errorLines.count == 1)
        // The label of a line comes before its folder.
        let labelled = try evaluate(
            input: scores + line("test/dent/9.png", 3, label: "good"))
        #expect(try values(labelled)["normal_count"] == 11)
    }

    @Test("labels of a manifest replace all others; a file that it lacks is refused")
    func labels() throws {
        let folder = try TemporaryFolder()
        var rows = "path,label\n"
        for index in 0..<10 { rows += "test/good/\(index).png,\(index < 5 ? "ok" : "odd")\n" }
        try write(rows + "test/crack/0.png,ok\ntest/dent/0.png,odd\n", to: folder / "l.csv")
        let run = try evaluate("--labels", folder / "l.csv", input: scores)
        #expect(run.status == 0, "\(run.errors)")
        #expect(try values(run)["normal_count"] == 6 && values(run)["anomaly_count"] == 6)
        try write(rows, to: folder / "short.csv")
        let short = try evaluate("--labels", folder / "short.csv", input: scores)
        #expect(short.status == 65 && short.errorLines.count == 1)
        #expect(short.errors.contains("2 of 12") && short.errors.contains("test/crack/0.png"))
        for (text, message) in [
            ("name,label\na,b\n", "column path"), (rows + "test/good/1.png,odd\n", "two labels"),
            ("path,label\na.png,\n", "no label"),
        ] {
            try write(text, to: folder / "bad.csv")
            let refused = try evaluate("--labels", folder / "bad.csv", input: scores)
            #expect(refused.status == 65 && refused.errorLines.count == 1)
            #expect(refused.errors.contains(message), "\(refused.errors)")
        }
        #expect(try evaluate("--labels", folder / "none.csv", input: scores).status == 66)
    }

    @Test("tables of commas, of tabs and for people have the same lines")
    func formats() throws {
        let plain = try evaluate("--format", "ndjson", input: scores)
        let csv = try evaluate("--format", "csv", input: scores)
        #expect(csv.lines.first == "metric,class,value,low,high,interval")
        #expect(csv.lines.count == plain.lines.count + 1)
        #expect(csv.output.contains("normal_count,,10,,,"))
        #expect(csv.output.contains("anomaly_count,crack,1,,,"))
        let tsv = try evaluate("--format", "tsv", input: scores)
        #expect(tsv.lines.count == plain.lines.count + 1 && tsv.output.contains("auroc\t\t0.95\t"))
        let table = try evaluate("--format", "table", input: scores)
        #expect(table.lines.count == plain.lines.count + 1)
        #expect(table.output.contains("    0.9500"))
    }

    @Test("a picture is written, and never over another file unless that is asked for")
    func plot() throws {
        let folder = try TemporaryFolder()
        let path = folder / "plot.png"
        let run = try evaluate("--plot", path, input: scores)
        #expect(run.status == 0 && run.errors.contains("wrote \(path)"))
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(try Image(contentsOf: path).width > 1000)
        let again = try evaluate("--plot", path, input: scores)
        #expect(again.status == 74 && again.errorLines.count == 1 && again.output.isEmpty)
        let forced = try evaluate("--plot", path, "--force", "--bootstrap", "0", input: scores)
        #expect(forced.status == 0)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) != bytes)
        #expect(try evaluate("--plot", folder / "no/such.png", input: scores).status == 74)
        try write(scores, to: folder / "scores.ndjson")
        let own = try Tool.run([
            "evaluate", "detection", folder / "scores.ndjson", "--plot", folder / "scores.ndjson",
            "--force",
        ])
        #expect(own.status == 74 && own.errors.contains("one of the inputs"))
        #expect(try String(contentsOfFile: folder / "scores.ndjson", encoding: .utf8) == scores)
    }

    @Test("heat maps and masks add the figures of pixels; what does not fit is refused")
    func maps() throws {
        let folder = try TemporaryFolder()
        func save(_ samples: [UInt16], _ name: String, width: Int = 4) throws {
            let path = folder / name
            try FileManager.default.createDirectory(
                atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path,
                withIntermediateDirectories: true)
            try FileBytes.write(
                Image(
                    width: width, height: samples.count / width, channelCount: 1, bitDepth: 8,
                    samples: samples
                ).pngData(), to: path, overwrite: true)
        }
        for index in 0..<10 {
            try save([UInt16](repeating: 10, count: 16), "maps/good/\(index).png")
        }
        let mask: [UInt16] = [255, 255] + [UInt16](repeating: 0, count: 14)
        try save(mask, "maps/crack/0.png")
        try save(mask, "maps/dent/0.png")
        try save(mask, "masks/crack/0.png")
        try save(mask.reversed(), "masks/dent/0_mask.png")
        let flags = ["--maps", folder / "maps", "--masks", folder / "masks"]
        func run() throws -> ToolRun {
            try Tool.run(["evaluate", "detection"] + flags, input: scores)
        }
        let whole = try run()
        #expect(whole.status == 0, "\(whole.errors)")
        let found = try values(whole)
        // Of 188 normal pixels 2 are at 255, 160 at 10, 26 at 0; of the anomalous ones two at 255
        // are above 186 and tie with 2, two at 0 tie with 26.
        let expected = Double(186 + 1 + 13) / Double(2 * 188)
        #expect(abs((found["pixel_auroc"] ?? 0) - expected) < 1e-9)
        // One of two regions at once, the other with the last level.
        #expect((found["aupro_0.3"] ?? 0) > 0.45 && (found["aupro_0.3"] ?? 1) < 0.55)

        try save([1, 2, 3, 4, 5, 6], "masks/crack/0.png", width: 3)
        let sizes = try run()
        #expect(sizes.status == 65 && sizes.errorLines.count == 1)
        #expect(sizes.errors.contains("4×4") && sizes.errors.contains("3×2"))
        try FileManager.default.removeItem(atPath: folder / "masks/crack/0.png")
        let unmasked = try run()
        #expect(unmasked.status == 65 && unmasked.errors.contains("no mask for 1 of 12"))
        try FileManager.default.removeItem(atPath: folder / "maps/good/3.png")
        let unmapped = try run()
        #expect(unmapped.status == 65 && unmapped.errorLines.count == 1)
        #expect(unmapped.errors.contains("no heat map for 1 of 12"))
        #expect(try evaluate("--maps", folder / "maps", input: scores).status == 64)
        let nowhere = try evaluate(
            "--maps", folder / "none", "--masks", folder / "masks", input: scores)
        #expect(nowhere.status == 66 && nowhere.errorLines.count == 1)
    }

    @Test("options out of range are refused")
    func usage() throws {
        for flags in [["--bootstrap=-1"], ["--normal", "a,,b"], ["--format", "xml"]] {
            let run = try Tool.run(["evaluate", "detection"] + flags, input: scores)
            #expect(run.status == 64 && run.errorLines.count == 1, "\(run.errors)")
        }
        let help = try Tool.run("evaluate", "detection", "--help")
        #expect(help.status == 0 && help.output.contains("EXAMPLES\n"))
    }
}
