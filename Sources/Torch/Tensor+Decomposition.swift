import CTorch

extension Tensor {
    /// The eigenvalues [n], in ascending order, and unit eigenvectors [n, n], in columns, of a
    /// symmetric matrix [n, n].
    ///
    /// Only the lower half of the matrix is read. Worked out in float64, rounded at the end. The
    /// sign of an eigenvector is not defined, nor is the basis where eigenvalues are equal.
    ///
    /// - Throws: ``TorchError`` when the tensor is not a square matrix, or holds NaN or infinity
    public func symmetricEigen() throws(TorchError) -> (values: Tensor, vectors: Tensor) {
        var values: OpaquePointer?
        var vectors: OpaquePointer?
        try check(LTSymmetricEigen(handle, &values, &vectors))
        guard let values, let vectors else {
            throw TorchError(.operation, "libtorch gave no tensor")
        }
        return (Tensor(owning: values), Tensor(owning: vectors))
    }

    /// The lower triangular L with L·Lᵀ = A, for each symmetric matrix A of [..., n, n].
    ///
    /// Worked out in float64, rounded at the end.
    ///
    /// - Throws: ``TorchError`` when a matrix is not positive definite
    public func cholesky() throws(TorchError) -> Tensor {
        try Self.make { LTCholesky(handle, $0) }
    }

    /// X with A·X = B, where this is the lower triangular A, [..., n, n], and B is [..., n, m].
    public func solvedLowerTriangular(_ right: Tensor) throws(TorchError) -> Tensor {
        try Self.make { LTSolveLowerTriangular(handle, right.handle, $0) }
    }
}
