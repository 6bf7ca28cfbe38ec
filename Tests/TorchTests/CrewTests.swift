import Foundation
import Testing
import Torch

@Suite("Crews of threads") struct CrewTests {
    private struct Failure: Error, Equatable { let lane: Int }

    @Test("every thread runs the closure once, on its own", arguments: [1, 2, 5])
    func runs(size: Int) throws {
        let crew = Crew(size: size)
        #expect(crew.size == size)
        for _ in 0..<20 {
            let seen = Seen()
            try crew.run { lane in seen.add(lane, Thread.current) }
            #expect(seen.lanes.sorted() == Array(0..<size))
            #expect(Set(seen.threads).count == size)
            #expect(!seen.threads.contains(ObjectIdentifier(Thread.current)))
        }
    }

    @Test("operations of its threads are serial")
    func serial() throws {
        try Crew(size: 2).run { _ in #expect(Runtime.threadCount == 1) }
    }

    @Test(
        "results are in the order of the jobs, however many there are", arguments: [0, 1, 3, 100])
    func maps(count: Int) throws {
        let crew = Crew(size: 3)
        let found = try crew.map(Array(0..<count)) { lane, job in
            #expect((0..<3).contains(lane))
            return job * job
        }
        #expect(found == (0..<count).map { $0 * $0 })
    }

    @Test("nil is a result like another")
    func mapsToNil() throws {
        let found = try Crew(size: 2).map([1, 2, 3]) { _, job in job == 2 ? nil : job }
        #expect(found == [1, nil, 3])
    }

    @Test("sums are those of all threads, one after the other")
    func sums() throws {
        let crew = Crew(size: 4)
        let seen = Totals()
        try crew.run { lane in
            for round in 0..<200 {
                seen.add(try crew.sum([Double(lane), Double(round)], of: lane))
            }
        }
        #expect(seen.all.count == 800)
        for round in 0..<200 {
            #expect(seen.all.count { $0 == [6, 4 * Double(round)] } == 4)
        }
    }

    @Test("sums are in the order of the threads, so that they round alike")
    func sumOrder() throws {
        let crew = Crew(size: 3)
        let parts = [1.0, 1e16, -1e16]
        for _ in 0..<50 {
            let seen = Totals()
            try crew.run { lane in
                // The last one first.
                Thread.sleep(forTimeInterval: 1e-4 * Double(2 - lane))
                seen.add(try crew.sum([parts[lane]], of: lane))
            }
            #expect(seen.all == [[0], [0], [0]])
        }
    }

    @Test("a failure ends the run, also where others wait for a sum, and the crew goes on")
    func failure() throws {
        let crew = Crew(size: 3)
        for _ in 0..<20 {
            #expect(throws: Failure(lane: 1)) {
                try crew.run { lane in
                    if lane == 1 { throw Failure(lane: 1) }
                    _ = try crew.sum([1], of: lane)
                }
            }
            let seen = Totals()
            try crew.run { lane in seen.add(try crew.sum([1], of: lane)) }
            #expect(seen.all == [[3], [3], [3]])
        }
    }

    @Test("the calling thread watches jobs until they are done")
    func watches() throws {
        let seen = Seen()
        let crew = Crew(size: 2)
        var watchCount = 0
        let found = try crew.map(
            [1, 2, 3],
            watch: {
                watchCount += 1
                #expect(!seen.threads.contains(ObjectIdentifier(Thread.current)))
            },
            { lane, job in
                seen.add(lane, Thread.current)
                Thread.sleep(forTimeInterval: 0.15)
                return job
            })
        #expect(found == [1, 2, 3] && watchCount > 0)
    }

    @Test("who watches can end jobs; none is begun after that, and the crew goes on")
    func ends() throws {
        let seen = Seen()
        let crew = Crew(size: 2)
        #expect(throws: Failure(lane: 7)) {
            _ = try crew.map(
                Array(0..<10), watch: { throw Failure(lane: 7) },
                { _, job in
                    seen.add(job, Thread.current)
                    // Bounded, should nobody end it.
                    for _ in 0..<1000 {
                        try crew.proceed()
                        Thread.sleep(forTimeInterval: 0.01)
                    }
                })
        }
        #expect(seen.lanes.sorted() == [0, 1])
        #expect(try crew.map([5]) { _, job in job } == [5])
    }

    @Test("no job is begun after one has failed")
    func stops() throws {
        let seen = Seen()
        #expect(throws: Failure(lane: 0)) {
            _ = try Crew(size: 1).map(Array(0..<10)) { _, job in
                seen.add(job, Thread.current)
                throw Failure(lane: job)
            }
        }
        #expect(seen.lanes == [0])
    }

    /// Who ran, under a lock; hence unchecked.
    private final class Seen: @unchecked Sendable {
        private let lock = NSLock()
        private(set) var lanes: [Int] = []
        private(set) var threads: [ObjectIdentifier] = []

        func add(_ lane: Int, _ thread: Thread) {
            lock.withLock {
                lanes.append(lane)
                threads.append(ObjectIdentifier(thread))
            }
        }
    }

    /// What was summed up, under a lock; hence unchecked.
    private final class Totals: @unchecked Sendable {
        private let lock = NSLock()
        private(set) var all: [[Double]] = []

        func add(_ total: [Double]) { lock.withLock { all.append(total) } }
    }
}
