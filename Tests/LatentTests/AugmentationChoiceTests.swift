import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Choosing how new files are made")
struct AugmentationChoiceTests {
    typealias Choice = AugmentationChoice

    private func gain(_ value: Double, _ margin: Double = 0.02) -> Choice.Gain {
        .init(value: value, low: value - margin, high: value + margin)
    }

    /// Rows of real, classic and others, of accuracies; each gain with the same margin.
    private func rows(_ accuracies: [Double], margin: Double = 0.02) -> [Choice.Row] {
        let ways: [Choice.Way] = [
            .real, .classic, .init(.deform), .init(.deform, "classic"), .init(.smote),
        ]
        return zip(ways, accuracies).map { way, accuracy in
            .init(
                way, balancedAccuracy: accuracy, overReal: gain(accuracy - accuracies[0], margin),
                overClassic: gain(accuracy - accuracies[1], margin))
        }
    }

    @Test(
        "the most accurate whose gain over the better of real and classic is above 0 is taken",
        arguments: [
            // Better than both.
            ([0.80, 0.84, 0.87, 0.88, 0.70], "deform, classic", Choice.Ground.better),
            // Better than real alone, and than classic within the margin.
            ([0.80, 0.84, 0.859, 0.85, 0.70], "classic", .classic),
            // Classic does harm: the floor is real.
            ([0.84, 0.80, 0.85, 0.84, 0.83], "real", .real),
            ([0.84, 0.80, 0.87, 0.84, 0.83], "deform", .better),
            // Equal ones: classic rather than none, the first of the others.
            ([0.84, 0.84, 0.84, 0.84, 0.84], "classic", .classic),
            ([0.80, 0.80, 0.85, 0.85, 0.85], "deform", .better),
            // Nothing else could be tried.
            ([0.80, 0.84], "classic", .classic),
        ])
    func rule(accuracies: [Double], name: String, ground: Choice.Ground) {
        let choice = Choice(rows: rows(accuracies))
        #expect(choice.chosen.name == name)
        #expect(choice.ground == ground)
        #expect(choice.chosenRow?.way == choice.chosen)
    }

    @Test("the luckier of two is not taken when only the other is sure")
    func doubt() {
        var rows = rows([0.80, 0.80, 0.86, 0.90])
        rows[3] = .init(
            rows[3].way, balancedAccuracy: 0.90, overReal: gain(0.10, 0.11),
            overClassic: gain(0.10, 0.11))
        #expect(Choice(rows: rows).chosen == .init(.deform))
    }

    @Test("a choice is read back as it was written")
    func coding() throws {
        let choice = Choice(rows: rows([0.8, 0.81, 1.0 / 3]), remarks: ["density: none"])
        let bytes = try JSONEncoder().encode(RunRecord(["seed": "0"], choice: choice))
        let read = try JSONDecoder().decode(RunRecord.self, from: bytes)
        #expect(read.choice == choice)
        // Records of runs that chose nothing are as they were.
        let plain = try JSONDecoder().decode(
            RunRecord.self, from: Data(#"{"settings":{"seed":"0"}}"#.utf8))
        #expect(plain == RunRecord(["seed": "0"]))
    }

    @Test("wider intervals of the same draws hold narrower ones")
    func levels() {
        let samples = (0...1000).map { Double($0) }
        let usual = DetectionEvaluation.ends(samples)
        #expect(abs((usual?.low ?? 0) - 25) < 1e-9 && abs((usual?.high ?? 0) - 975) < 1e-9)
        let wide = DetectionEvaluation.ends(samples, level: 0.99)
        #expect(abs((wide?.low ?? 0) - 5) < 1e-9 && abs((wide?.high ?? 0) - 995) < 1e-9)
    }

    // MARK: Trials

    /// Images of two classes, bright and dark, or of neither.
    private func items(
        _ count: Int, told: Bool, in folder: TemporaryFolder
    ) throws -> [Item] {
        try ["a", "b"].flatMap { label in
            try (0..<count).map { number in
                var generator = Generator(seed: 3, label == "a" ? 0 : 1, UInt64(number))
                let level: Float = told && label == "b" ? 0.6 : 0
                let image = Image(
                    planar: (0..<64).map { _ in level + 0.4 * generator.uniform() },
                    channelCount: 1, height: 8, width: 8, bitDepth: 8)
                let path = try folder.write(image.pngData(), to: "\(label)/\(number).png")
                return .at(path, label: label)
            }
        }
    }

    private func trial(
        seed: UInt64 = 0, model: VAE? = nil, stepCount: Int = 8
    ) throws -> AugmentationTrial {
        var drawing = Augmenter.Configuration(method: .posterior, count: 1)
        drawing.seed = seed
        var configuration = AugmentationTrial.Configuration()
        configuration.newCount = 4
        configuration.seedCount = 1
        configuration.stepCount = stepCount
        configuration.resampleCount = 200
        let source = try model.map { (file: try ModelFile.tiny($0, .whole()), model: $0) }
        return AugmentationTrial(
            source: source, drawing: drawing, domain: .image, configuration: configuration)
    }

    @Test("what real files alone tell leaves nothing to gain")
    func clear() throws {
        let folder = try TemporaryFolder()
        let items = try items(9, told: true, in: folder)
        let trial = try trial(stepCount: 20)
        var shares: [Double] = []
        let choice = try trial.choice(of: items, otherwise: .classic) { shares.append($0.share) }
        #expect(choice.chosen == .classic && choice.ground == .classic)
        #expect(choice.rows.map(\.way.name) == ["real", "classic", "classic,elastic"])
        #expect(choice.remarks.isEmpty)
        for row in choice.rows {
            #expect(row.balancedAccuracy == 1)
            #expect(row.overReal == .init(value: 0, low: 0, high: 0))
        }
        #expect(shares == shares.sorted() && shares.last == 1)
    }

    @Test("of a model is tried what it can draw, by itself and with classic transforms")
    func ways() throws {
        let model = try VAE(.tiny(), device: .cpu, seed: 8)
        let trial = try trial(model: model)
        #expect(
            trial.ways.map(\.name) == [
                "real", "classic", "classic,elastic", "posterior", "posterior, classic", "smote",
                "smote, classic",
            ])
        #expect(trial.trainingCount == 21)
    }

    @Test("labels without a meaning stay at chance, and nothing is said to help")
    func chance() throws {
        let folder = try TemporaryFolder()
        let items = try items(24, told: false, in: folder)
        let choice = try trial().choice(of: items, otherwise: .classic)
        // 48 files at 1/2: a deviation of 0.07.
        for row in choice.rows { #expect(abs(row.balancedAccuracy - 0.5) < 0.3) }
        #expect(choice.ground != .better)
        // The same seed chooses the same, of the same numbers.
        #expect(try trial().choice(of: items, otherwise: .classic) == choice)
        #expect(try trial(seed: 1).choice(of: items, otherwise: .classic) != choice)
    }

    @Test("where nothing can be tried, what is usual is taken, and why is said")
    func untried() throws {
        let folder = try TemporaryFolder()
        let items = try items(5, told: true, in: folder)
        let usual = Choice.Way(.posterior)
        func reason(_ items: [Item]) throws -> String {
            let choice = try trial().choice(of: items, otherwise: usual)
            #expect(choice.chosen == usual && choice.ground == .untried && choice.rows.isEmpty)
            return choice.remarks.joined()
        }
        let few = "class a has 5 different files that can be read, and 6 of each are needed"
        #expect(try reason(items) == few)
        // The same files again are no more.
        let copies = try items.map { item in
            let path = try folder.write(Data(at: item.path), to: "copy/\(item.path.hashValue).png")
            return Item.at(path, label: item.label)
        }
        #expect(try reason(items + copies) == few)
        #expect(try reason(items.filter { $0.label == "a" }) == "the files are of one class")
        #expect(try reason(items + [.at(items[0].path)]) == "1 of 11 files have no class")
    }

    @Test("what a model cannot make is left out, and why is said")
    func left() throws {
        let folder = try TemporaryFolder()
        let items = try items(6, told: true, in: folder)
        // A model that was not trained draws much the same for all.
        var drawing = Augmenter.Configuration(method: .posterior, count: 1)
        drawing.filters = try #require(Filters("duplicates=0.5"))
        var configuration = AugmentationTrial.Configuration()
        configuration.newCount = 16
        configuration.seedCount = 1
        configuration.stepCount = 2
        configuration.resampleCount = 20
        let model = try VAE(.tiny(), device: .cpu, seed: 8)
        let trial = AugmentationTrial(
            source: (try ModelFile.tiny(model, .whole()), model), drawing: drawing,
            domain: .image, configuration: configuration)
        let choice = try trial.choice(of: items, otherwise: .classic)
        #expect(choice.rows.map(\.way.name).prefix(3) == ["real", "classic", "classic,elastic"])
        #expect(choice.rows.count + choice.remarks.count == 7)
        for remark in choice.remarks { #expect(remark.contains("was let through")) }
        #expect(!choice.remarks.isEmpty)
    }
}
