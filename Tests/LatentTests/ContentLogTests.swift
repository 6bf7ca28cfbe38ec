import Testing
import Torch

@testable import Latent

@Suite("Contents of many files")
struct ContentLogTests {
    @Test("copies are found among more files than are sorted at once, with the first of each")
    func copies() throws {
        let log = try ContentLog()
        let count = 300_000
        // Every third file of the second half is a copy of one before; keys as hashes are.
        func key(_ index: Int) -> Int {
            index >= count / 2 && index % 3 == 0 ? index - count / 2 : index
        }
        for index in 0..<count {
            var generator = Generator(seed: 1, UInt64(key(index)))
            try log.add(generator.next(), path: "folder/\(index).png")
        }
        let found = try log.duplicates()
        let expected = (0..<count).filter { key($0) != $0 }
        #expect(found.map(\.index) == expected)
        #expect(found.allSatisfy { $0.first == key($0.index) })
        for index in [0, 1, 4_095, 4_096, count - 1] {
            #expect(try log.path(index) == "folder/\(index).png")
        }
    }

    @Test("several copies of one file all name the first")
    func several() throws {
        let log = try ContentLog()
        for (index, word) in [7, 7, 8, 7, 8, 9].enumerated() {
            try log.add(UInt64(word), path: "\(index)")
        }
        let found = try log.duplicates()
        #expect(found.map(\.index) == [1, 3, 4])
        #expect(found.map(\.first) == [0, 0, 2])
        #expect(try ContentLog().duplicates().isEmpty)
    }
}
