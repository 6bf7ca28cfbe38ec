import Testing
import Torch

@Suite("Decompositions") struct DecompositionTests {
    @Test("the eigenvalues of a known matrix come in ascending order")
    func known() throws {
        let (values, vectors) = try Tensor([2, 1, 1, 2], shape: [2, 2]).symmetricEigen()
        #expect(try values.floats() == [1, 3])
        let found = try vectors.floats().map { abs($0) }
        #expect(found.allSatisfy { abs($0 - Float(0.5).squareRoot()) < 1e-6 })
    }

    @Test(
        "the parts make up the matrix again, and the vectors are orthonormal",
        arguments: [1, 3, 17])
    func recomposition(side: Int) throws {
        var generator = Generator(seed: 9)
        let half = try Tensor(generator.normals(side * side), shape: [side, side])
        let matrix = try half + half.transposed(0, 1)
        let (values, vectors) = try matrix.symmetricEigen()
        let rows = try vectors.transposed(0, 1)
        let again = try (vectors * values).matmul(rows).floats()
        for (a, b) in zip(again, try matrix.floats()) { #expect(abs(a - b) < 1e-5) }
        for (index, value) in try rows.matmul(vectors).floats().enumerated() {
            #expect(abs(value - (index % (side + 1) == 0 ? 1 : 0)) < 1e-6)
        }
    }

    @Test("what is no square matrix of numbers is an error")
    func refusals() throws {
        #expect(throws: TorchError.self) { try Tensor([1, 2], shape: [1, 2]).symmetricEigen() }
        #expect(throws: TorchError.self) {
            try Tensor([.nan, 0, 0, 1], shape: [2, 2]).symmetricEigen()
        }
    }

    @Test("the Cholesky factor times itself is the matrix, and solves equations, in batches")
    func cholesky() throws {
        // [[4, 2], [2, 5]] = L·Lᵀ with L = [[2, 0], [1, 2]]; and 9 times the unit matrix.
        let matrices = try Tensor([4, 2, 2, 5, 9, 0, 0, 9], shape: [2, 2, 2])
        let factors = try matrices.cholesky()
        #expect(try factors.floats() == [2, 0, 1, 2, 3, 0, 0, 3])
        let right = try Tensor([2, 4, 5, 6, 3, 0, 0, 6], shape: [2, 2, 2])
        // 2x = 2, x + 2y = 5; 2x = 4, x + 2y = 6.
        #expect(
            try factors.solvedLowerTriangular(right).floats() == [1, 2, 2, 2, 1, 0, 0, 2])
    }

    @Test("a matrix that is not positive definite, or not square, has no Cholesky factor")
    func indefinite() throws {
        for values in [[1, 2, 2, 1], [0, 0, 0, 0], [.nan, 0, 0, 1]] as [[Float]] {
            #expect(throws: TorchError.self) { try Tensor(values, shape: [2, 2]).cholesky() }
        }
        #expect(throws: TorchError.self) { try Tensor([1, 2], shape: [1, 2]).cholesky() }
        #expect(throws: TorchError.self) {
            try Tensor([1, 0, 0, 1], shape: [2, 2])
                .solvedLowerTriangular(Tensor([1, 2, 3], shape: [3, 1]))
        }
    }
}
