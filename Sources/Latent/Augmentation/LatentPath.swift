import Foundation
import Torch

/// The way from one latent to another.
public enum LatentPath: String, Codable, Sendable, CaseIterable {
    /// Straight.
    case linear
    /// Along the arc between the two directions, whose middle is as far from 0 as its ends.
    ///
    /// Source: White, "Sampling generative networks", arXiv 1609.04468, 2016; Shoemake 1985.
    case spherical

    /// Points of the way.
    ///
    /// - Parameters:
    ///   - first: [N, D]
    ///   - second: [N, D]
    ///   - mixes: N numbers, 0 at the first, 1 at the second; others lie beyond
    /// - Returns: [N, D], on the device of the first
    /// - Throws: `TorchError` when the shapes do not fit
    func points(from first: Tensor, to second: Tensor, mixes: [Float]) throws -> Tensor {
        switch self {
        case .linear:
            let t = try Tensor(mixes, shape: [mixes.count, 1]).to(first.device)
            return try first + (second - first) * t
        case .spherical:
            let products = try (first * second).sum(axes: [1]).floats()
            let lengths = try (
                first.squared().sum(axes: [1]).floats(), second.squared().sum(axes: [1]).floats()
            )
            var weights = ([Float](), [Float]())
            for (row, mix) in mixes.enumerated() {
                let length = (Double(lengths.0[row]) * Double(lengths.1[row])).squareRoot()
                let cosine = length > 0 ? Double(products[row]) / length : 1
                let angle = acos(min(max(cosine, -1), 1))
                let t = Double(mix)
                // Nearly one direction, or opposite ones: no arc is the shortest.
                if sin(angle) < 1e-4 {
                    weights.0.append(1 - mix)
                    weights.1.append(mix)
                } else {
                    weights.0.append(Float(sin((1 - t) * angle) / sin(angle)))
                    weights.1.append(Float(sin(t * angle) / sin(angle)))
                }
            }
            let shape = [mixes.count, 1]
            return try first * Tensor(weights.0, shape: shape).to(first.device)
                + second * Tensor(weights.1, shape: shape).to(first.device)
        }
    }
}
