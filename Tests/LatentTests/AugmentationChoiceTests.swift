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

    private static let ways: [Choice.Way] = [
        .real, .classic, .init(.transform, "classic,elastic"), .init(.deform),
        .init(.deform, "classic"),
    ]

    /// The choice among real, classic, elastic and others, of accuracies; each gain with the same margin.
    private func choice(_ accuracies: [Double], margin: Double = 0.02) -> Choice {
        let place = Choice.floor(of: Array(zip(Self.ways, accuracies)))
        return Choice(
            rows: zip(Self.ways, accuracies).map { way, accuracy in
                .init(
                    way, balancedAccuracy: accuracy,
                    overReal: gain(accuracy - accuracies[0], margin),
                    overFloor: gain(accuracy - accuracies[place], margin))
            }, floor: Self.ways[place])
    }

    @Test(
        "of what a model draws the most accurate whose gain is above 0 is taken, else the floor",
        arguments: [
            // Better than all without a model.
            ([0.80, 0.84, 0.83, 0.87, 0.88], "deform, classic", Choice.Ground.better),
            // Better than real alone, and than classic within the margin.
            ([0.80, 0.84, 0.83, 0.859, 0.85], "classic", .transforms),
            // Of transforms, the most accurate.
            ([0.80, 0.84, 0.85, 0.83, 0.86], "classic,elastic", .transforms),
            // Transforms do harm: the floor is real.
            ([0.84, 0.80, 0.83, 0.85, 0.84], "real", .real),
            ([0.84, 0.80, 0.79, 0.87, 0.84], "deform", .better),
            // Equal ones: transforms rather than none, and the first of them.
            ([0.84, 0.84, 0.84, 0.84, 0.84], "classic", .transforms),
            ([0.80, 0.80, 0.80, 0.85, 0.85], "deform", .better),
            // Nothing else could be tried.
            ([0.80, 0.84], "classic", .transforms),
        ])
    func rule(accuracies: [Double], name: String, ground: Choice.Ground) {
        let choice = choice(accuracies)
        #expect(choice.chosen.name == name)
        #expect(choice.ground == ground)
        #expect(choice.chosenRow?.way == choice.chosen)
    }

    @Test("the luckier of two is not taken when only the other is sure")
    func doubt() {
        var rows = choice([0.80, 0.80, 0.80, 0.86, 0.90]).rows
        rows[4] = .init(
            rows[4].way, balancedAccuracy: 0.90, overReal: gain(0.10, 0.11),
            overFloor: gain(0.10, 0.11))
        #expect(Choice(rows: rows, floor: .classic).chosen == .init(.deform))
    }

    @Test("no more files than were best are made, of each class in proportion")
    func amounts() {
        typealias Amount = AugmentationAmount
        #expect(Amount.total(500).limited(to: 4, of: 100, from: 500) == .total(400))
        #expect(Amount.perClass(50).limited(to: 1, of: 100, from: 500) == .perClass(10))
        #expect(Amount.multiple(9).limited(to: 4, of: 100, from: 900) == .multiple(4))
        // Fewer were asked for, or none at all of some class.
        #expect(Amount.total(300).limited(to: 4, of: 100, from: 300) == .total(300))
        #expect(Amount.perClass(50).limited(to: 1, of: 1, from: 500) == .perClass(1))
        // Who says how many of which class there are to be gets them.
        #expect(Amount.fill(to: 50).limited(to: 1, of: 10, from: 500) == .fill(to: 50))
        #expect(Amount.counts(["a=9"]).limited(to: 1, of: 2, from: 9) == .counts(["a=9"]))
        #expect(!Amount.fill(to: nil).isLimit && Amount.total(1).isLimit)
        #expect(Choice.Way(.deform, "classic", ratio: 4).name == "deform, classic, 4 for each")
    }

    @Test("a choice is read back as it was written")
    func coding() throws {
        let rows = choice([0.8, 0.81, 1.0 / 3]).rows
        let choice = Choice(
            rows: rows, floor: .classic.with(ratio: 4), remarks: ["density: none"])
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
        seed: UInt64 = 0, model: VAE? = nil, stepCount: Int = 8,
        amount: AugmentationAmount = .total(8)
    ) throws -> AugmentationTrial {
        var drawing = Augmenter.Configuration(method: .posterior, amount: amount)
        drawing.seed = seed
        var configuration = AugmentationTrial.Configuration()
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
        let choice = try trial.choice(of: items, request: .init(count: 8), otherwise: .classic) {
            shares.append($0.share)
        }
        #expect(choice.chosen == .classic && choice.ground == .transforms)
        #expect(choice.floor == .classic)
        #expect(choice.rows.map(\.way.name) == ["real", "classic", "classic,elastic"])
        #expect(choice.remarks.count == 2)
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
                "real", "classic", "classic,elastic", "rotate,scale,shift=0.075",
                "rotate,scale,shift=0.075,elastic", "posterior", "posterior, classic", "smote",
                "smote, classic",
            ])
        // All of them on the first part, real files and two each of transforms and the model's on two more,
        // and two leaders with two more numbers of files on three.
        #expect(trial.trainingCount == 9 + 5 * 2 + 2 * 2 * 3)
        #expect(
            try self.trial(model: model, amount: .fill(to: 9)).trainingCount == 9 + 5 * 2)
    }

    @Test("of many files that are asked for, fewer are tried too, with the leaders alone")
    func ratios() throws {
        let folder = try TemporaryFolder()
        let items = try items(12, told: true, in: folder)
        var shares: [Double] = []
        func names(_ count: Int, _ amount: AugmentationAmount) throws -> [String] {
            shares = []
            return try trial(model: VAE(.tiny(), device: .cpu, seed: 8), amount: amount).choice(
                of: items, request: .init(count: count), otherwise: .classic
            ) { shares.append($0.share) }.rows.map(\.way.name)
        }
        // As many as there are of real ones: no other number.
        let one = try names(24, .total(24))
        #expect(one.allSatisfy { !$0.contains("each") } && one.count == 5)
        let some = try names(24 * 4, .perClass(48))
        #expect(some.contains("real") && (1...2).contains(some.count { $0.contains("1 for each") }))
        #expect(shares == shares.sorted() && shares.last == 1)
        // The model's two with 4 for each, the leaders with all three; 10 stand for all that are asked for.
        let many = try names(24 * 40, .multiple(40))
        #expect(many.first == "real" && many.contains { $0.hasSuffix("1 for each") })
        #expect(many.count { $0.hasSuffix("4 for each") } == 3)
        #expect(many.contains { $0 != "real" && !$0.contains("each") })
        #expect(shares == shares.sorted() && shares.last == 1)
        // Who fills up classes gets what they lack.
        #expect(try names(24 * 40, .fill(to: nil)).allSatisfy { !$0.contains("each") })
    }

    @Test("of transforms, and of what a model draws, the most accurate on the first part go on")
    func givenUp() throws {
        let folder = try TemporaryFolder()
        let items = try items(6, told: true, in: folder)
        let choice = try trial(model: VAE(.tiny(), device: .cpu, seed: 8)).choice(
            of: items, request: .init(count: 8), otherwise: .classic)
        #expect(choice.rows.count == 5 && choice.remarks.count == 4)
        #expect(choice.rows.count { $0.way.drawsFromModel } == 2)
        for remark in choice.remarks {
            #expect(remark.contains("given up after the first of 3 parts, with "))
        }
    }

    // MARK: Parts

    @Test("parts hold of each class as many, or whole groups")
    func parts() {
        let labels = (0..<30).map { ["a", "b", "c"][$0 % 3] }
        let plain = TrialParts(labels: labels, groups: nil, count: 3)
        for part in 0..<3 {
            let left = plain.places(part, isLeftOut: true)
            #expect(Set(left).isDisjoint(with: plain.places(part, isLeftOut: false)))
            for label in ["a", "b", "c"] {
                #expect((3...4).contains(left.count { labels[$0] == label }))
            }
        }
        // Six speakers of each class: two in each part, none in two.
        let speakers = (0..<30).map { $0 / 3 % 6 }
        let grouped = TrialParts(labels: labels, groups: speakers, count: 3)
        #expect(grouped.count == 3)
        for speaker in 0..<6 {
            let places = speakers.indices.filter { speakers[$0] == speaker }
            #expect(Set(places.map { grouped.parts[$0] }).count == 1)
        }
        for part in 0..<3 {
            #expect(
                Set(grouped.places(part, isLeftOut: true).map { speakers[$0] }).count == 2)
        }
        #expect(grouped.lack(of: ["a", "b", "c"]) == nil)
        // A class whose files are of few groups is in two parts for all that.
        let rare = (0..<24).map { $0 < 6 ? "a" : "b" }
        let two = TrialParts(
            labels: rare, groups: (0..<24).map { $0 % 6 / 3 + $0 / 6 * 2 }, count: 3)
        #expect(two.lack(of: ["a", "b"]) == nil)
    }

    @Test("groups that cannot be left out are said")
    func fewGroups() throws {
        func lack(_ labels: [String], _ groups: [Int]) -> String? {
            TrialParts(labels: labels, groups: groups, count: 3).lack(of: Set(labels).sorted())
        }
        let labels = (0..<24).map { $0 < 12 ? "a" : "b" }
        #expect(lack(labels, labels.map { _ in 0 }) == "the files are of one group")
        #expect(
            lack(labels, (0..<24).map { $0 < 12 ? 0 : $0 % 3 })
                == "files of class a are of too few groups")
        #expect(lack(labels, (0..<24).map { $0 % 2 }) == nil)
        let item = Item(
            path: "a/1.png", relativePath: "1.png", label: "a", split: nil, attributes: [nil])
        #expect(throws: LatentError.self) { try TrialParts.groups(of: [item], at: 0) }
    }

    @Test("what only the group tells is no gain where groups are left out whole")
    func groups() throws {
        // A pattern of its own for each group, whatever the class: a group that is known says the class.
        let folder = try TemporaryFolder()
        var items: [Item] = []
        for group in 0..<6 {
            var patterns = Generator(seed: 5, UInt64(group))
            let pattern = (0..<64).map { _ in patterns.uniform() }
            for number in 0..<8 {
                var generator = Generator(seed: 6, UInt64(group), UInt64(number))
                let image = Image(
                    planar: pattern.map { 0.8 * $0 + 0.2 * generator.uniform() },
                    channelCount: 1, height: 8, width: 8, bitDepth: 8)
                let path = try folder.write(image.pngData(), to: "\(group)-\(number).png")
                items.append(
                    Item(
                        path: path, relativePath: path, label: group % 2 == 0 ? "a" : "b",
                        split: nil, attributes: ["\(group)"]))
            }
        }
        let trial = try trial(stepCount: 24)
        func real(_ index: Int?) throws -> Choice.Row? {
            try trial.choice(
                of: items, request: .init(count: 8, groupIndex: index), otherwise: .classic
            ).rows.first
        }
        let known = try #require(try real(nil))
        let unknown = try #require(try real(0))
        #expect(known.balancedAccuracy > 0.95)
        #expect(unknown.balancedAccuracy < 0.8)
    }

    @Test("labels without a meaning stay at chance, and nothing is said to help")
    func chance() throws {
        let folder = try TemporaryFolder()
        let items = try items(24, told: false, in: folder)
        func tried(_ seed: UInt64) throws -> Choice {
            let model = try VAE(.tiny(), device: .cpu, seed: 8)
            return try trial(seed: seed, model: model).choice(
                of: items, request: .init(count: 48), otherwise: .classic)
        }
        let choice = try tried(0)
        // 48 files at 1/2: a deviation of 0.07.
        for row in choice.rows { #expect(abs(row.balancedAccuracy - 0.5) < 0.3) }
        #expect(choice.ground != .better)
        // The same seed chooses the same, of the same numbers.
        #expect(try tried(0) == choice)
        #expect(try tried(1) != choice)
    }

    @Test("where nothing can be tried, what is usual is taken, and why is said")
    func untried() throws {
        let folder = try TemporaryFolder()
        let items = try items(5, told: true, in: folder)
        let usual = Choice.Way(.posterior)
        func reason(_ items: [Item]) throws -> String {
            let choice = try trial().choice(
                of: items, request: .init(count: 8), otherwise: usual)
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
        configuration.ratios = [10]
        configuration.seedCount = 1
        configuration.stepCount = 2
        configuration.resampleCount = 20
        let model = try VAE(.tiny(), device: .cpu, seed: 8)
        let trial = AugmentationTrial(
            source: (try ModelFile.tiny(model, .whole()), model), drawing: drawing,
            domain: .image, configuration: configuration)
        let choice = try trial.choice(
            of: items, request: .init(count: 96), otherwise: .classic)
        #expect(choice.rows.first?.way == .real)
        #expect(choice.rows.count { $0.way.method == .transform } == 2)
        #expect(choice.rows.count + choice.remarks.count == 9)
        #expect(choice.remarks.contains { $0.contains("not tried: ") })
        for remark in choice.remarks {
            #expect(remark.contains("was let through") || remark.contains("given up"))
        }
    }
}
