import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Weight average") struct WeightAverageTests {
    private struct Refusal: Error {}

    /// Two parameters, one below `a.` and one below `b.`.
    private func parameters() throws -> Parameters {
        let parameters = Parameters(device: .cpu, generator: Generator(seed: 1))
        _ = try parameters.root["a"].uniform("weight", shape: [2, 3], bound: 1)
        _ = try parameters.root["b"].uniform("weight", shape: [4], bound: 1)
        return parameters
    }

    /// Parameters with an average of five steps.
    private func averaged(
        decay: Double
    ) throws -> (parameters: Parameters, average: WeightAverage, history: [[Float]]) {
        let parameters = try parameters()
        let average = try WeightAverage(of: parameters, under: ["a."], decay: decay)
        let tensor = parameters.entries[0].tensor
        var history = [try tensor.floats()]
        var generator = Generator(seed: 2)
        for step in 0..<5 {
            let values = generator.normals(6)
            try tensor.assign(Tensor(values, shape: [2, 3]))
            try parameters.entries[1].tensor.assign(Tensor(generator.normals(4), shape: [4]))
            try average.update(step: step)
            history.append(values)
        }
        return (parameters, average, history)
    }

    @Test(
        "it is Σ (1 - dₜ) wₜ Π d of the later steps, d small at first", arguments: [0.9, 0.15])
    func closedForm(decay: Double) throws {
        let (_, average, history) = try averaged(decay: decay)
        // (1 + t) / (10 + t) of steps 0 to 4, and no more than the decay.
        let early: [Double] = [1.0 / 10, 2.0 / 11, 3.0 / 12, 4.0 / 13, 5.0 / 14]
        let decays = early.map { min($0, decay) }
        var expected = [Double](repeating: 0, count: 6)
        for (index, weights) in history.enumerated() {
            let later = decays[index...].reduce(1, *)
            let share = index == 0 ? later : (1 - decays[index - 1]) * later
            for place in 0..<6 { expected[place] += share * Double(weights[place]) }
        }
        let values = try average.values()
        #expect(Array(values.keys) == ["a.weight"])
        #expect(values["a.weight"]?.shape == [2, 3])
        #expect(
            mismatch(values["a.weight"]?.values ?? [], expected.map { Float($0) }, absolute: 1e-6)
                == nil)
    }

    @Test("it begins at the weights, and updates leave the weights alone")
    func beginning() throws {
        let parameters = try parameters()
        let before = try parameters.values()
        let average = try WeightAverage(of: parameters, under: ["a.", "b."], decay: 0.5)
        #expect(try average.values() == before)
        try average.update(step: 100)
        #expect(try parameters.values() == before)
    }

    @Test("the averages stand in for the weights in a closure, and not after it")
    func inPlace() throws {
        let (parameters, average, _) = try averaged(decay: 0.9)
        let (weights, averages) = (try parameters.values(), try average.values())
        #expect(weights["a.weight"] != averages["a.weight"])
        let (inside, other) = try average.inPlace {
            let values = try parameters.values()
            return (values["a.weight"], values["b.weight"])
        }
        #expect(inside == averages["a.weight"])
        #expect(other == weights["b.weight"])
        #expect(try parameters.values() == weights)
        #expect(try average.values() == averages)
    }

    @Test("the weights come back to the last bit where the closure throws")
    func throwing() throws {
        let (parameters, average, _) = try averaged(decay: 0.9)
        let (weights, averages) = (try parameters.values(), try average.values())
        #expect(throws: Refusal.self) { try average.inPlace { throw Refusal() } }
        #expect(try parameters.values() == weights)
        #expect(try average.values() == averages)
    }

    @Test("weights that were swapped still take gradients")
    func gradients() throws {
        let (parameters, average, _) = try averaged(decay: 0.9)
        try average.inPlace {}
        let tensor = parameters.entries[0].tensor
        try tensor.squared().sum().backward()
        let found = try #require(try tensor.gradient()).floats()
        #expect(mismatch(found, try tensor.floats().map { 2 * $0 }, relative: 1e-6) == nil)
    }

    @Test("it is saved and read back; an average of another shape is refused")
    func loading() throws {
        let (parameters, average, _) = try averaged(decay: 0.9)
        let saved = try average.values()
        let other = try WeightAverage(of: parameters, under: ["a."], decay: 0.9)
        #expect(try other.values() != saved)
        try other.load(saved)
        #expect(try other.values() == saved)
        let wrong = ["a.weight": HostTensor(shape: [6], values: [Float](repeating: 0, count: 6))]
        for values in [[:], wrong] {
            #expect(throws: TorchError.self) { try other.load(values) }
        }
    }
}
