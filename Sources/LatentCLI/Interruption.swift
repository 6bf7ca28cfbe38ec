import Foundation
import Glibc
import Synchronization

/// Turns SIGINT and SIGTERM into a question that long work asks now and then; a second signal ends
/// the process at once.
final class Interruption {
    private let flag: Flag
    private let sources: [any DispatchSourceSignal]

    private final class Flag: Sendable {
        let isRaised = Atomic<Bool>(false)
    }

    init() {
        let flag = Flag()
        self.flag = flag
        sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                if flag.isRaised.exchange(true, ordering: .relaxed) { _exit(130) }
            }
            source.resume()
            return source
        }
    }

    /// Whether the user asked to stop.
    var isRequested: Bool { flag.isRaised.load(ordering: .relaxed) }
}
