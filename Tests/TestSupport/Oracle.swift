import Foundation

/// An array in an oracle file, in row-major order.
public struct OracleArray: Decodable, Sendable, Equatable {
    /// The extent of each axis.
    public let shape: [Int]
    /// The elements.
    public let values: [Float]
}

extension Fixtures {
    /// Reads a file that `Tools/reference.py` wrote to `Fixtures/expected`.
    public static func expected<Content: Decodable>(
        _ name: String, as type: Content.Type = Content.self
    ) throws -> Content {
        let data = try Data(contentsOf: URL(fileURLWithPath: path("expected/\(name)")))
        return try JSONDecoder().decode(type, from: data)
    }
}

/// Describes the worst element that differs by more than `absolute + relative · |expected|`, or
/// gives nil when there is none. NaN differs from everything.
public func mismatch(
    _ found: [Float], _ expected: [Float], absolute: Float = 0, relative: Float = 0
) -> String? {
    guard found.count == expected.count else {
        return "\(found.count) elements, expected \(expected.count)"
    }
    var worst: (excess: Float, index: Int)?
    for (index, (a, b)) in zip(found, expected).enumerated() where a != b {
        let excess = abs(a - b) - (absolute + relative * abs(b))
        if !(excess <= 0), !(excess <= worst?.excess ?? 0) { worst = (excess, index) }
    }
    return worst.map {
        "element \($0.index) of \(found.count) is \(found[$0.index]), expected "
            + "\(expected[$0.index]), within \(absolute) + \(relative)·|expected|"
    }
}
