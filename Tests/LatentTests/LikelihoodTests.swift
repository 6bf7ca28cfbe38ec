import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

extension OracleArray {
    /// The array as a tensor.
    var tensor: Tensor { get throws { try Tensor(values, shape: shape) } }
}

@Suite("Likelihood") struct LikelihoodTests {
    private struct File: Decodable {
        struct Expected: Decodable {
            let bernoulli, gaussian, gaussianPerElement: OracleArray
            enum CodingKeys: String, CodingKey {
                case bernoulli, gaussian, gaussianPerElement = "gaussian_per_element"
            }
        }
        struct Moments: Decodable {
            let mean, logVariance, kl: OracleArray
            enum CodingKeys: String, CodingKey { case mean, logVariance = "log_variance", kl }
        }
        let x, logits, mean, logVariance: OracleArray
        let shared: Double
        let expected: Expected
        let posterior: Moments
        enum CodingKeys: String, CodingKey {
            case x, logits, mean, logVariance = "log_variance", shared, expected, posterior
        }
    }

    private let file: File = try! Fixtures.expected("likelihood.json")

    /// The Gaussian with the variance that is best for some windows.
    private func optimal(mean: Tensor, for x: Tensor) throws -> Gaussian {
        let error = try GaussianFamily().scaleError(of: mean, at: x).mean().item()
        let scale = log(max(error, GaussianFamily().scaleFloor))
        return Gaussian(mean: mean, logVariance: try Tensor.full(scale, shape: []))
    }

    @Test("log p(x) of a Bernoulli is that of torch.distributions, at large logits too")
    func bernoulli() throws {
        let found = try Bernoulli(logits: file.logits.tensor)
            .logProbability(of: file.x.tensor).floats()
        #expect(mismatch(found, file.expected.bernoulli.values, relative: 1e-5) == nil)
    }

    @Test("log p(x) of a Gaussian with one variance is that of torch.distributions")
    func sharedVariance() throws {
        let logVariance = try Tensor.full(file.shared, shape: [])
        let found = try Gaussian(mean: file.mean.tensor, logVariance: logVariance)
            .logProbability(of: file.x.tensor).floats()
        #expect(mismatch(found, file.expected.gaussian.values, relative: 1e-5) == nil)
    }

    @Test("log p(x) of a Gaussian with a variance for each element is that of torch.distributions")
    func elementVariance() throws {
        let found = try Gaussian(
            mean: file.mean.tensor, logVariance: file.logVariance.tensor
        ).logProbability(of: file.x.tensor).floats()
        #expect(mismatch(found, file.expected.gaussianPerElement.values, relative: 1e-5) == nil)
    }

    @Test("the best shared variance gives N/2 (log 2πMSE + 1) nats a window on average")
    func optimal() throws {
        let (x, mean) = (file.x, file.mean)
        let squares = zip(x.values, mean.values).map { pow(Double($0) - Double($1), 2) }
        let error = squares.reduce(0, +) / Double(squares.count)
        let elements = Double(x.values.count / x.shape[0])
        let expected = -elements / 2 * (log(2 * .pi * error) + 1)
        let found = try optimal(mean: mean.tensor, for: x.tensor)
            .logProbability(of: x.tensor).mean().item()
        #expect(abs(found - expected) < 1e-5 * abs(expected))
    }

    @Test("no shared variance is better than the best one", arguments: [0.5, 0.9, 1.1, 2])
    func optimality(factor: Double) throws {
        let (x, mean) = (try file.x.tensor, try file.mean.tensor)
        let error = try (x - mean).squared().mean().item()
        let best = try optimal(mean: mean, for: x).logProbability(of: x)
        let other = try Gaussian(
            mean: mean, logVariance: Tensor.full(log(error * factor), shape: [])
        ).logProbability(of: x)
        #expect(try best.sum().item() > other.sum().item())
    }

    @Test("a perfect reconstruction has the density of the variance's floor")
    func perfect() throws {
        let x = try file.x.tensor
        let found = try optimal(mean: x, for: x).logProbability(of: x).floats()
        let expected = Float(-15 * log(2 * .pi * 7.7e-6))
        #expect(mismatch(found, [expected, expected, expected], relative: 1e-5) == nil)
    }

    @Test("KL(q ‖ N(0, I)) is that of torch.distributions")
    func divergence() throws {
        let moments = file.posterior
        let found = try Posterior(
            mean: moments.mean.tensor, logVariance: moments.logVariance.tensor
        ).klDivergence().floats()
        #expect(mismatch(found, moments.kl.values, relative: 1e-5) == nil)
    }

    @Test("KL of the prior to itself is zero", arguments: [1, 2, 64])
    func divergenceOfThePrior(latentCount: Int) throws {
        let zeros = try Tensor.zeros(shape: [3, latentCount])
        let found = try Posterior(mean: zeros, logVariance: zeros).klDivergence().floats()
        #expect(found == [0, 0, 0])
    }

    @Test("draws have the posterior's mean and deviation, those of a window together")
    func draws() throws {
        let posterior = Posterior(
            mean: try Tensor([1, -2], shape: [2, 1]),
            logVariance: try Tensor([0, Float(log(9.0))], shape: [2, 1]))
        let noise = try Tensor([0, 1, -1, 2, 0, 1], shape: [6, 1])
        let z = try posterior.sample(noise: noise, drawCount: 3).floats()
        #expect(mismatch(z, [1, 2, 0, 4, -2, 1], absolute: 1e-5) == nil)
    }
}
