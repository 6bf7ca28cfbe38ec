import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("TrainingRun") struct TrainingRunTests {
    private let folder = try! TemporaryFolder()

    init() { _ = Runtime.threadCount }

    /// Forty discs at 8 × 8: 32 to fit to, in 4 steps an epoch.
    private static func request(_ likelihood: LikelihoodKind = .gaussian) -> TrainingRequest {
        var request = TrainingRequest()
        request.purpose = .augmentation
        request.architecture = .mlp
        request.widths = [16]
        request.latentCount = 3
        request.likelihood = likelihood
        request.windowSize = (height: 8, width: 8)
        request.epochCount = 5
        request.batchSize = 8
        request.drawCount = 2
        request.patience = 0
        request.deformationStepCount = 2
        return request
    }

    /// Trains on the discs; `stops` asks for an interruption after so many steps.
    @discardableResult
    private func train(
        _ request: TrainingRequest, as name: String, stops: Int = .max, resumes: Bool = false,
        interval: Double = 1e9, onStep: @escaping (Int) -> Void = { _ in }
    ) throws -> ModelFile {
        var environment = TrainingRun.Environment(output: folder / name)
        environment.resumes = resumes
        environment.checkpointInterval = interval
        var steps = 0
        environment.shouldStop = { steps >= stops }
        let file = try TrainingRun(request, environment: environment) { event in
            if case .training(.step) = event {
                steps += 1
                onStep(steps)
            }
        }(fixtureItems("images/shapes/disc", .image), domain: .image)
        return try #require(file)
    }

    private func bytes(_ name: String) throws -> Data { try Data(at: folder / name) }

    @Test(
        "the held-out loss falls, and the record tells how",
        arguments: [LikelihoodKind.bernoulli, .gaussian, .gaussianPerElement])
    func learning(likelihood: LikelihoodKind) throws {
        var request = Self.request(likelihood)
        request.epochCount = 12
        request.learningRate = 1e-2
        let file = try train(request, as: "m")
        let training = file.record.training
        let first = try #require(training.epochs.first?.heldOutLoss)
        let best = try #require(training.epochs.prefix(12).compactMap(\.heldOutLoss).min())
        #expect(best < first - 1)
        #expect(training.epochs.map(\.epoch) == Array(1...training.epochs.count))
        #expect(training.epochs.count == (likelihood == .gaussianPerElement ? 15 : 12))
        #expect(
            training.trainingItemCount + training.heldOutItemCount + training.calibrationItemCount
                == 40)
        #expect(file.record.calibration.scores(.mse).count == training.calibrationItemCount)
        #expect(try ModelFile.read(folder / "m").file.record == file.record)
        #expect(!FileManager.default.fileExists(atPath: folder / "m.checkpoint"))
    }

    @Test("the kept weights are those of the best held-out epoch")
    func bestEpoch() throws {
        let training = try train(Self.request(), as: "m").record.training
        let losses = training.epochs.map { $0.heldOutLoss ?? .infinity }
        let best = try #require(losses.indices.min { losses[$0] < losses[$1] })
        #expect(training.bestEpoch == best + 1)
    }

    @Test("equal seeds give equal files, to the byte; another seed another model")
    func seeds() throws {
        try train(Self.request(), as: "a")
        try train(Self.request(), as: "b")
        #expect(try bytes("a") == bytes("b"))
        var request = Self.request()
        request.seed = 1
        let other = try train(request, as: "c")
        #expect(try other.weights != ModelFile.read(folder / "a").file.weights)
    }

    @Test("checkpoints on the way change nothing")
    func checkpoints() throws {
        try train(Self.request(.gaussianPerElement), as: "a")
        var seen = 0
        try train(Self.request(.gaussianPerElement), as: "b", interval: 0) { _ in
            if FileManager.default.fileExists(atPath: folder / "b.checkpoint") { seen += 1 }
        }
        #expect(seen > 20)
        #expect(try bytes("a") == bytes("b"))
    }

    /// 5 epochs of 4 steps fit the bound, 3 the variances.
    @Test(
        "a run that is stopped and resumed gives the uninterrupted one's file, to the byte",
        arguments: [LikelihoodKind.gaussian, .gaussianPerElement])
    func resuming(likelihood: LikelihoodKind) throws {
        let request = Self.request(likelihood)
        var total = 0
        try train(request, as: "whole") { total = $0 }
        #expect(total == (likelihood == .gaussianPerElement ? 32 : 20))
        let stops =
            likelihood == .gaussianPerElement ? [1, 20, 21, 24, 31, 32] : [1, 4, 7, 19, 20]
        for stop in stops {
            let error = try #require(throws: LatentError.self) {
                try train(request, as: "part", stops: stop)
            }
            #expect(error.code == .interrupted)
            #expect(FileManager.default.fileExists(atPath: folder / "part.checkpoint"))
            var rest = 0
            try train(request, as: "part", resumes: true) { rest = $0 }
            #expect(rest == total - stop)
            #expect(try bytes("part") == bytes("whole"), "stopped after \(stop) steps")
            try FileManager.default.removeItem(atPath: folder / "part")
        }
    }

    /// Members of the family with state of their own, or with noise of another shape.
    private static let members: [(String, @Sendable (inout TrainingRequest) -> Void)] = [
        (
            "detection",
            {
                $0.purpose = .detection
                $0.deformationStepCount = nil
                $0.windowSize = nil
                $0.viewNames = ["gradients", "smooth"]
            }
        ),
        ("vamp", { $0.objective = ObjectiveConfiguration(.vamp) }),
        ("iwae", { $0.objective = ObjectiveConfiguration(.iwae) }),
        ("mmd", { $0.objective = ObjectiveConfiguration(.mmd) }),
        (
            "hierarchical",
            {
                $0.architecture = .resnet
                $0.widths = [2, 2]
                $0.layerCount = 3
            }
        ),
        ("last weights", { $0.averageDecay = 0 }),
        ("bfloat16", { $0.precision = .bfloat16 }),
        ("float32", { $0.precision = .float32 }),
        ("no variation", { $0.augmentation = .off }),
    ]

    @Test("every member of the family resumes to the byte", arguments: members.map(\.0))
    func resumingMembers(name: String) throws {
        var request = Self.request()
        try #require(Self.members.first { $0.0 == name }).1(&request)
        try train(request, as: "whole")
        // The last is in the second of two views.
        for stop in name == "detection" ? [3, 9, 27] : [3, 9] {
            _ = try #require(throws: LatentError.self) {
                try train(request, as: "part", stops: stop)
            }
            try train(request, as: "part", resumes: true)
            #expect(try bytes("part") == bytes("whole"), "stopped after \(stop) steps")
            try FileManager.default.removeItem(atPath: folder / "part")
        }
    }

    @Test("a conditional, balanced run resumes to the byte, and sees small classes more often")
    func balancedConditional() throws {
        let items = try fixtureItems("images/shapes", .image)
        let few = items.filter { $0.label == "disc" }.prefix(4)
        let uneven = (few + items.filter { $0.label == "square" }).map {
            Item(
                path: $0.path, relativePath: $0.relativePath, label: $0.label, split: nil,
                attributes: [$0.label])
        }
        var request = Self.request()
        request.conditionNames = [Item.className]
        request.balance = .resample
        func run(_ name: String, stops: Int = .max, resumes: Bool = false) throws {
            var environment = TrainingRun.Environment(output: folder / name)
            environment.resumes = resumes
            var steps = 0
            environment.shouldStop = { steps >= stops }
            _ = try TrainingRun(request, environment: environment) { event in
                if case .training(.step) = event { steps += 1 }
            }(uneven, domain: .image)
        }
        try run("whole")
        _ = try #require(throws: LatentError.self) { try run("part", stops: 6) }
        try run("part", resumes: true)
        #expect(try bytes("part") == bytes("whole"))

        let survey = Survey(of: uneven, domain: .image, threadCount: 1) { _, _ in }
        let source = try WindowSource(
            survey.items, preprocessing: .whole(), threadCount: 1, conditioning: nil)
        let pass = source.batches(
            shuffledBy: Generator(seed: 2), batchSize: 8, balanced: true)
        var counts: [String?: Int] = [:]
        while let batch = try pass.next() {
            for item in batch.items { counts[survey.items[item].item.label, default: 0] += 1 }
        }
        #expect(counts == ["disc": 22, "square": 22])
        #expect(abs(source.balanceWeight(0) / source.balanceWeight(43) - 10) < 1e-4)
    }

    @Test("a run that is stopped while files are read writes nothing")
    func stoppingEarly() throws {
        let error = try #require(throws: LatentError.self) {
            try train(Self.request(), as: "m", stops: 0)
        }
        #expect(error.code == .interrupted)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test("a run may be stopped again and again")
    func stoppingOften() throws {
        let request = Self.request(.gaussianPerElement)
        try train(request, as: "whole")
        var stops = 0
        while !FileManager.default.fileExists(atPath: folder / "part"), stops < 20 {
            stops += 1
            _ = try? train(request, as: "part", stops: 5, resumes: true, interval: 0)
        }
        #expect(stops == 7)
        #expect(try bytes("part") == bytes("whole"))
    }

    @Test("a run that stopped early stays stopped when it is resumed")
    func earlyStop() throws {
        var request = Self.request(.gaussianPerElement)
        request.epochCount = 30
        request.patience = 1
        request.learningRate = 0.05
        var total = 0
        let whole = try train(request, as: "whole") { total = $0 }
        // Seven epochs of variances would follow thirty of the bound.
        #expect(whole.record.training.epochs.count < 37)
        for stop in [3, total / 2, total - 1] {
            #expect(throws: LatentError.self) { try train(request, as: "part", stops: stop) }
            try train(request, as: "part", resumes: true)
            #expect(try bytes("part") == bytes("whole"))
            try FileManager.default.removeItem(atPath: folder / "part")
        }
    }

    @Test("a checkpoint of other settings or data is refused, and a broken one too")
    func otherRuns() throws {
        _ = try? train(Self.request(), as: "m", stops: 3)
        for change: (inout TrainingRequest) -> Void in [
            { $0.seed = 5 }, { $0.latentCount = 4 }, { $0.learningRate = 1e-4 },
            { $0.windowSize = (height: 8, width: 10) },
        ] {
            var request = Self.request()
            change(&request)
            let error = try #require(throws: LatentError.self) {
                try train(request, as: "m", resumes: true)
            }
            #expect(error.code == .usage && error.path == folder / "m.checkpoint")
        }
        var damaged = try bytes("m.checkpoint")
        damaged[damaged.count - 3] ^= 4
        try folder.write(damaged, to: "m.checkpoint")
        let error = try #require(throws: LatentError.self) {
            try train(Self.request(), as: "m", resumes: true)
        }
        #expect(error.code == .model)
    }

    @Test("resuming without a checkpoint starts from the beginning")
    func nothingToResume() throws {
        try train(Self.request(), as: "a", resumes: true)
        try train(Self.request(), as: "b")
        #expect(try bytes("a") == bytes("b"))
    }

    @Test("a learning rate beyond reason is reported as divergence")
    func divergence() throws {
        var request = Self.request()
        request.learningRate = 1e30
        let error = try #require(throws: LatentError.self) { try train(request, as: "m") }
        #expect(error.code == .diverged)
        #expect(error.description.contains("1e+30") && error.description.contains("epoch"))
        #expect(!FileManager.default.fileExists(atPath: folder / "m"))
    }

    /// What overflows on the way, and is caught: the step is far too large, but not beyond mending.
    private static func steep(_ learningRate: Double) -> TrainingRequest {
        var request = Self.request()
        request.epochCount = 100
        request.learningRate = learningRate
        return request
    }

    /// Trains, and gives the reasons for returns to the last good state.
    private func returns(_ request: TrainingRequest, as name: String) throws -> [String] {
        var reasons: [String] = []
        let run = TrainingRun(request, environment: .init(output: folder / name)) { event in
            if case .training(.rolledBack(let reason, _, _)) = event { reasons.append(reason) }
        }
        _ = try run(fixtureItems("images/shapes/disc", .image), domain: .image)
        return reasons
    }

    @Test("numbers that overflow lead back to the last good state with half the step")
    func rollback() throws {
        // Which step overflows first depends on the processor: one of these does and ends well.
        let rate = try #require(
            [3e4, 1e5, 3e5].first { rate in
                let reasons = try? returns(Self.steep(rate), as: "m-\(rate)")
                return reasons?.isEmpty == false
            })
        let whole = try bytes("m-\(rate)")
        let record = try ModelFile.read(folder / "m-\(rate)").file.record
        #expect(record.training.epochs.count == 100)
        #expect(record.training.epochs.map(\.epoch) == Array(1...100))
        // Stopped and resumed on the way, the returns included.
        var stops = 0
        for steps in [30, 90, 200, Int.max] {
            do {
                try train(Self.steep(rate), as: "parts", stops: steps, resumes: true)
            } catch let error as LatentError where error.code == .interrupted {
                stops += 1
            }
        }
        #expect(stops >= 2)
        #expect(try bytes("parts") == whole)
    }

    @Test("a run that cannot be mended ends as diverged, with the model of its best epoch saved")
    func givingUp() throws {
        var given: LatentError?
        for rate in [1e6, 5e6, 3e6, 1e7] where given == nil {
            do {
                _ = try returns(Self.steep(rate), as: "m")
                try FileManager.default.removeItem(atPath: folder / "m")
            } catch let failure as LatentError where failure.message.contains("was saved") {
                given = failure
            } catch {
                // Not even an epoch was good, which is another test's.
            }
        }
        let error = try #require(given)
        #expect(error.code == .diverged)
        #expect(error.message.contains("5 returns to the last good state"))
        let record = try ModelFile.read(folder / "m").file.record
        #expect(error.message.contains("the model of epoch \(record.training.bestEpoch) "))
    }

    @Test("too few readable files are an error with both numbers")
    func tooFewFiles() throws {
        let items =
            try fixtureItems("images/shapes/disc", .image).prefix(8)
            + [.at(Fixtures.path("broken/crc.png")), .at(folder / "missing.png")]
        var failures: [String] = []
        let error = try #require(throws: LatentError.self) {
            try TrainingRun(Self.request(), environment: .init(output: folder / "m")) { event in
                if case .failure(let failure) = event { failures.append(failure.item.path) }
            }(items, domain: .image)
        }
        #expect(error.code == .data)
        #expect(error.message.contains("8 readable") && error.message.contains("10"))
        #expect(error.message.contains("2 that cannot be read"))
        #expect(failures == items.suffix(2).map(\.path))
    }

    @Test("unreadable files are left out and counted, or end the run where that is asked for")
    func badFiles() throws {
        let items =
            [.at(Fixtures.path("broken/crc.png"))]
            + (try fixtureItems("images/shapes/disc", .image))
        var environment = TrainingRun.Environment(output: folder / "m")
        let file = try #require(
            try TrainingRun(Self.request(), environment: environment) { _ in }(
                items, domain: .image))
        #expect(file.record.training.unreadableItemCount == 1)
        try train(Self.request(), as: "clean")
        #expect(try ModelFile.read(folder / "clean").file.weights == file.weights)
        environment.failsOnBadFile = true
        let error = try #require(throws: LatentError.self) {
            try TrainingRun(Self.request(), environment: environment) { _ in }(
                items, domain: .image)
        }
        #expect(error.code == .data && error.path == Fixtures.path("broken/crc.png"))
    }

    @Test("neither the order of the files nor their names change what is learned, but for labels")
    func orderOfFiles() throws {
        let items = try fixtureItems("images/shapes/disc", .image)
        let file = try #require(
            try TrainingRun(Self.request(), environment: .init(output: folder / "m")) { _ in }(
                items, domain: .image))
        let moved = try folder.makeFolder("elsewhere")
        for item in items {
            try folder.copy(item.path, as: "elsewhere/x-\(item.relativePath)")
        }
        let other = try #require(
            try TrainingRun(Self.request(), environment: .init(output: folder / "n")) { _ in }(
                Inputs([moved], domain: .image), domain: .image))
        #expect(other.weights == file.weights)
        #expect(other.record.calibration == file.record.calibration)
        #expect(
            other.record.training.dataFingerprint == file.record.training.dataFingerprint)
    }

    @Test("recordings are learned from with the same verbs")
    func recordings() throws {
        var request = Self.request()
        request.windowSize = nil
        request.melCount = 16
        let items = try fixtureItems("audio/sounds/tone", .audio)
        let file = try #require(
            try TrainingRun(request, environment: .init(output: folder / "m")) { _ in }(
                items, domain: .audio))
        #expect(file.record.preprocessing.viewName == "log-mel")
        #expect(file.record.configuration.height == 16)
        #expect(file.record.outputReferenceLevel?.isFinite == true)
        #expect(file.record.outputSize == nil)
        let losses = file.record.training.epochs.compactMap(\.heldOutLoss)
        #expect(try #require(losses.last) < losses[0])
    }

    @Test("shares that leave nothing to train on are an error")
    func nothingLeft() throws {
        var request = Self.request()
        request.heldOutShare = 0.6
        request.calibrationShare = 0.6
        let error = try #require(throws: LatentError.self) { try train(request, as: "m") }
        #expect(error.code == .usage && error.message.contains("40"))
    }
}
