import Torch

/// How near files are to real ones, beside how near those are to each other.
struct RealDistances {
    /// How near each real file is to the nearest other: negative distances, ascending.
    let nearness: [Double]
    private let prints: [Fingerprint]
    /// [N, E], and |x|² of each.
    private let x: Tensor
    private let squares: Tensor

    /// Fewer distances than this say nothing of how near is too near.
    static let smallestCount = 19
    /// Of so many that seem nearest, the distance is worked out.
    private static let candidateCount = 4
    private static let blockSize = 256

    /// Takes fingerprints of real files, of which copies of each other count once.
    ///
    /// - Throws: `TorchError` when the sums cannot be worked out
    /// - Complexity: N²·E
    init?(_ all: [Fingerprint]) throws {
        var seen: Set<ContentHash> = []
        prints = all.filter { seen.insert($0.hash).inserted }
        guard let width = prints.first?.values.count else { return nil }
        x = try Tensor(prints.flatMap(\.values), shape: [prints.count, width])
        squares = try x.squared().sum(axes: [1]).reshaped([1, -1])
        var gaps: [Double] = []
        for start in stride(from: 0, to: prints.count, by: Self.blockSize) {
            let block = start..<min(prints.count, start + Self.blockSize)
            gaps += try Self.nearest(
                Array(prints[block]), among: prints, x, squares, leavingOut: block.lowerBound
            ).compactMap(\.self)
        }
        nearness = gaps.map { -$0 }.sorted()
    }

    /// The distance of each file to the nearest real one.
    func nearest(to files: [Fingerprint]) throws -> [Double] {
        try Self.nearest(files, among: prints, x, squares, leavingOut: nil).map {
            $0 ?? .infinity
        }
    }

    /// The share of real files that are as near to another; nil where there are too few.
    func pValue(_ distance: Double) -> Double? {
        nearness.count >= Self.smallestCount
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
