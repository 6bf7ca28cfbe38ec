import Foundation
import TestSupport
import Testing

/// One model trained by two processes, as torchrun would start them.
@Suite("Processes", .serialized)
struct Processes {
    private static let flags =
        [
            "--channels", "4,8", "--latent", "3", "--batch", "17", "--deform-steps", "1",
            "--threads", "1",
            "--quiet",
        ].joined(separator: " ")

    /// Shell that makes of this process the one of rank `$rank`, as torchrun would; the port is below
    /// those that the system gives away.
    private static func becomeRank(_ port: Int = .random(in: 26_000...32_000)) -> String {
        "export RANK=$rank WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=\(port)"
    }

    @Test(
        "an environment that describes no run is one line, and a mistake in the command",
        arguments: [
            "RANK=0", "WORLD_SIZE=2", "WORLD_SIZE=many RANK=0", "WORLD_SIZE=2 RANK=2",
            "WORLD_SIZE=2 RANK=0 MASTER_ADDR=localhost MASTER_PORT=99999",
        ])
    func environment(variables: String) throws {
        let folder = try TemporaryFolder()
        let run = try Tool.shell(
            "\(variables) \"$latent\" train \"$1\" -o \"$2\" -q", TrainedModels.shapes, folder / "m"
        )
        #expect(run.status == 64, "\(run.errors)")
        #expect(run.errors.split(separator: "\n").count == 1 && run.errors.contains("torchrun"))
        #expect(!FileManager.default.fileExists(atPath: folder / "m"))
    }

    private func losses(_ path: String) throws -> [(training: Double, heldOut: Double)] {
        let record = try object(try Tool.run(["inspect", path, "--format", "json"]).output)
        let training = record["training"] as? [String: Any]
        let epochs = training?["epochs"] as? [[String: Any]] ?? []
        return epochs.map {
            ($0["trainingLoss"] as? Double ?? .nan, $0["heldOutLoss"] as? Double ?? .nan)
        }
    }

    @Test(
        "two processes give the losses of one, but for rounding",
        arguments: [
            "", "--likelihood bernoulli --objective iwae --importance-draws 3",
            "--layers 3 --free-nats 1 --balance weight", "--objective beta --capacity 5",
            "--for detection --deform-steps 0 --architecture conv --members 2",
        ])
    func agreement(options: String) throws {
        let folder = try TemporaryFolder()
        let flags = "\(Self.flags) --epochs 3 \(options)"
        let one = try Tool.shell(
            "\"$latent\" train \"$1\" -o \"$2\" \(flags)", TrainedModels.shapes, folder / "one")
        #expect(one.status == 0, "\(one.errors)")
        let two = try Tool.shell(
            """
            for rank in 1 0; do
                \(Self.becomeRank())
                "$latent" train "$1" -o "$2" \(flags) &
                last=$!
            done
            wait $last; first=$?
            wait; exit $first
            """, TrainedModels.shapes, folder / "two")
        #expect(two.status == 0, "\(two.errors)")
        #expect(two.output.isEmpty && two.errors.isEmpty, "\(two.errors)")
        let (expected, found) = (try losses(folder / "one"), try losses(folder / "two"))
        #expect(expected.count == 3 && found.count == 3)
        for (a, b) in zip(expected, found) {
            #expect(abs(a.training - b.training) < 1e-4 * max(1, abs(a.training)))
            #expect(abs(a.heldOut - b.heldOut) < 1e-4 * max(1, abs(a.heldOut)))
        }
    }

    @Test("when one process is killed the other ends with an error, and the run can be resumed")
    func lostProcess() throws {
        let folder = try TemporaryFolder()
        let flags = "\(Self.flags) --epochs 200 --patience 0 --checkpoint-interval 0"
        let run = try Tool.shell(
            """
            for rank in 1 0; do
                \(Self.becomeRank())
                "$latent" train "$1" -o "$2" \(flags) &
                [ $rank = 1 ] && victim=$! || last=$!
            done
            until [ -e "$2.checkpoint" ] || ! kill -0 $last 2> /dev/null; do :; done
            kill -9 $victim
            SECONDS=0
            wait $last; status=$?
            echo "ended after $SECONDS"
            exit $status
            """, TrainedModels.shapes, folder / "m")
        #expect(run.status == 70, "\(run.errors)")
        let seconds = Int(run.output.split(separator: " ").last?.dropLast() ?? "") ?? 1000
        #expect(seconds < 30)
        #expect(run.errorLines.count == 1, "\(run.errors)")
        #expect(run.errors.contains("another process") && run.errors.contains("--resume"))
        let resumed = try Tool.shell(
            "\"$latent\" train \"$1\" -o \"$2\" \(flags) --resume", TrainedModels.shapes,
            folder / "m")
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try losses(folder / "m").count == 200)
    }

    @Test("an objective of whole batches is refused in two processes")
    func coupled() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.shell(
            """
            for rank in 1 0; do
                \(Self.becomeRank())
                "$latent" train "$1" -o "$2" --objective mmd \(Self.flags) &
                last=$!
            done
            wait $last; status=$?
            wait; exit $status
            """, TrainedModels.shapes, folder / "m")
        #expect(run.status == 64)
        #expect(run.errors.contains("mmd"))
    }
}
