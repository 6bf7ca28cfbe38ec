import Torch

extension Tensor {
    /// Σ^(-½) of a covariance [D, D], in columns: x · Σ^(-½) has differences of unit variance.
    ///
    /// Eigenvalues are shrunk to their mean by a share (Ledoit & Wolf 2004, with a fixed weight), so that
    /// directions in which nothing was seen to change are not all that counts.
    func shrunkWhitening(_ shrinkage: Double) throws(TorchError) -> Tensor {
        let (values, vectors) = try symmetricEigen()
        let average = max(Double(try values.mean().item()), 1e-12)
        let zero = try Tensor.zeros(shape: [], device: values.device)
        let scales = try values.maximum(zero) * (1 - shrinkage) + average * shrinkage
        let one = try Tensor.full(1, shape: [], device: values.device)
        return try vectors * (one / scales.squareRoot())
    }
}
