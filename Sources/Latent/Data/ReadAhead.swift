import Foundation
import Torch

/// Applies a function to jobs on other threads, ahead of the consumer, keeping their order.
///
/// At most `capacity` results wait at any time.
///
/// Threads and not tasks: the work blocks on files, and the consumer holds tensors, which belong to
/// one thread.
final class ReadAhead<Job: Sendable, Result: Sendable> {
    /// What the threads share; every access is under the condition's lock, but that to jobs, which has
    /// its own; hence unchecked.
    private final class Shared: @unchecked Sendable {
        /// Held by the thread that takes a job, which may have to wait for one.
        let jobLock = NSLock()
        let condition = NSCondition()
        var nextJob: () -> Job?
        var nextIndex = 0
        var consumed = 0
        var results: [Int: Result] = [:]
        var waitingByteCount = 0
        var isExhausted = false
        var isCancelled = false

        init(_ nextJob: @escaping () -> Job?) { self.nextJob = nextJob }
    }

    private let shared: Shared
    private let byteCount: @Sendable (Result) -> Int

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - jobs: consumed under a lock, by one thread at a time
    ///   - threadCount: threads that apply the function
    ///   - capacity: results that may wait
    ///   - byteCount: the memory of a result; no job is begun while results of 64 MB wait
    ///   - apply: must not throw; failures are part of the result
    init<Jobs: IteratorProtocol>(
        _ jobs: Jobs, threadCount: Int, capacity: Int,
        byteCount: @escaping @Sendable (Result) -> Int = { _ in 0 },
        apply: @escaping @Sendable (Job) -> Result
    ) where Jobs.Element == Job {
        var jobs = jobs
        self.byteCount = byteCount
        shared = Shared { jobs.next() }
        for _ in 0..<max(1, threadCount) {
            let thread = Thread { [shared] in
                Runtime.serializeThisThread()
                Self.work(shared, capacity: capacity, byteCount: byteCount, apply: apply)
            }
            // Foundation's default of 512 kB is short for libtorch's call chains.
            thread.stackSize = 8 << 20
            thread.start()
        }
    }

    private static var waitingByteLimit: Int { 64 << 20 }

    private static func work(
        _ shared: Shared, capacity: Int, byteCount: (Result) -> Int, apply: (Job) -> Result
    ) {
        while true {
            shared.jobLock.lock()
            shared.condition.lock()
            while !shared.isCancelled, !shared.isExhausted,
                shared.nextIndex - shared.consumed >= capacity
                    || shared.waitingByteCount >= waitingByteLimit
            {
                shared.condition.wait()
            }
            let isOver = shared.isCancelled || shared.isExhausted
            // Not under the condition's lock: while a job is waited for, results are taken.
            shared.condition.unlock()
            let job = isOver ? nil : shared.nextJob()
            shared.condition.lock()
            guard let job, !shared.isCancelled else {
                shared.isExhausted = true
                shared.condition.broadcast()
                shared.condition.unlock()
                shared.jobLock.unlock()
                return
            }
            let index = shared.nextIndex
            shared.nextIndex += 1
            shared.condition.broadcast()
            shared.condition.unlock()
            shared.jobLock.unlock()

            let result = apply(job)

            shared.condition.lock()
            shared.results[index] = result
            shared.waitingByteCount += byteCount(result)
            shared.condition.broadcast()
            shared.condition.unlock()
        }
    }

    /// What the consumer is told.
    enum Next {
        case result(Result)
        /// No job is there to be done, and none has come for a while.
        case pause
        case end
    }

    /// The next result in order, or nil when all jobs are done.
    func next() -> Result? {
        guard case .result(let result) = next(within: nil) else { return nil }
        return result
    }

    /// The next result in order, unless no job comes within so many seconds.
    ///
    /// A job that is being done is waited for however long it takes.
    func next(within seconds: Double?) -> Next {
        shared.condition.lock()
        defer { shared.condition.unlock() }
        while true {
            if let result = shared.results.removeValue(forKey: shared.consumed) {
                shared.consumed += 1
                shared.waitingByteCount -= byteCount(result)
                shared.condition.broadcast()
                return .result(result)
            }
            let isIdle = shared.consumed >= shared.nextIndex
            if shared.isExhausted, isIdle { return .end }
            guard let seconds, isIdle else {
                shared.condition.wait()
                continue
            }
            let isWoken = shared.condition.wait(until: Date(timeIntervalSinceNow: seconds))
            if !isWoken, shared.consumed >= shared.nextIndex, !shared.isExhausted { return .pause }
        }
    }

    /// Hands on the results in order, in groups of a number; of fewer at the end, and where no further job
    /// comes within so many seconds.
    func forEachGroup(
        of count: Int, pause seconds: Double?, _ body: ([Result]) throws -> Void
    ) throws {
        var group: [Result] = []
        var isAtEnd = false
        while !isAtEnd {
            switch next(within: group.isEmpty ? nil : seconds) {
            case .result(let result):
                group.append(result)
                guard group.count == count else { continue }
            case .pause: break
            case .end: isAtEnd = true
            }
            guard !group.isEmpty else { continue }
            try body(group)
            group = []
        }
    }

    deinit {
        shared.condition.lock()
        shared.isCancelled = true
        shared.condition.broadcast()
        shared.condition.unlock()
    }
}
