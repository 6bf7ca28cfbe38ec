import Torch

/// The smallest error with which one of many small VAEs, each of normal windows that are alike,
/// rebuilds a window: for normal data of many kinds, between which one network would bridge.
///
/// All are of the principal components of what the model reads. The error is the mean of
/// |E[x|z] - x|² over draws of q(z|x) and over components, in units of their mean variance. It ranks
/// as the reconstruction probability with one variance does: -log p(x|z) is that error times a
/// constant, plus another.
///
/// It is there only where it pays: where held-out normal windows are rebuilt better by it than by the
/// network that the model is.
///
/// Source: An & Cho 2015 for the score; Hinton, Dayan & Revow, "Modeling the manifolds of images of
/// handwritten digits", IEEE TNN 8(1), 1997, for local autoencoders of which the best one counts.
/// Differs: clusters overlap and are fixed before the networks are fitted, all at once.
struct MixtureError: FittedScore {
    private let basis: PrincipalBasis
    private let networks: LocalAutoencoders

    /// Fewer windows do not divide into kinds of enough each.
    static let smallestWindowCount = 1_000

    init?(fittedTo windows: ScoredWindows) throws {
        guard windows.x.shape[0] >= Self.smallestWindowCount else { return nil }
        basis = try PrincipalBasis(of: windows.x)
        networks = try LocalAutoencoders(
            fittedTo: basis.components(of: windows.x), seed: windows.seed)
    }

    /// Whether the best of the networks rebuilds better than the one network does.
    func isUseful(for heldOut: ScoredWindows) throws -> Bool {
        let components = try basis.components(of: heldOut.x)
        let single = try (basis.components(of: heldOut.reconstructed) - components).squared()
            .mean().item()
        let many = try networks.smallestErrors(of: components)
        return many.reduce(0, +) < single * Double(many.count)
    }

    init?(tensors: [String: HostTensor], shape: WindowShape, latentCount: Int, on device: Device)
        throws
    {
        guard
            let basis = try PrincipalBasis(
                tensors: tensors, elementCount: shape.elementCount, on: device),
            let networks = try LocalAutoencoders(
                tensors: tensors, width: basis.width, on: device)
        else { return nil }
        self.basis = basis
        self.networks = networks
    }

    func tensors() throws -> [String: HostTensor] {
        try basis.tensors().merging(networks.tensors()) { $1 }
    }

    func values(of windows: ScoredWindows) throws -> [Double] {
        try networks.smallestErrors(of: basis.components(of: windows.x))
    }
}

/// The directions in which windows vary most.
struct PrincipalBasis {
    /// [E].
    private let mean: Tensor
    /// Unit vectors divided by one scale, by which components have a mean variance of 1, [E, Q].
    private let directions: Tensor

    /// Q, at most.
    private static let widthLimit = 64
    /// Windows that the directions are of, at most.
    private static let windowLimit = 1_000

    /// Finds the directions of windows [N, E], at least two.
    ///
    /// - Complexity: n³ of n = 1,000 windows at most, and n²·E
    init(of x: Tensor) throws {
        let count = x.shape[0]
        let step = (count + Self.windowLimit - 1) / Self.windowLimit
        let sample = try x.rows(stride(from: 0, to: count, by: step))
        mean = try sample.mean(axes: [0])
        let centred = try sample - mean
        let rows = centred.shape[0]
        // The eigenvectors of X Xᵀ, times Xᵀ, are those of Xᵀ X: there are fewer windows than
        // elements, or few of both.
        let (values, vectors) = try centred.matmul(centred.transposed(0, 1)).symmetricEigen()
        let width = min(Self.widthLimit, rows - 1, x.shape[1])
        let largest = try values.narrowed(axis: 0, start: rows - width, length: width)
            .clamped(to: 1e-12...1e30)
        let last = try vectors.narrowed(axis: 1, start: rows - width, length: width)
        let one = try Tensor.full(1, shape: [], device: values.device)
        let variance = try largest.mean().item() / Double(max(1, rows - 1))
        directions =
            try centred.transposed(0, 1).matmul(last * (one / largest.squareRoot()))
            * (1 / max(variance, 1e-12).squareRoot())
    }

    /// Nil where the numbers do not fit windows of E elements.
    init?(tensors: [String: HostTensor], elementCount: Int, on device: Device) throws {
        guard let mean = tensors["mean"], let directions = tensors["directions"],
            mean.shape == [elementCount], directions.shape.count == 2,
            directions.shape[0] == elementCount, directions.shape[1] > 0
        else { return nil }
        self.mean = try Tensor(mean.values, shape: mean.shape).to(device)
        self.directions = try Tensor(directions.values, shape: directions.shape).to(device)
    }

    /// Q.
    var width: Int { directions.shape[1] }

    func tensors() throws -> [String: HostTensor] {
        ["mean": try mean.host(), "directions": try directions.host()]
    }

    /// [B, E] → [B, Q].
    func components(of x: Tensor) throws -> Tensor { try (x - mean).matmul(directions) }
}
