import Foundation
import Torch

/// Which real items lie nearest to each other in the latent space, class by class.
///
/// Places are ``LatentPlaces``; distances are Euclidean. Of each class at most ``classLimit`` items are
/// compared, which the schedule of parents drew by the seed: memory is bounded, and so is the time before
/// the first new item.
struct LatentNeighbours: Sendable {
    /// Items of a class that are compared.
    static let classLimit = 4000

    /// Items by the path of the one that they are near to, the nearest first.
    let nearest: [String: [Item]]

    /// Finds the neighbours among items whose places are known.
    ///
    /// - Parameters:
    ///   - items: real items
    ///   - classes: of each item; neighbours are of one class
    ///   - places: [items, D], row by row
    ///   - count: neighbours of each item; fewer where its class has no more
    /// - Throws: `TorchError` when memory runs out
    /// - Complexity: for a class of n items n²·D, in blocks of 512 rows
    init(items: [Item], classes: [String?], places: [Float], count: Int) throws {
        let dimensions = places.count / max(1, items.count)
        var nearest: [String: [Item]] = [:]
        for members in Dictionary(grouping: items.indices, by: { classes[$0] }).values {
            let rows = Features(
                width: dimensions,
                values: members.flatMap { places[$0 * dimensions..<($0 + 1) * dimensions] })
            let found = try NearestRows.nearest(count, to: rows, in: rows, excludesSelf: true)
            for (member, near) in zip(members, found) {
                nearest[items[member].path] = near.map { items[members[$0.index]] }
            }
        }
        self.nearest = nearest
    }

    /// A draw with one of the nearest items of its first parent as the second.
    ///
    /// - Parameters:
    ///   - draw: with two parents
    ///   - seed: of the choice, with the number of the draw
    /// - Returns: nil where nothing near the first parent can be read, or itself cannot
    func joined(_ draw: ParentSchedule.Draw, seed: UInt64) -> ParentSchedule.Draw? {
        guard let first = draw.parents.first, let near = nearest[first.path], !near.isEmpty else {
            return nil
        }
        var generator = Generator(seed: seed, Stream.neighbours.rawValue, UInt64(draw.index))
        let second = near[Int(generator.next() % UInt64(near.count))]
        return .init(index: draw.index, parents: [first, second], generator: draw.generator)
    }
}

extension LatentNeighbours {
    /// Encodes items, and finds the neighbours among those that can be read.
    ///
    /// - Parameters:
    ///   - items: real items
    ///   - classes: of each item
    ///   - count: neighbours of each item
    ///   - model: that encodes
    ///   - preprocessing: of the model
    ///   - labelling: which labels items have
    ///   - workerCount: threads that read
    ///   - onFailure: called for an item that cannot be read
    /// - Throws: what `onFailure` throws; `TorchError` when memory runs out
    init(
        encoding items: [Item], classes: [String?], count: Int, by model: VAE,
        _ preprocessing: Preprocessing, labelling: Labelling, workerCount: Int,
        onFailure: (ItemFailure) throws -> Void
    ) throws {
        let places = try LatentPlaces(
            encoding: items, by: model, preprocessing, labelling: labelling,
            workerCount: workerCount, onFailure: onFailure)
        try self.init(
            items: places.found.map { items[$0] }, classes: places.found.map { classes[$0] },
            places: places.values, count: count)
    }
}
