import CTorch
import Foundation

/// Threads that compute parts of one thing side by side, each of them by operations that are serial.
///
/// An operation that is divided among threads makes them wait for each other each time, and a step of a small
/// network is hundreds of operations: on two cores they gained a fifth to a third, where whole parts
/// of a batch gain most of two.
///
/// A crew is used by one thread at a time.
public final class Crew: Sendable {
    /// Number of threads.
    public let size: Int
    private let shared: Shared

    /// Starts the threads; they end with the crew.
    ///
    /// - Parameter size: at least 1
    public init(size: Int) {
        self.size = max(1, size)
        shared = Shared(size: self.size)
        for lane in 0..<self.size {
            let thread = Thread { [shared] in
                Runtime.serializeThisThread()
                shared.work(lane)
            }
            // Foundation's default of 512 kB is short for libtorch's call chains.
            thread.stackSize = 8 << 20
            thread.start()
        }
    }

    deinit { shared.end() }

    /// Runs a closure on all threads, and waits until all are done.
    ///
    /// - Parameter body: gets the number of its thread, 0 ..< ``size``
    /// - Throws: what a closure threw first
    public func run(_ body: @escaping @Sendable (_ lane: Int) throws -> Void) throws {
        try shared.run(watch: nil, body)
    }

    /// Applies a function to jobs, whichever thread is free to the next one.
    ///
    /// - Parameters:
    ///   - jobs: begun in their order; none is begun after a failure
    ///   - watch: called by this thread some ten times a second until all is done, to say how far it is;
    ///     throwing ends jobs where they next call ``proceed()``
    ///   - apply: gets the number of its thread and a job
    /// - Returns: what it gave, in the order of the jobs
    /// - Throws: what either function threw first
    public func map<Job: Sendable, Result: Sendable>(
        _ jobs: [Job], watch: (() throws -> Void)? = nil,
        _ apply: @escaping @Sendable (_ lane: Int, Job) throws -> Result
    ) throws -> [Result] {
        let places = Places<Result>(count: jobs.count)
        try shared.run(watch: watch) { [shared] lane in
            while let place = places.take() {
                try shared.proceed()
                places.put(try apply(lane, jobs[place]), at: place)
            }
        }
        return places.results.compactMap { $0 }
    }

    /// Ends a job that takes long when another one has failed; called within it now and then.
    ///
    /// - Throws: ``Abandoned`` when another thread has failed
    public func proceed() throws { try shared.proceed() }

    /// Sums numbers over all threads, in the order of these; called by each of them equally often
    /// within ``run(_:)``.
    ///
    /// - Throws: ``Abandoned`` when another thread has failed, and will not come
    public func sum(_ values: [Double], of lane: Int) throws -> [Double] {
        try shared.sum(values, of: lane)
    }

    /// Another thread has failed.
    public struct Abandoned: Error {}
}

/// What the threads share; every access is under the condition's lock, hence unchecked.
private final class Shared: @unchecked Sendable {
    /// Seconds.
    private static let watchInterval = 0.1
    private let size: Int
    private let condition = NSCondition()
    private var body: (@Sendable (Int) throws -> Void)?
    private var runCount = 0
    private var runningCount = 0
    private var hasEnded = false
    private var failure: (any Error)?
    private var parts: [[Double]?]
    private var sumCount = 0
    private var total: [Double] = []

    init(size: Int) {
        self.size = size
        parts = Array(repeating: nil, count: size)
    }

    func work(_ lane: Int) {
        var doneCount = 0
        condition.lock()
        defer { condition.unlock() }
        while true {
            while runCount == doneCount, !hasEnded { condition.wait() }
            guard !hasEnded, let body else { return }
            doneCount = runCount
            condition.unlock()
            let result = Result { try body(lane) }
            condition.lock()
            if case .failure(let error) = result, failure == nil {
                failure = error
                condition.broadcast()
            }
            runningCount -= 1
            if runningCount == 0 { condition.broadcast() }
        }
    }

    func run(
        watch: (() throws -> Void)?, _ body: @escaping @Sendable (Int) throws -> Void
    ) throws {
        condition.lock()
        defer { condition.unlock() }
        self.body = body
        failure = nil
        parts = Array(repeating: nil, count: size)
        runningCount = size
        runCount += 1
        condition.broadcast()
        while runningCount > 0 {
            guard let watch, failure == nil else {
                condition.wait()
                continue
            }
            _ = condition.wait(until: Date(timeIntervalSinceNow: Self.watchInterval))
            condition.unlock()
            let seen = Result { try watch() }
            condition.lock()
            if case .failure(let error) = seen, failure == nil {
                failure = error
                condition.broadcast()
            }
        }
        self.body = nil
        if let failure { throw failure }
    }

    func proceed() throws {
        condition.lock()
        defer { condition.unlock() }
        if failure != nil { throw Crew.Abandoned() }
    }

    func sum(_ values: [Double], of lane: Int) throws -> [Double] {
        condition.lock()
        defer { condition.unlock() }
        parts[lane] = values
        let count = sumCount
        let known = parts.compactMap { $0 }
        if known.count == size {
            total = known.dropFirst().reduce(into: known[0]) { total, part in
                for index in total.indices { total[index] += part[index] }
            }
            parts = Array(repeating: nil, count: size)
            sumCount += 1
            condition.broadcast()
        }
        // The next sum needs this thread too, so that the total stays until it has been read.
        while sumCount == count {
            if failure != nil { throw Crew.Abandoned() }
            condition.wait()
        }
        return total
    }

    func end() {
        condition.lock()
        hasEnded = true
        condition.broadcast()
        condition.unlock()
    }
}

/// Results that several threads put into their places, under a lock; hence unchecked.
private final class Places<Result: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var next = 0
    private var values: [Result?]

    init(count: Int) { values = Array(repeating: nil, count: count) }

    var results: [Result?] { lock.withLock { values } }

    func take() -> Int? {
        lock.withLock {
            guard next < values.count else { return nil }
            next += 1
            return next - 1
        }
    }

    func put(_ value: Result, at place: Int) { lock.withLock { values[place] = value } }
}
