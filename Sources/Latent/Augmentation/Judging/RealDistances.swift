import Torch

/// How near files are to real ones, beside how near those are to each other.
///
/// Real files of a class are compared with where there are enough of it, as some classes are nearly all
/// alike, such as the digit 1, and others are not: by the distances of all classes together, many files of
/// the one would be copies, and copies of the other none.
struct RealDistances {
    /// How near each real file is to the nearest other, of any class: negative distances, ascending.
    let nearness: [Double]
    /// The same of the files of each class that has enough.
    private let nearnessByLabel: [String: [Double]]
    private let prints: [Fingerprint]
    /// [N, E], and |x|² of each.
    private let x: Tensor
    private let squares: Tensor

    /// Fewer distances than this say nothing of how near is too near.
    static let smallestCount = 19
    /// Fewer of a class and all classes are taken together: p-values of 0.01 take so many.
    static let smallestClassCount = 99
    /// Of so many that seem nearest, the distance is worked out.
    private static let candidateCount = 4
    private static let blockSize = 256

    /// Takes fingerprints of real files, of which copies of each other count once.
    ///
    /// - Parameters:
    ///   - all: the files
    ///   - labels: the class of each; nil for none
    /// - Throws: `TorchError` when the sums cannot be worked out
    /// - Complexity: N²·E
    init?(_ all: [Fingerprint], labels: [String?]) throws {
        var seen: Set<ContentHash> = []
        let kept = all.indices.filter { seen.insert(all[$0].hash).inserted }
        prints = kept.map { all[$0] }
        guard let width = prints.first?.values.count else { return nil }
        x = try Tensor(prints.flatMap(\.values), shape: [prints.count, width])
        squares = try x.squared().sum(axes: [1]).reshaped([1, -1])
        var gaps: [Double?] = []
        for start in stride(from: 0, to: prints.count, by: Self.blockSize) {
            let block = start..<min(prints.count, start + Self.blockSize)
            gaps += try Self.nearest(
                Array(prints[block]), among: prints, x, squares, leavingOut: block.lowerBound
            )
        }
        nearness = gaps.compactMap { $0.map { -$0 } }.sorted()
        nearnessByLabel = Dictionary(grouping: zip(kept, gaps)) { labels[$0.0] ?? "" }
            .mapValues { $0.compactMap { $0.1.map { -$0 } }.sorted() }
            .filter { !$0.key.isEmpty && $0.value.count >= Self.smallestClassCount }
    }

    /// What a file of a class is compared with: how near its real files are to others, or all are.
    func nearness(of label: String?) -> [Double] {
        label.flatMap { nearnessByLabel[$0] } ?? nearness
    }

    /// The distance of each file to the nearest real one.
    func nearest(to files: [Fingerprint]) throws -> [Double] {
        try Self.nearest(files, among: prints, x, squares, leavingOut: nil).map {
            $0 ?? .infinity
        }
    }

    /// The share of real files, of the class where there are enough, that are as near to another; nil where
    /// there are too few.
    func pValue(_ distance: Double, of label: String?) -> Double? {
        let nearness = nearness(of: label)
        return nearness.count >= Self.smallestCount
            ? Calibration.pValue(-distance, among: nearness) : nil
    }

    /// The distance of each file to the nearest of some; nil where there is none.
    ///
    /// Where the files are among these, from the place `first` on, it is that to the nearest other.
    private static func nearest(
        _ files: [Fingerprint], among prints: [Fingerprint], _ x: Tensor, _ squares: Tensor,
        leavingOut first: Int?
    ) throws -> [Double?] {
        guard !files.isEmpty else { return [] }
        let own = try Tensor(files.flatMap(\.values), shape: [files.count, x.shape[1]])
        // The square of the file itself is the same for all that it is compared with.
        let levels = try (squares - own.matmul(x.transposed(0, 1)) * 2).floats()
        return files.enumerated().map { row, file in
            let left = first.map { $0 + row }
            var best: [(level: Float, place: Int)] = []
            for place in prints.indices where place != left {
                let level = levels[row * prints.count + place]
                if best.count == candidateCount, level >= best[best.count - 1].level { continue }
                let rank = best.firstIndex { $0.level > level } ?? best.count
                best.insert((level, place), at: rank)
                if best.count > candidateCount { best.removeLast() }
            }
            return best.map { file.distance(to: prints[$0.place]) }.min()
        }
    }
}
