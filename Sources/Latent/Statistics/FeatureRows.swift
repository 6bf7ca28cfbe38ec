/// Rows of numbers of one width that are given a block at a time, so that they need not all lie in
/// memory as floats.
protocol FeatureRows {
    /// Number of rows.
    var count: Int { get }
    /// Numbers in a row, d.
    var width: Int { get }
    /// Some rows, one after the other.
    func rows(_ range: Range<Int>) -> [Float]
}

extension SmallMaps: FeatureRows {
    var width: Int { shape.elementCount }
    func rows(_ range: Range<Int>) -> [Float] { values(range) }
}

/// What is compared of items: a row of numbers each, [n, d].
struct Features: FeatureRows, Sendable, Equatable {
    let width: Int
    private(set) var values: [Float]

    /// Makes features from rows, one after the other.
    init(width: Int, values: [Float]) {
        precondition(width > 0 && values.count % width == 0, "rows of another width")
        self.width = width
        self.values = values
    }

    var count: Int { values.count / width }

    func rows(_ range: Range<Int>) -> [Float] {
        Array(values[range.lowerBound * width..<range.upperBound * width])
    }

    /// Some of the rows, in the order given.
    func picked(_ indices: [Int]) -> Features {
        Features(width: width, values: indices.flatMap { rows($0..<$0 + 1) })
    }

    /// The mean of the rows, [d].
    var mean: [Double] {
        var sums = [Double](repeating: 0, count: width)
        for row in 0..<count {
            for column in 0..<width { sums[column] += Double(values[row * width + column]) }
        }
        return sums.map { $0 / Double(max(1, count)) }
    }
}
