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
}
