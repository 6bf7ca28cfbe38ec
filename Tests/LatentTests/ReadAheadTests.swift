import Foundation
import Testing

@testable import Latent

/// A counter for several threads.
private final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var value = 0
    var current: Int { lock.withLock { value } }
    func increment() { lock.withLock { value += 1 } }
}

@Suite("ReadAhead") struct ReadAheadTests {
    /// Takes a time that differs from job to job.
    private static func work(_ job: Int) -> Int {
        var value = UInt64(job)
        for _ in 0..<(job * 7919 % 400) { value = value &* 6_364_136_223_846_793_005 &+ 1 }
        return value == 1 ? -1 : job * 2
    }

    @Test(
        "results come in the order of the jobs, all of them, once",
        arguments: [1, 2, 7], [1, 3, 64])
    func order(threads: Int, capacity: Int) {
        let reader = ReadAhead((0..<500).makeIterator(), threadCount: threads, capacity: capacity) {
            Self.work($0)
        }
        var results: [Int] = []
        while let result = reader.next() { results.append(result) }
        #expect(results == (0..<500).map { $0 * 2 })
        #expect(reader.next() == nil)
    }

    @Test("no jobs give no results")
    func empty() {
        let reader = ReadAhead([Int]().makeIterator(), threadCount: 3, capacity: 4) { $0 }
        #expect(reader.next() == nil)
    }

    @Test("no more jobs are begun than may wait, however slow the consumer", arguments: [1, 4, 9])
    func bounded(capacity: Int) {
        let begun = Counter()
        let reader = ReadAhead((0..<Int.max).makeIterator(), threadCount: 3, capacity: capacity) {
            (job: Int) in
            begun.increment()
            return job
        }
        for consumed in 0..<2000 {
            #expect(begun.current <= consumed + capacity)
            _ = reader.next()
        }
    }

    @Test("no job is begun while results of 64 MB wait, and one at a time still gets through")
    func boundedBytes() {
        let begun = Counter()
        let reader = ReadAhead(
            (0..<200).makeIterator(), threadCount: 2, capacity: 100, byteCount: { _ in 64 << 20 }
        ) { (job: Int) in
            begun.increment()
            return job
        }
        for consumed in 0..<200 {
            // Two threads may each have begun one before the first result was there.
            #expect(begun.current <= consumed + 3)
            #expect(reader.next() == consumed)
        }
        #expect(reader.next() == nil)
    }

    private final class Sentinel: Sendable {
        let gone: DispatchSemaphore
        init(_ gone: DispatchSemaphore) { self.gone = gone }
        deinit { gone.signal() }
    }

    @Test("threads end when the reader is given up early", arguments: [0, 1, 5])
    func earlyEnd(consumed: Int) {
        let gone = DispatchSemaphore(value: 0)
        do {
            let sentinel = Sentinel(gone)
            let reader = ReadAhead((0..<Int.max).makeIterator(), threadCount: 4, capacity: 3) {
                (job: Int) in withExtendedLifetime(sentinel) { job }
            }
            for _ in 0..<consumed { _ = reader.next() }
        }
        // The closure, and what it holds, goes with the last thread.
        #expect(gone.wait(timeout: .now() + 20) == .success)
    }
}
