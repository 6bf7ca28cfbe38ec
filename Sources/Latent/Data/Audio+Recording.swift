import Media

extension Audio {
    /// Full scale is 1, and integers that were never scaled reach 2³¹; the power of more would overflow.
    private static let largestSample: Float = 1e12

    /// Reads a recording, and refuses one so loud that its power is no number.
    ///
    /// - Throws: `MediaError` as decoding does, and ``LatentError`` `.data` for samples above 10¹²
    init(recording bytes: [UInt8], path: String?) throws {
        try self.init(data: bytes, path: path)
        let largest = samples.reduce(0) { max($0, abs($1)) }
        guard largest <= Self.largestSample else {
            throw LatentError(
                .data, path: path,
                "samples reach \(largest), expected at most \(Self.largestSample) at a full scale of 1",
                hint: "repair or leave out the file")
        }
    }
}
