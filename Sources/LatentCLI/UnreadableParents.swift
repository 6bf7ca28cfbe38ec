import Latent

/// Real items that `augment` could not read: each is said once, kept beside what is written, and said
/// again by the same command.
final class UnreadableParents {
    private let console: Console
    private var paths: Set<String> = []
    private var pending: [ItemFailure] = []
    private var folder: OutputFolder?

    /// Begins with those that the run could not read before.
    init(_ known: [UnreadableItem], console: Console) {
        self.console = console
        for item in known where paths.insert(item.path).inserted {
            console.warning("\(item.path): \(item.message)")
        }
    }

    /// Says it of an item, and keeps it where there is a folder.
    func add(_ failure: ItemFailure) throws {
        guard paths.insert(failure.item.path).inserted else { return }
        console.warning("\(failure.item.path): \(failure.error.message)")
        pending.append(failure)
        if let folder { try keep(in: folder) }
    }

    /// Keeps them in a folder from now on.
    func keep(in folder: OutputFolder) throws {
        self.folder = folder
        for failure in pending { try folder.note(failure) }
        pending = []
    }

    /// Ends the run with exit code 65 where there are any.
    func conclude(of count: Int) throws {
        guard !paths.isEmpty else { return }
        console.warning("\(paths.count) of \(counted(count, "real file")) cannot be read")
        throw ExitStatus.badData
    }
}
