import Foundation
import TestSupport
import Testing

/// The program where libtorch and the kernels of this package are kept from AVX-512.
@Suite("Processors without AVX-512")
struct ProcessorTests {
    private static let flags = [
        "--for", "augmentation", "--architecture", "conv", "--channels", "8,16", "--latent", "4",
        "--epochs", "2", "--deform-steps", "0", "--threads", "1", "--quiet",
    ]
    private static let trained = Result {
        try TrainedModels.Trained(on: TrainedModels.shapes, flags)
    }

    /// Runs `latent` as on a processor that has AVX2 and no more.
    private func runWithAVX2(_ arguments: [String]) throws -> ToolRun {
        let words = arguments.map { "'\($0)'" }.joined(separator: " ")
        return try Tool.shell(
            "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 "
                + "\"$latent\" \(words)")
    }

    private func scores(_ run: ToolRun) throws -> [Double] {
        #expect(run.status == 0, "\(run.errors)")
        return try run.lines.compactMap { try object($0)["score"] as? Double }
    }

    @Test("scores are the same within rounding, and those of bfloat16 are of float32")
    func scores() throws {
        let model = try Self.trained.get().path
        func score(_ precision: String) -> [String] {
            [
                "score", "-m", model, TrainedModels.shapes, "-q", "--precision", precision,
                "--format", "ndjson", "--threads", "1",
            ]
        }
        let usual = try scores(Tool.run(score("float32")))
        let found = try scores(runWithAVX2(score("float32")))
        #expect(usual.count == 120 && found.count == 120)
        for (one, other) in zip(usual, found) {
            #expect(abs(one - other) <= 1e-5 * max(abs(one), 100))
        }
        #expect(try scores(runWithAVX2(score("bfloat16"))) == found)
    }

    @Test("training in float32 takes the same steps within rounding")
    func training() throws {
        let folder = try TemporaryFolder()
        func losses(_ name: String, _ train: ([String]) throws -> ToolRun) throws -> [Double] {
            let path = folder / name
            let run = try train(
                ["train", TrainedModels.shapes, "-o", path, "--precision", "float32"] + Self.flags)
            #expect(run.status == 0, "\(run.errors)")
            let record = try object(Tool.run("inspect", path, "--format", "json").output)
            let training = try #require(record["training"] as? [String: Any])
            let epochs = try #require(training["epochs"] as? [[String: Any]])
            return epochs.compactMap { $0["trainingLoss"] as? Double }
        }
        let usual = try losses("usual.safetensors") { try Tool.run($0) }
        let found = try losses("avx2.safetensors", runWithAVX2)
        #expect(usual.count == 2 && found.count == 2)
        for (one, other) in zip(usual, found) { #expect(abs(one - other) <= 1e-3 * abs(one)) }
    }
}
