import Testing

@testable import Latent

@Suite("AugmentationAmount") struct AugmentationAmountTests {
    @Test("lists of classes are read, whatever their names hold")
    func counts() throws {
        func read(_ list: String, known: [String] = []) throws -> [String] {
            try AugmentationAmount.counts(in: list, known: known).map { "\($0.name):\($0.count)" }
        }
        #expect(try read("cat=100,dog=20") == ["cat:100", "dog:20"])
        #expect(try read("a,b=3") == ["a,b:3"])
        #expect(try read("a=b=3") == ["a=b:3"])
        #expect(try read("digit=3,speaker=theo=7") == ["digit:3", "speaker=theo:7"])
        let known = ["digit=3", "digit=3,speaker=theo", "digit=4,speaker=jo"]
        #expect(
            try read("digit=3,speaker=theo=7,digit=4,speaker=jo=2", known: known)
                == ["digit=3,speaker=theo:7", "digit=4,speaker=jo:2"])
        // A name that is known, but not meant.
        #expect(try read("digit=3,speaker=ann=7", known: known) == ["digit:3", "speaker=ann:7"])
        #expect(try read("né 猫=1") == ["né 猫:1"])
    }

    @Test(
        "what is no list of classes is refused",
        arguments: [
            "", "cat", "cat=", "=3", "cat=0", "cat=-1", "cat=1.5", "cat=1,", "cat=1,dog", ",=",
            "cat=99999999999999999999",
        ])
    func wrong(list: String) throws {
        let error = try #require(throws: LatentError.self) {
            try AugmentationAmount.counts(in: list, known: ["cat"])
        }
        #expect(error.code == .usage)
    }
}

@Suite("AugmentationPlan") struct AugmentationPlanTests {
    private static func plan(counts: [Int], parents: [Int]) throws -> AugmentationPlan {
        let items = (0..<parents.reduce(0, +)).map { Item.at("\($0).png") }
        var first = 0
        var groups: [AugmentationPlan.Group] = []
        for (index, (count, parentCount)) in zip(counts, parents).enumerated() {
            groups.append(
                .init(
                    count: count, parents: Array(first..<first + parentCount), labels: [index]))
            first += parentCount
        }
        return try AugmentationPlan(
            items: items, classes: items.map { _ in nil },
            labels: groups.indices.map { "\($0)" }, groups: groups,
            schedule: ParentSchedule(items, method: .posterior, seed: 4))
    }

    @Test("slots of a class follow each other, and empty classes have none")
    func slots() throws {
        let counts = [0, 3, 0, 2, 1, 0]
        let plan = try Self.plan(counts: counts, parents: [1, 2, 1, 5, 1, 1])
        let owners = counts.enumerated().flatMap { [Int](repeating: $0, count: $1) }
        #expect(plan.slotCount == 6)
        for (index, owner) in owners.enumerated() {
            let slot = plan.slot(index)
            #expect(slot.group.labels == [owner])
            #expect(slot.turn == index - counts[..<owner].reduce(0, +))
        }
        #expect(plan.shares(of: nil).compactMap { $0.label.map(Int.init) } == [1, 3, 4])
    }

    @Test("draws of a slot have parents of its class, numbers of their own, and are known again")
    func draws() throws {
        let plan = try Self.plan(counts: [4, 9], parents: [2, 3])
        var numbers: Set<Int> = []
        for index in 0..<13 {
            let slot = plan.slot(index)
            let own = Set(slot.group.parents.map { "\($0).png" })
            var seen: Set<String> = []
            for attempt in 0..<8 {
                let draw = plan.draw(attempt, of: slot)
                let path = try #require(draw.parents.first?.path)
                #expect(own.contains(path))
                seen.insert(path)
                #expect(attempt > 0 || draw.index == index)
                #expect(numbers.insert(draw.index).inserted)
                #expect(plan.isDraw(draw.index, ofSlot: index))
                #expect((0..<13).filter { plan.isDraw(draw.index, ofSlot: $0) } == [index])
            }
            #expect(seen == own)
        }
    }

    @Test(
        "further draws keep to the slot's class, come to all of it, and in the end to all classes")
    func classes() throws {
        // a, b, b, c, b, a in turn, by their first letters.
        let labels = [0, 1, 1, 2, 1, 0]
        let items = labels.enumerated().map { Item.at("\($1)-\($0).png", label: "\($1)") }
        let plan = try AugmentationPlan(
            items: items, classes: items.map(\.label), labels: ["0", "1", "2"],
            groups: [.init(count: 20, parents: Array(items.indices), labels: labels)],
            schedule: ParentSchedule(items, method: .posterior, seed: 4))
        for index in 0..<20 {
            let slot = plan.slot(index)
            let label = labels[index % 6]
            let first = (0..<AugmentationPlan.classAttemptLimit).compactMap {
                plan.draw($0, of: slot).parents.first
            }
            #expect(first.count == AugmentationPlan.classAttemptLimit)
            #expect(first[0].path == items[index % 6].path)
            #expect(first.allSatisfy { $0.label == "\(label)" })
            let own = Set(items.filter { $0.label == "\(label)" }.map(\.path))
            #expect(Set(first.prefix(own.count).map(\.path)) == own)
            let last = (0..<6).compactMap {
                plan.draw(AugmentationPlan.classAttemptLimit + $0, of: slot).parents.first?.path
            }
            #expect(Set(last) == Set(items.map(\.path)))
        }
    }

    @Test("parts have the places that are theirs", arguments: [1, 2, 5])
    func parts(count: Int) throws {
        var places: [Int] = []
        for number in 1...count {
            var shard = try #require(Shard(number: number, of: count))
            shard.groupSize = 4
            let own = (0..<shard.itemCount(of: 47)).map(shard.place)
            #expect(own == (0..<47).filter(shard.contains))
            places += own
        }
        #expect(places.sorted() == Array(0..<47))
    }
}
