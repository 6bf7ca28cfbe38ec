import Torch

/// Where real items lie in the latent space: of each the mean of its windows' posterior means, of a
/// hierarchical model those of the top layer.
struct LatentPlaces: Sendable {
    /// Indices of the items that could be read, ascending.
    let found: [Int]
    /// Their places, [found, D] in row-major order.
    let values: [Float]
    /// D.
    let dimensionCount: Int

    /// Encodes items.
    ///
    /// - Parameters:
    ///   - items: real items
    ///   - model: that encodes
    ///   - preprocessing: of the model
    ///   - labelling: which labels items have
    ///   - workerCount: threads that read
    ///   - onFailure: called for an item that cannot be read
    /// - Throws: what `onFailure` throws; `TorchError` when memory runs out
    /// - Complexity: one encoder pass; the windows of a few hundred items are in memory at a time
    init(
        encoding items: [Item], by model: VAE, _ preprocessing: Preprocessing,
        labelling: Labelling, workerCount: Int, onFailure: (ItemFailure) throws -> Void
    ) throws {
        struct Read: Sendable {
            let index: Int
            let windows: ItemWindows
            let codes: [Int]
        }
        let gate = LargeFileGate()
        let reader = ReadAhead(
            items.indices.makeIterator(), threadCount: workerCount, capacity: 256,
            byteCount: { (try? $0.get().windows.byteCount) ?? 0 }
        ) { index -> Result<Read, ItemFailure> in
            do {
                let windows = try preprocessing.windows(ofFile: items[index].path, gate: gate)
                let codes = try labelling.codes(of: items[index])
                return .success(Read(index: index, windows: windows, codes: codes))
            } catch {
                return .failure(ItemFailure(item: items[index], error: ItemError(error)))
            }
        }
        var found: [Int] = []
        var places: [Float] = []
        var batch: [Read] = []
        var windowCount = 0
        func flush() throws {
            found += batch.map(\.index)
            places += try Self.places(of: batch.map { ($0.windows, $0.codes) }, by: model)
            (batch, windowCount) = ([], 0)
        }
        try withoutGradients {
            while let result = reader.next() {
                switch result {
                case .failure(let failure): try onFailure(failure)
                case .success(let read):
                    batch.append(read)
                    windowCount += read.windows.count
                    if windowCount >= 256 { try flush() }
                }
            }
            try flush()
        }
        self.found = found
        values = places
        dimensionCount = model.configuration.latentCount
    }

    /// The mean over its windows of each item, [items, D].
    private static func places(
        of items: [(windows: ItemWindows, codes: [Int])], by model: VAE
    ) throws -> [Float] {
        guard !items.isEmpty else { return [] }
        let counts = items.map(\.windows.count)
        let values = zip(items, counts).flatMap { $0.windows.values(0..<$1) }
        let codes = zip(items, counts).flatMap { [[Int]](repeating: $0.codes, count: $1) }
        let length = model.configuration.elementCount
        let means = try VAE.parts(ofRows: codes.count).flatMap { rows in
            try model.topPosterior(
                of: model.batch(Array(values[rows.lowerBound * length..<rows.upperBound * length])),
                condition: model.condition(Array(codes[rows]))
            ).mean.floats()
        }
        let dimensions = means.count / counts.reduce(0, +)
        var places: [Float] = []
        var start = 0
        for count in counts {
            for dimension in 0..<dimensions {
                let sum = (start..<start + count).reduce(0) {
                    $0 + means[$1 * dimensions + dimension]
                }
                places.append(sum / Float(count))
            }
            start += count
        }
        return places
    }
}
