import Foundation
import Glibc
import Synchronization

/// Turns SIGINT and SIGTERM into a question that long work asks now and then.
///
/// A second signal ends the process at once. Where nobody asks, before and after, the first one does.
final class Interruption {
    private let flag: Flag
    private let sources: [any DispatchSourceSignal]
    private let previous: [(number: Int32, handler: (@convention(c) (Int32) -> Void)?)]

    private static let numbers = [SIGINT, SIGTERM]

    private final class Flag: Sendable {
        let isRaised = Atomic<Bool>(false)
    }

    init() {
        let flag = Flag()
        self.flag = flag
        // The sources hear of what is ignored all the same.
        previous = Self.numbers.map { (number: $0, handler: signal($0, SIG_IGN)) }
        sources = Self.numbers.map { number in
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                if flag.isRaised.exchange(true, ordering: .relaxed) { _exit(130) }
            }
            source.resume()
            return source
        }
    }

    deinit {
        for source in sources { source.cancel() }
        for (number, handler) in previous { signal(number, handler) }
    }

    /// Lets a signal end the process with a line and exit code 130; one that is ignored, as in the
    /// background of a shell, stays so.
    static func endAtOnce() {
        // A process that starts others from a thread without signals hands that on to them.
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
        for number in numbers where !isIgnored(number) {
            signal(number) { _ in
                let text: StaticString = "latent: error: interrupted\n"
                _ = Glibc.write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
                _exit(130)
            }
        }
    }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        return action.sa_flags & SA_SIGINFO == 0
            && unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
                == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// Whether the user asked to stop.
    var isRequested: Bool { flag.isRaised.load(ordering: .relaxed) }
}
