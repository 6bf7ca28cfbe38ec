/// Items as maps of one small shape, in steps of 1/255: what ``SmallClassifier`` reads.
///
/// Eight bits a value, so that 100,000 grey maps of 32×32 take 100 MB.
struct SmallMaps: Sendable, Equatable {
    /// The shape of each map.
    let shape: WindowShape
    /// The values of all maps, one map after the other, times 255.
    private(set) var bytes: [UInt8] = []

    /// Makes an empty set.
    init(shape: WindowShape) { self.shape = shape }

    /// Number of maps.
    var count: Int { bytes.count / shape.elementCount }

    /// Adds a map; values are cut to 0…1.
    mutating func append(_ values: [Float]) {
        precondition(values.count == shape.elementCount, "a map of another shape")
        // The comparison is false for NaN, which becomes 0.
        for value in values { bytes.append(UInt8((value > 0 ? min(value, 1) : 0) * 255 + 0.5)) }
    }

    /// Some of the maps, in the order given, [n, C, H, W] in 0…1.
    func values(_ indices: some Collection<Int>) -> [Float] {
        let length = shape.elementCount
        return [Float](unsafeUninitializedCapacity: indices.count * length) { buffer, count in
            bytes.withUnsafeBufferPointer { bytes in
                for index in indices {
                    for place in index * length..<(index + 1) * length {
                        buffer.initializeElement(at: count, to: Float(bytes[place]) / 255)
                        count += 1
                    }
                }
            }
        }
    }

    /// Some of the maps, in the order given.
    func picked(_ indices: some Sequence<Int>) -> SmallMaps {
        var picked = SmallMaps(shape: shape)
        let length = shape.elementCount
        for index in indices { picked.bytes += bytes[index * length..<(index + 1) * length] }
        return picked
    }

    /// One map, to look at.
    func map(_ index: Int) -> FeatureMap {
        FeatureMap(
            channelCount: shape.channelCount, height: shape.height, width: shape.width,
            values: values([index]))
    }
}
