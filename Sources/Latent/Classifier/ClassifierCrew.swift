import Synchronization
import Torch

/// Trains small classifiers side by side, each by serial operations on one thread.
///
/// Dividing the operations of one training gains a fifth to a third on two threads, and the rounding then
/// depends on their number; one training on each gains most of two, and gives the same for any number.
struct ClassifierCrew {
    private let crew: Crew

    /// Starts as many threads as operations may use, but no more than there are jobs.
    init(jobCount: Int) { crew = Crew(size: min(jobCount, Runtime.threadCount)) }

    /// Does jobs.
    ///
    /// - Parameters:
    ///   - jobs: what is trained
    ///   - onSteps: called on this thread now and then, and in the end, with the steps done by all jobs; throwing
    ///     ends them
    ///   - train: does a job, on any thread, and calls its second argument after each step
    /// - Returns: what it gave, in the order of the jobs
    /// - Throws: what either closure throws
    func train<Job: Sendable, Result: Sendable>(
        _ jobs: [Job], onSteps: (Int) throws -> Void,
        _ train: @escaping @Sendable (Job, _ onStep: () throws -> Void) throws -> Result
    ) throws -> [Result] {
        let done = StepCount()
        let crew = crew
        let results = try withoutActuallyEscaping(onSteps) { onSteps in
            try crew.map(jobs, watch: { try onSteps(done.value) }) { _, job in
                try train(job) {
                    done.increment()
                    try crew.proceed()
                }
            }
        }
        try onSteps(done.value)
        return results
    }
}

/// Counts on any thread.
private final class StepCount: Sendable {
    private let count = Atomic(0)

    var value: Int { count.load(ordering: .relaxed) }

    func increment() { count.add(1, ordering: .relaxed) }
}
