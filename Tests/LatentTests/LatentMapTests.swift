import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("PrincipalComponents") struct PrincipalComponentsTests {
    @Test(
        "points on known axes: components, shares, signs and coordinates",
        arguments: [1, 1e-20, 1e20])
    func known(scale: Double) throws {
        // Along (4, -3)/5 with steps of 5, along (3, 4)/5 with steps of 1; mean (10, 20).
        var points: [Float] = []
        var expected: [[Double]] = []
        for (a, b) in [(5.0, 1.0), (5, -1), (-5, 1), (-5, -1)] {
            points.append(Float(scale * (10 + 0.8 * a + 0.6 * b)))
            points.append(Float(scale * (20 - 0.6 * a + 0.8 * b)))
            expected.append([scale * a, scale * b])
        }
        let found = try PrincipalComponents(
            of: HostTensor(shape: [4, 2], values: points), count: 2)
        for (found, expected) in zip(found.components, [[0.8, -0.6], [0.6, 0.8]]) {
            for (a, b) in zip(found, expected) { #expect(abs(a - b) < 1e-5) }
        }
        #expect(abs(found.shares[0] - 25.0 / 26) < 1e-5)
        #expect(abs(found.shares[1] - 1.0 / 26) < 1e-5)
        for (found, expected) in zip(found.coordinates, expected) {
            for (a, b) in zip(found, expected) { #expect(abs(a - b) < 2e-5 * scale) }
        }
    }

    @Test("with fewer points than dimensions the answer is the same")
    func wide() throws {
        // Twelve points in four dimensions, and the same with zeros up to twenty.
        var generator = Generator(seed: 4)
        let values = generator.normals(48)
        let tall = try PrincipalComponents(
            of: HostTensor(shape: [12, 4], values: values), count: 2)
        var padded: [Float] = []
        for row in 0..<12 {
            padded += values[row * 4..<row * 4 + 4] + [Float](repeating: 0, count: 16)
        }
        let wide = try PrincipalComponents(
            of: HostTensor(shape: [12, 20], values: padded), count: 2)
        for index in 0..<2 {
            #expect(abs(tall.shares[index] - wide.shares[index]) < 1e-5)
            let expected = tall.components[index] + [Double](repeating: 0, count: 16)
            for (a, b) in zip(wide.components[index], expected) { #expect(abs(a - b) < 1e-4) }
            for (a, b) in zip(wide.coordinates, tall.coordinates) {
                #expect(abs(a[index] - b[index]) < 1e-4)
            }
        }
    }

    @Test("what does not vary has no direction, and what is not finite no place")
    func degenerate() throws {
        for shape in [[1, 3], [4, 3], [4, 1]] {
            let same = HostTensor(
                shape: shape, values: [Float](repeating: 0.1, count: shape[0] * shape[1]))
            let found = try PrincipalComponents(of: same, count: 2)
            #expect(found.shares == [0, 0])
            #expect(found.coordinates.allSatisfy { $0 == [0, 0] })
        }
        let odd = HostTensor(shape: [4, 2], values: [1, 0, .nan, 5, -1, 0, 3, .infinity])
        let found = try PrincipalComponents(of: odd, count: 2)
        #expect(found.shares == [1, 0])
        #expect(found.coordinates[0] == [1, 0])
        #expect(found.coordinates[2] == [-1, 0])
        #expect(found.coordinates[1].allSatisfy { $0.isNaN })
        #expect(found.coordinates[3].allSatisfy { $0.isNaN })
        let none = HostTensor(shape: [1, 2], values: [.nan, .nan])
        #expect(try PrincipalComponents(of: none, count: 2).shares == [0, 0])
    }
}

@Suite("LatentMap") struct LatentMapTests {
    private func image(_ map: LatentMap, title: String? = nil) throws -> Image {
        let image = try Image(pngData: map.png(title: title), path: nil)
        #expect(image.width == 900)
        #expect(image.height == 700)
        // Nothing is clipped.
        for x in 0..<900 {
            #expect(image.color(x, 8) == .paper && image.color(x, 691) == .paper)
        }
        for y in 0..<700 {
            #expect(image.color(8, y) == .paper && image.color(895, y) == .paper)
        }
        return image
    }

    private func means(_ count: Int, _ dimensionCount: Int) -> HostTensor {
        var generator = Generator(seed: 8)
        return HostTensor(
            shape: [count, dimensionCount], values: generator.normals(count * dimensionCount))
    }

    private func pixelCount(_ image: Image, _ color: Color) -> Int {
        stride(from: 0, to: image.samples.count, by: 3).count {
            image.samples[$0] == UInt16(color.red) && image.samples[$0 + 1] == UInt16(color.green)
                && image.samples[$0 + 2] == UInt16(color.blue)
        }
    }

    @Test(
        "maps of few files, of one dimension and without labels are drawn",
        arguments: [(1, 1), (1, 5), (2, 1), (2, 5), (3, 2), (50, 16)])
    func small(count: Int, dimensionCount: Int) throws {
        let map = try LatentMap(means: means(count, dimensionCount))
        #expect(map.points.count == count)
        #expect(map.points.allSatisfy { $0 != nil })
        if dimensionCount == 1 { #expect(map.points.allSatisfy { $0?.y == 0 }) }
        let image = try image(map)
        // Points are drawn over white.
        let drawn = ClassColors.all[0].over(.paper, opacity: 0.85)
        #expect(pixelCount(image, drawn) > 30)
        #expect(try map.png() == LatentMap(means: means(count, dimensionCount)).png())
    }

    @Test("the farthest points lie at the ends of the axes")
    func places() throws {
        let values: [Float] = [-3, 0, 3, 0, 0, -1, 0, 1]
        let map = try LatentMap(
            means: HostTensor(shape: [4, 2], values: values), labels: ["a", "b", "c", "c"])
        let points = map.points.compactMap { $0 }
        #expect(points.map { ($0.x * 1000).rounded() } == [-3000, 3000, 0, 0])
        #expect(points.map { ($0.y * 1000).rounded() } == [0, 0, -1000, 1000])
        #expect(abs(map.shares.x - 0.9) < 1e-6)
        let image = try image(map)
        func middle(_ color: Color) -> (x: Int, y: Int)? {
            let drawn = color.over(.paper, opacity: 0.85)
            var (xs, ys): ([Int], [Int]) = ([], [])
            for y in 0..<700 {
                for x in 0..<900 where image.color(x, y) == drawn {
                    xs.append(x)
                    ys.append(y)
                }
            }
            return xs.isEmpty ? nil : (xs.reduce(0, +) / xs.count, ys.reduce(0, +) / ys.count)
        }
        let left = try #require(middle(ClassColors.all[0]))
        let right = try #require(middle(ClassColors.all[1]))
        #expect(left.x < 150)
        #expect(right.x > 700)
        #expect(abs(left.y - right.y) <= 2)
    }

    @Test("twenty classes are named, the most frequent first; the rest and the unlabelled are grey")
    func legend() throws {
        var labels: [String?] = (0..<23).flatMap { index in
            Array(repeating: "class \(index)", count: index == 22 ? 1 : 3)
        }
        labels += ["class 0", nil]
        let legend = MapLegend(labels)
        #expect(legend.entries.count == 22)
        #expect(legend.entries[20].text == "and 3 others")
        #expect(legend.entries[21].text == "no label")
        #expect(Set(legend.entries.prefix(20).map { "\($0.look)" }).count == 20)
        #expect(legend.entries.prefix(20).map(\.text).contains("class 0"))
        #expect(!legend.look("class 22").isNamed)
        #expect(legend.look("class 0").isNamed)
        #expect(legend.look(nil).color == ClassColors.unlabelled)
        let map = try LatentMap(means: means(labels.count, 4), labels: labels)
        _ = try image(map, title: String(repeating: "a long title ", count: 20))

        let none = MapLegend([nil, nil])
        #expect(none.entries.isEmpty)
        #expect(none.width == 0)
        #expect(none.look(nil).isNamed)
        #expect(MapLegend(["b", "a"]).entries.map(\.text) == ["a", "b"])
    }

    @Test("the table has a line a file, quoted where needed, and no numbers where there are none")
    func table() throws {
        let map = try LatentMap(
            means: HostTensor(shape: [3, 1], values: [0.5, -0.5, .nan]),
            labels: ["a \"b\"", nil, "c"])
        let text = String(
            decoding: try map.csv(paths: ["x,1.png", "y.png", "z.png"]), as: UTF8.self)
        #expect(
            text == """
                path,label,x,y
                "x,1.png","a ""b""\",0.5,0.0
                y.png,,-0.5,0.0
                z.png,c,,

                """)
        _ = try image(map)
    }

    @Test("what is no set of points is a usage error")
    func refusals() throws {
        let attempts: [() throws -> Any] = [
            { try LatentMap(means: HostTensor(shape: [0, 3], values: [])) },
            { try LatentMap(means: HostTensor(shape: [3, 0], values: [])) },
            { try LatentMap(means: HostTensor(shape: [3], values: [1, 2, 3])) },
            { try LatentMap(means: self.means(3, 2), labels: ["a"]) },
            { try LatentMap(means: self.means(3, 2)).csv(paths: ["a"]) },
            {
                try PrincipalComponents(of: HostTensor(shape: [3], values: [1, 2, 3]), count: 2)
            },
        ]
        for attempt in attempts {
            #expect { _ = try attempt() } throws: { ($0 as? LatentError)?.code == .usage }
        }
    }

    @Test(
        "axes have a few round numbers, whatever the range",
        arguments: [
            [-3.2, 4.1], [0, 0], [5, 5], [1e-7, 3e-7], [1e9, 1.0001e9], [-1e30, 1e30], [],
            [0, 0.001],
        ] as [[Double]])
    func axes(values: [Double]) {
        let axis = Axis(of: values)
        #expect((1...12).contains(axis.labels.count))
        #expect(Set(axis.labels.map(\.text)).count >= 1)
        for label in axis.labels { #expect((-1e-9...1 + 1e-9).contains(axis.place(label.value))) }
        if values == [-3.2, 4.1] {
            #expect(axis.labels.map(\.text) == ["-3", "-2", "-1", "0", "1", "2", "3", "4"])
        }
    }
}
