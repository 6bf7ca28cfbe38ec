import Testing

@testable import Latent

@Suite("Shards of a run")
struct ShardTests {
    @Test("parts are disjoint and together complete", arguments: [1, 3, 32], [1, 2, 7, 8])
    func partition(groupSize: Int, count: Int) throws {
        for total in [0, 1, 31, 32, 33, 256, 1000] {
            var owners = [Int](repeating: 0, count: total)
            for number in 1...count {
                var shard = try #require(Shard(number: number, of: count))
                shard.groupSize = groupSize
                let own = (0..<total).filter { shard.contains($0) }
                #expect(own.count == shard.itemCount(of: total))
                for index in own { owners[index] += 1 }
                // A group is not divided.
                #expect(
                    own.allSatisfy {
                        let start = $0 / groupSize * groupSize
                        return (start..<min(total, start + groupSize)).allSatisfy(shard.contains)
                    })
            }
            #expect(owners.allSatisfy { $0 == 1 })
        }
    }

    @Test("there is no part 0, and none above the number of parts")
    func bounds() {
        #expect(Shard(number: 0, of: 4) == nil && Shard(number: 5, of: 4) == nil)
        #expect(Shard(number: 1, of: 0) == nil)
    }

    @Test("the draws that may become an item have all parents, and no two items share one")
    func draws() throws {
        for parentCount in [1, 2, 5, 12] {
            let items = (0..<parentCount).map { Item.at("\($0).png") }
            let schedule = try ParentSchedule(items, method: .posterior, seed: 1)
            for count in [1, 4, 5, 6, 12] {
                var seen = Set<Int>()
                for slot in 0..<count {
                    let draws = (0..<2 * parentCount).map {
                        schedule.draw(
                            $0, ofSlot: slot, of: count, turn: slot + $0, among: schedule.order)
                    }
                    #expect(draws.first?.index == slot)
                    #expect(Set(draws.flatMap(\.parents).map(\.path)).count == parentCount)
                    #expect(draws.allSatisfy { seen.insert($0.index).inserted })
                }
            }
        }
    }
}
