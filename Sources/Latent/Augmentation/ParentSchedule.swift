import Torch

/// Which real items each draw starts from: decided by the seed and the draw's number alone.
struct ParentSchedule: Sendable {
    /// One draw: its number, its parents, and the random numbers that are its own.
    struct Draw: Sendable {
        let index: Int
        let parents: [Item]
        let generator: Generator
    }

    private let items: [Item]
    private let order: [Int]
    private let classmates: [String?: [Int]]
    private let method: LatentSampling
    private let seed: UInt64

    init(_ items: [Item], method: LatentSampling, seed: UInt64) throws(LatentError) {
        var classmates: [String?: [Int]] = [:]
        for (index, item) in items.enumerated() {
            classmates[item.label, default: []].append(index)
        }
        var usable = Array(items.indices)
        if method == .interpolate {
            usable = usable.filter { (classmates[items[$0].label]?.count ?? 0) >= 2 }
        }
        guard method.parentCount == 0 || !usable.isEmpty else {
            throw LatentError(
                .usage,
                items.isEmpty
                    ? "--method \(method.rawValue) starts from real items, and none were named"
                    : "no class has the two items that --method interpolate needs",
                hint: "name files or folders after the options, or use --method prior")
        }
        var generator = Generator(seed: seed, Stream.parents.rawValue)
        usable.shuffle(using: &generator)
        self.items = items
        order = usable
        self.classmates = classmates
        self.method = method
        self.seed = seed
    }

    /// The draw of a number; parents come round in a shuffled order.
    func draw(_ index: Int) -> Draw {
        var generator = Generator(seed: seed, Stream.augmentation.rawValue, UInt64(index))
        var parents: [Item] = []
        if method.parentCount >= 1 {
            let first = order[index % order.count]
            parents.append(items[first])
            if method.parentCount == 2, let group = classmates[items[first].label] {
                let others = group.filter { $0 != first }
                parents.append(items[others[Int(generator.next() % UInt64(others.count))]])
            }
        }
        return Draw(index: index, parents: parents, generator: generator)
    }

    /// The draws that may become an item, of which the first with parents that can be read does.
    ///
    /// Which they are depends on nothing but the item's place and the number of items: a part of the
    /// items comes out as it does among all. Their parents are all there are, twice.
    func draws(slot: Int, of count: Int) -> some Sequence<Draw> {
        // Above all places, and one more than a multiple of the number of parents.
        let parentCount = max(1, order.count)
        let step = (count + parentCount - 1) / parentCount * parentCount + 1
        return (0..<2 * parentCount).lazy.map { draw(slot + $0 * step) }
    }
}
