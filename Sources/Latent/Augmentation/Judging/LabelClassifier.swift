import Foundation
import Torch

/// Which class a file looks like, to a linear discriminant of where its edges point.
///
/// Sources: Fisher's discriminant with one covariance for all classes, shrunk as in Ledoit & Wolf, "A
/// well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate Analysis 88,
/// 2004; classes count alike, however many files they have. Whether a file is of its class is a conformal
/// p-value: the share of real files, each looked at by a discriminant that was not fitted to it, that
/// are as unlike their class (Vovk, Gammerman & Shafer 2005; five folds, all classes together).
///
/// It is fitted to edges and not to latents: those of a conditional model say nothing of the label that
/// it is told, and few files are told apart better by edges (of MNIST with 50 files a class, 94 % right
/// against 78 % by pixels).
struct LabelClassifier {
    /// The classes, sorted.
    let labels: [String]
    /// How unlike their class real files are, ascending.
    let unlikeness: [Double]
    private let discriminant: Discriminant

    static let foldCount = 5
    /// Files with labels, at least.
    static let smallestCount = 20

    /// Fits to real files; nil where there are too few, or not two classes with two files each.
    ///
    /// - Parameters:
    ///   - edges: of each file
    ///   - labels: its class; files without are left out, as are classes of one file
    /// - Throws: `TorchError` when the sums cannot be worked out
    /// - Complexity: N·D² + D³, six times
    init?(edges: [[Float]], labels: [String?]) throws {
        var members: [String: [Int]] = [:]
        for (index, label) in labels.enumerated() {
            if let label { members[label, default: []].append(index) }
        }
        members = members.filter { $0.value.count >= 2 }
        let count = members.values.reduce(0) { $0 + $1.count }
        guard members.count >= 2, count >= Self.smallestCount else { return nil }
        let names = members.keys.sorted()
        var rows: [(index: Int, label: Int, fold: Int)] = []
        for (label, name) in names.enumerated() {
            for (place, index) in (members[name] ?? []).enumerated() {
                rows.append((index, label, place % Self.foldCount))
            }
        }
        func fitted(_ rows: [(index: Int, label: Int, fold: Int)]) throws -> Discriminant {
            try Discriminant(
                rows.map { edges[$0.index] }, labels: rows.map(\.label), classCount: names.count)
        }
        var unlikeness: [Double] = []
        for fold in 0..<Self.foldCount {
            let left = rows.filter { $0.fold == fold }
            guard !left.isEmpty else { continue }
            let logs = try fitted(rows.filter { $0.fold != fold })
                .logProbabilities(left.map { edges[$0.index] })
            for (row, values) in zip(left, logs) { unlikeness.append(-values[row.label]) }
        }
        self.labels = names
        self.unlikeness = unlikeness.sorted()
        discriminant = try fitted(rows)
    }

    /// What files look like: of each the likeliest class, and the p-value of its own; nil for a class
    /// that is not known.
    func judge(
        _ edges: [[Float]], labels own: [String?]
    ) throws -> [(predicted: String, pValue: Double?)] {
        let logs = try discriminant.logProbabilities(edges)
        return zip(logs, own).map { values, label in
            let best = values.indices.max { values[$0] < values[$1] } ?? 0
            let place = label.flatMap { labels.firstIndex(of: $0) }
            return (
                labels[best],
                place.flatMap { Calibration.pValue(-values[$0], among: unlikeness) }
            )
        }
    }
}

/// Fisher's linear discriminant.
private struct Discriminant {
    /// L with L·Lᵀ = Σ, [D, D].
    private let factor: Tensor
    /// L⁻¹·μ of each class, [D, C].
    private let means: Tensor
    /// ½ μᵀ·Σ⁻¹·μ of each class, [1, C].
    private let offsets: Tensor

    init(_ rows: [[Float]], labels: [Int], classCount: Int) throws {
        let (count, width) = (rows.count, rows[0].count)
        let x = try Tensor(rows.flatMap(\.self), shape: [count, width])
        var indicator = [Float](repeating: 0, count: count * classCount)
        var sizes = [Float](repeating: 0, count: classCount)
        for (row, label) in labels.enumerated() {
            indicator[row * classCount + label] = 1
            sizes[label] += 1
        }
        let y = try Tensor(indicator, shape: [count, classCount])
        let means =
            try y.transposed(0, 1).matmul(x)
            / Tensor(sizes.map { max(1, $0) }, shape: [classCount, 1])
        let centred = try x - y.matmul(means)
        let covariance = try centred.transposed(0, 1).matmul(centred) * (1 / Double(count))
        let identity = try Tensor.identity(width, device: .cpu)
        let average = max(try (covariance * identity).sum().item() / Double(width), 1e-8)
        // Ledoit & Wolf: how far from a multiple of 1 it is, and how much of that is chance.
        let squares = try covariance.squared().sum().item()
        let distance = max(squares - average * average * Double(width), 1e-30)
        let fourth = try centred.squared().sum(axes: [1]).squared().sum().item()
        let chance = max(0, fourth / Double(count) - squares) / Double(count)
        // Something is always kept of the identity, so that there is a factor.
        let weight = min(1, max(chance / distance, 1e-3))
        factor = try (covariance * (1 - weight) + identity * (average * weight)).cholesky()
        self.means = try factor.solvedLowerTriangular(means.transposed(0, 1))
        offsets = try self.means.squared().sum(axes: [0], keepingAxes: true) * 0.5
    }

    /// log p(class | x) of each row.
    func logProbabilities(_ rows: [[Float]]) throws -> [[Double]] {
        guard let width = rows.first?.count else { return [] }
        let x = try Tensor(rows.flatMap(\.self), shape: [rows.count, width])
        let z = try factor.solvedLowerTriangular(x.transposed(0, 1)).transposed(0, 1)
        let levels = try (z.matmul(means) - offsets).floats().map(Double.init)
        let classCount = means.shape[1]
        return (0..<rows.count).map { row in
            let own = Array(levels[row * classCount..<(row + 1) * classCount])
            let total = logSumExp(own)
            return own.map { $0 - total }
        }
    }
}
