import Foundation
import Media
import Torch

/// Where files lie in the latent space of a model, as a map of two dimensions: the two principal
/// components of their posterior means.
public struct LatentMap: Sendable {
    /// A place on the map.
    public struct Point: Sendable, Equatable {
        /// Along the first component.
        public let x: Double
        /// Along the second component.
        public let y: Double
    }

    /// One for each file; nil where the mean is not finite.
    public let points: [Point?]
    /// The classes, one for each file; nil where it has none.
    public let labels: [String?]
    /// The share of all variance along x and along y, 0…1.
    public let shares: (x: Double, y: Double)
    /// The number of dimensions before.
    public let dimensionCount: Int

    /// In pixels.
    public static let width = 900
    /// In pixels.
    public static let height = 700

    /// Lays out files.
    ///
    /// - Parameters:
    ///   - means: posterior means [N, D], one row a file; D may be 1, and then all y are 0
    ///   - labels: their classes, in the same order; empty for none
    /// - Throws: ``LatentError`` `.usage` for no files, another shape, or another number of labels
    public init(means: HostTensor, labels: [String?] = []) throws {
        guard means.shape.count == 2, means.shape[0] > 0, means.shape[1] > 0 else {
            throw LatentError(
                .usage, "means of shape \(means.shape), expected [N, D] of at least [1, 1]")
        }
        guard labels.isEmpty || labels.count == means.shape[0] else {
            throw LatentError(.usage, "\(labels.count) labels for \(means.shape[0]) files")
        }
        let found = try PrincipalComponents(of: means, count: 2)
        points = found.coordinates.map { $0[0].isFinite ? Point(x: $0[0], y: $0[1]) : nil }
        shares = (found.shares[0], found.shares[1])
        dimensionCount = means.shape[1]
        self.labels = labels.isEmpty ? Array(repeating: nil, count: means.shape[0]) : labels
    }

    /// The map as a PNG file of ``width`` by ``height`` pixels; the same map gives the same bytes.
    ///
    /// - Parameter title: a line above the map; it says how many files and dimensions when nil
    /// - Returns: the whole file
    /// - Throws: ``MediaError`` `.tooLarge` when memory runs out
    public func png(title: String? = nil) throws(MediaError) -> [UInt8] {
        try MapPicture(self, title: title).drawn().png()
    }

    /// The map as a table: `path,label,x,y`, quoted as RFC 4180 says; x and y are empty where a mean
    /// is not finite.
    ///
    /// - Parameter paths: the files, in the order of the means
    /// - Returns: the whole file, in UTF-8
    /// - Throws: ``LatentError`` `.usage` for another number of paths
    public func csv(paths: [String]) throws(LatentError) -> [UInt8] {
        guard paths.count == points.count else {
            throw LatentError(.usage, "\(paths.count) paths for \(points.count) files")
        }
        var text = "path,label,x,y\n"
        for (path, (label, point)) in zip(paths, zip(labels, points)) {
            let numbers = point.map { [$0.x, $0.y].map { "\(Float($0))" } } ?? ["", ""]
            text += ([path, label ?? ""].map(Self.field) + numbers).joined(separator: ",") + "\n"
        }
        return Array(text.utf8)
    }

    private static func field(_ text: String) -> String {
        // By scalars: a combining mark behind a quote would make it another character.
        guard text.unicodeScalars.contains(where: { ",\"\r\n".unicodeScalars.contains($0) }) else {
            return text
        }
        return "\"" + text.replacingOccurrences(of: "\"", with: "\"\"", options: .literal) + "\""
    }
}
