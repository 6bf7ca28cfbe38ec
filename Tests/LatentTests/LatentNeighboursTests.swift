import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Latent neighbours and paths") struct LatentNeighboursTests {
    @Test(
        "the nearest of each class are those that comparing all pairs finds", arguments: [3, 700])
    func nearest(count: Int) throws {
        var generator = Generator(seed: 12, UInt64(count))
        let places = generator.normals(count * 3)
        let items = (0..<count).map { Item.at("\($0).png") }
        let classes: [String?] = (0..<count).map { $0 % 7 == 0 ? "rare" : nil }
        let found = try LatentNeighbours(items: items, classes: classes, places: places, count: 4)
        #expect(found.nearest.count == count)
        for index in stride(from: 0, to: count, by: 13) {
            func distance(_ other: Int) -> Float {
                (0..<3).reduce(0) {
                    let difference = places[index * 3 + $1] - places[other * 3 + $1]
                    return $0 + difference * difference
                }
            }
            let mates = (0..<count).filter { $0 != index && classes[$0] == classes[index] }
            let wanted = mates.sorted { distance($0) < distance($1) }.prefix(4)
            #expect(found.nearest["\(index).png"]?.map(\.path) == wanted.map { "\($0).png" })
        }
    }

    @Test("a draw gets one of the nearest, as seed and number say; none where there is none")
    func joined() throws {
        let items = ["a", "b", "c", "d", "lone"].map { Item.at($0) }
        let neighbours = try LatentNeighbours(
            items: items, classes: ["x", "x", "x", "x", "y"], places: [0, 1, 3, 9, 0], count: 2)
        func second(_ first: Item, _ index: Int, seed: UInt64 = 0) -> String? {
            let draw = ParentSchedule.Draw(
                index: index, parents: [first, items[3]], generator: Generator(seed: 0))
            return neighbours.joined(draw, seed: seed)?.parents.last?.path
        }
        let chosen = (0..<50).map { second(items[0], $0) }
        #expect(Set(chosen) == ["b", "c"])
        #expect(chosen == (0..<50).map { second(items[0], $0) })
        #expect(chosen != (0..<50).map { second(items[0], $0, seed: 1) })
        #expect(second(items[4], 0) == nil && second(.at("unread"), 0) == nil)
    }

    @Test("a class has so many parents at most, drawn by the seed")
    func limit() throws {
        let limit = LatentNeighbours.classLimit
        let items = (0..<limit + 50).map { Item.at("\($0)", label: $0 < limit + 20 ? "a" : "b") }
        for (method, count) in [(LatentSampling.smote, limit + 30), (.interpolate, limit + 50)] {
            let schedule = try ParentSchedule(items, method: method, seed: 1)
            #expect(schedule.order.count == count)
            #expect(schedule.order.count { $0 >= limit + 20 } == 30)
        }
        let first = try ParentSchedule(items, method: .smote, seed: 1).order
        #expect(Set(first) != Set(try ParentSchedule(items, method: .smote, seed: 2).order))
    }

    @Test("a straight way divides the difference, an arc the angle")
    func paths() throws {
        let first = try Tensor([2, 0, 0, 1, 1, 0, 0, 0, 0], shape: [3, 3])
        let second = try Tensor([0, 2, 0, 2, 2, 0, 1, 2, 3], shape: [3, 3])
        let straight = try LatentPath.linear.points(
            from: first, to: second, mixes: [0.5, -1, 2]
        ).floats()
        #expect(straight == [1, 1, 0, 0, 0, 0, 2, 4, 6])
        let arc = try LatentPath.spherical.points(
            from: first, to: second, mixes: [1 / 3, 0.25, 0.5]
        ).floats()
        // 30° of 90°; one direction, where the way is straight; from 0, likewise.
        let wanted: [Float] = [2 * Float(3.0.squareRoot()) / 2, 1, 0, 1.25, 1.25, 0, 0.5, 1, 1.5]
        #expect(mismatch(arc, wanted, absolute: 1e-5) == nil)
    }

    @Test("an arc begins and ends where it should, at the length of both")
    func arcs() throws {
        var generator = Generator(seed: 5)
        let first = try Tensor(generator.normals(40), shape: [4, 10])
        let second = try Tensor(generator.normals(40), shape: [4, 10])
        func at(_ mix: Float) throws -> [Float] {
            try LatentPath.spherical.points(
                from: first, to: second, mixes: [Float](repeating: mix, count: 4)
            ).floats()
        }
        #expect(mismatch(try at(0), try first.floats(), absolute: 1e-5) == nil)
        #expect(mismatch(try at(1), try second.floats(), absolute: 1e-5) == nil)
        // The middle points halfway, in the plane of both: b - a of unit directions is across it.
        let (a, b, middle) = (try first.floats(), try second.floats(), try at(0.5))
        for row in 0..<4 {
            func dot(_ x: [Float], _ y: [Float]) -> Float {
                (row * 10..<(row + 1) * 10).reduce(0) { $0 + x[$1] * y[$1] }
            }
            let (lengthA, lengthB) = (dot(a, a).squareRoot(), dot(b, b).squareRoot())
            let sum = zip(a, b).map { $0 + $1 }
            let angle = acos(dot(a, b) / lengthA / lengthB)
            let length = dot(sum, sum).squareRoot() / (2 * cos(angle / 2))
            #expect(abs(dot(middle, middle).squareRoot() - length) < 1e-4)
        }
    }
}
