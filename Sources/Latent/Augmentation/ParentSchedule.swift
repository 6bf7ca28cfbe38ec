import Torch

/// Which real items each draw starts from: decided by the seed, the draw's number and its turn.
struct ParentSchedule: Sendable {
    /// One draw: its number, its parents, and the random numbers that are its own.
    struct Draw: Sendable {
        let index: Int
        let parents: [Item]
        let generator: Generator
    }

    private let items: [Item]
    /// Indices of the items that draws may start from, shuffled.
    let order: [Int]
    private let classes: [String?]
    private let classmates: [String?: [Int]]
    private let method: LatentSampling
    private let seed: UInt64

    /// Shuffles the items.
    ///
    /// - Parameters:
    ///   - items: all real items
    ///   - classes: what items of a pair have in common; nil for their labels
    ///   - method: how many items a draw needs
    ///   - seed: of the order
    /// - Throws: ``LatentError`` `.usage` when there are too few
    init(
        _ items: [Item], classes: [String?]? = nil, method: LatentSampling, seed: UInt64
    ) throws(LatentError) {
        let classes = classes ?? items.map(\.label)
        var classmates: [String?: [Int]] = [:]
        for index in items.indices { classmates[classes[index], default: []].append(index) }
        var usable = Array(items.indices)
        if method.parentCount == 2 {
            usable = usable.filter { (classmates[classes[$0]]?.count ?? 0) >= 2 }
        }
        guard method.parentCount == 0 || !usable.isEmpty else {
            throw LatentError(
                .usage,
                items.isEmpty
                    ? "--method \(method.rawValue) starts from real items, and none were named"
                    : "no class has the two items that --method \(method.rawValue) needs",
                hint: "name files or folders after the options, or use --method prior")
        }
        var generator = Generator(seed: seed, Stream.parents.rawValue)
        usable.shuffle(using: &generator)
        if method.neighbourCount != nil {
            var counts: [String?: Int] = [:]
            usable = usable.filter {
                counts[classes[$0], default: 0] += 1
                return counts[classes[$0], default: 0] <= LatentNeighbours.classLimit
            }
        }
        self.items = items
        self.classes = classes
        order = usable
        self.classmates = classmates
        self.method = method
        self.seed = seed
    }

    /// The draw of a number; all parents come round in their shuffled order.
    func draw(_ index: Int) -> Draw { draw(index, turn: index, among: order) }

    /// The draw of a number, whose turn is that of one of some parents.
    private func draw(_ index: Int, turn: Int, among parents: [Int]) -> Draw {
        var generator = Generator(seed: seed, Stream.augmentation.rawValue, UInt64(index))
        var chosen: [Item] = []
        if method.parentCount >= 1 {
            let first = parents[turn % parents.count]
            chosen.append(items[first])
            // The others of smote and extrapolate are the nearest, which only the model knows.
            if method == .interpolate {
                chosen += [mate(of: first, using: &generator)].compactMap(\.self)
            }
        }
        return Draw(index: index, parents: chosen, generator: generator)
    }

    /// Another item of the same class; nil where there is none.
    private func mate(of index: Int, using generator: inout Generator) -> Item? {
        guard let group = classmates[classes[index]], group.count >= 2 else { return nil }
        let place = Int(generator.next() % UInt64(group.count - 1))
        // The item itself is stepped over; the group is in ascending order.
        return items[group[place] < index ? group[place] : group[place + 1]]
    }

    /// One of the draws that may become an item.
    ///
    /// Which they are depends on nothing but the item's place and the number of items: a part of the
    /// items comes out as it does among all. All parents come round.
    ///
    /// - Parameters:
    ///   - attempt: which of them, from 0
    ///   - slot: the item's place among all, which is the number of the first draw
    ///   - count: number of items
    ///   - turn: the draw's place in the round of parents
    ///   - parents: some of ``order``
    /// - Returns: a draw whose number no other has
    func draw(
        _ attempt: Int, ofSlot slot: Int, of count: Int, turn: Int, among parents: [Int]
    ) -> Draw {
        draw(slot + attempt * step(of: count), turn: turn, among: parents)
    }

    /// From the number of one draw of an item to that of its next: above all places, and one more than
    /// a multiple of the number of parents.
    func step(of count: Int) -> Int {
        let parentCount = max(1, order.count)
        return (count + parentCount - 1) / parentCount * parentCount + 1
    }
}
