import Foundation
import Media

/// A real item that a run could not read, and why.
public struct UnreadableItem: Codable, Sendable, Equatable {
    /// The path as given.
    public let path: String
    /// What is wrong and what to do.
    public let message: String
}

extension RunRecord {
    /// When real items were last written: eight hexadecimal digits for each, of more than 4,096 for each
    /// of so many ranges.
    static func times(of items: [Item]) -> String {
        timeRanges(items.count).map { range in
            let text = items[range].map { item in
                let time = changed(item)
                return "\(time.tv_sec).\(time.tv_nsec)"
            }
            let hash = ContentHash(of: Array(text.joined(separator: " ").utf8))
            return "\(hash)".prefix(timeWidth)
        }.joined()
    }

    /// The items whose times differ from those of before, or share their range with one.
    static func retimed(_ items: [Item], since times: String) -> [Item] {
        let (old, new) = (Array(times.utf8), Array(Self.times(of: items).utf8))
        // Of other items, which the settings would have told.
        guard old.count == new.count else { return items }
        return timeRanges(items.count).enumerated().flatMap { index, range in
            let place = index * timeWidth..<(index + 1) * timeWidth
            return old[place] == new[place] ? [] : Array(items[range])
        }
    }

    private static let timeWidth = 8
    private static let timeLimit = 4_096

    /// As many ranges of consecutive items as times are kept for.
    private static func timeRanges(_ count: Int) -> [Range<Int>] {
        let parts = min(count, timeLimit)
        return (0..<parts).map { count * $0 / parts..<count * ($0 + 1) / parts }
    }

    /// When an item was last written; the start of all time for one that is not there.
    fileprivate static func changed(_ item: Item) -> timespec {
        var status = stat()
        return stat(item.path, &status) == 0 ? status.st_mtim : timespec()
    }
}

extension RunProgress {
    /// Refuses to go on with real items that are no longer what they were.
    ///
    /// Sizes are in the settings already. Those that files were made from are read again: the manifest
    /// has their content. Of the others, which new files were only compared with, or are still to be
    /// made from, no content is known, but that they were last written when they were.
    ///
    /// - Parameters:
    ///   - items: all real items
    ///   - times: of them when the run began, as of ``RunRecord/times(of:)``; nil of runs of before
    ///   - folder: where the run is, for the message
    ///   - workerCount: threads that read
    /// - Throws: ``LatentError`` `.exists` with an item that differs
    /// - Complexity: reads once what the lines name as parents, at the speed of the disk or 1.5 GB/s
    func checkInputs(
        _ items: [Item], times: String?, in folder: String, workerCount: Int
    ) throws(LatentError) {
        func refusal(_ what: String, hint: String) -> LatentError {
            LatentError(
                .exists, path: folder, "the folder holds a run of other data: \(what)", hint: hint)
        }
        let reader = ReadAhead(
            parentWords.keys.sorted().makeIterator(), threadCount: workerCount, capacity: 64
        ) { path in (path: path, word: (try? FileBytes.read(path)).map { ContentHash(of: $0).word })
        }
        while let parent = reader.next() {
            guard let word = parent.word, word != parentWords[parent.path] else { continue }
            throw refusal(
                "\(parent.path) is not what files were made from",
                hint: "name another folder, or use --force to start again")
        }
        guard let times else { return }
        let unknown = RunRecord.retimed(items, since: times).filter {
            parentWords[$0.path] == nil
        }
        guard
            let last = unknown.max(by: { first, second in
                let (a, b) = (RunRecord.changed(first), RunRecord.changed(second))
                return (a.tv_sec, a.tv_nsec) < (b.tv_sec, b.tv_nsec)
            })
        else { return }
        throw refusal(
            "files of it were written since, the last of them \(last.path)",
            hint:
                "name another folder, or use --force to start again; where only the times are new, "
                + "copy the files with theirs (cp -p)")
    }
}

extension Augmenter.Configuration {
    /// What a run reads beside the real items that are named: those of a direction, and noise.
    var furtherItems: [Item] {
        let noise = (transforms?.noiseSources ?? []).flatMap { source -> [String] in
            guard case .files(let paths) = source else { return [] }
            return paths
        }
        return (direction.map { $0.toward + ($0.away ?? []) } ?? [])
            + noise.map { Item(path: $0, relativePath: $0, label: nil, split: nil) }
    }
}
