import Foundation
import Media
import TestSupport
import Torch

@testable import Latent

extension VAEConfiguration {
    /// A small model, quick in debug builds.
    static func tiny(
        channelCount: Int = 1, height: Int = 8, width: Int = 8,
        architecture: Architecture = .mlp, widths: [Int] = [12], latentCount: Int = 3,
        likelihood: LikelihoodKind = .gaussian
    ) -> VAEConfiguration {
        VAEConfiguration(
            channelCount: channelCount, height: height, width: width, architecture: architecture,
            widths: widths, latentCount: latentCount, likelihood: likelihood)
    }
}

extension VAE {
    /// q(z|x) of the top layer.
    func posterior(of x: Tensor) throws -> Posterior {
        let noise = try Tensor.zeros(shape: [x.shape[0], noiseCount])
        return try infer(x, noise: noise).layers[0].posterior
    }

    /// The two halves of the bound of each window and the mean squared error, at the scale that is
    /// best for the batch.
    func bound(of x: Tensor, noise: Tensor) throws -> (
        reconstruction: Tensor, klDivergence: Tensor, squaredError: Tensor
    ) {
        let inference = try infer(x, noise: noise)
        let likelihood = try optimalLikelihood(of: inference.output, for: x) {
            try $0.mean().item()
        }
        return (
            try likelihood.logProbability(of: x), try inference.divergence(),
            try (x - likelihood.mean).squared().mean()
        )
    }
}

extension Preprocessing {
    /// Grey images, whole, at one size.
    static func whole(height: Int = 8, width: Int = 8, channelCount: Int = 1) -> Preprocessing {
        Preprocessing(
            view: .pixels(PixelView(channelCount: channelCount)),
            windowing: Windowing(mode: .whole, height: height, width: width, stride: 4))
    }

    /// Grey images as overlapping patches.
    static func grid(side: Int = 8, stride: Int = 4) -> Preprocessing {
        Preprocessing(
            view: .pixels(PixelView(channelCount: 1)),
            windowing: Windowing(mode: .grid, height: side, width: side, stride: stride))
    }

    /// Recordings at 8 kHz in 16 bands, as overlapping ranges of 8 frames.
    static var frames: Preprocessing { frames(melCount: 16) }

    /// Recordings at 8 kHz, as overlapping ranges of 8 frames.
    static func frames(melCount: Int) -> Preprocessing {
        Preprocessing(
            view: .logMel(LogMelView(sampleRate: 8000, melCount: melCount)),
            windowing: Windowing(mode: .frames, height: melCount, width: 8, stride: 4))
    }

    /// The windows of one file.
    func windows(_ path: String) throws -> ItemWindows {
        try windows(ofFile: path, gate: LargeFileGate())
    }
}

extension ModelFile {
    /// A model with initial weights as a file.
    static func tiny(
        _ model: VAE, _ preprocessing: Preprocessing, labels: [String] = []
    ) throws -> ModelFile {
        let configuration = TrainingConfiguration(
            windowCount: 100, batchSize: nil, epochCount: 3, patience: nil)
        let record = ModelRecord(
            configuration: model.configuration, preprocessing: preprocessing, aggregate: .mean,
            furtherViews: [], labels: labels,
            outputSize: preprocessing.domain == .image
                ? [preprocessing.windowing.height, preprocessing.windowing.width] : nil,
            outputBitDepth: preprocessing.domain == .image ? 8 : nil,
            outputReferenceLevel: preprocessing.domain == .audio ? -2.5 : nil,
            training: .init(
                configuration: configuration, trainingItemCount: 80, heldOutItemCount: 10,
                calibrationItemCount: 10, unreadableItemCount: 1, dataFingerprint: "ab12",
                bestEpoch: 2,
                epochs: [
                    EpochRecord(
                        epoch: 1, trainingLoss: 3.25, distortion: 3, rate: 0.1, heldOutLoss: nil)
                ]),
            purpose: .augmentation, scoreKind: .reconstructionProbability,
            calibration: Calibration(
                scores: [.reconstructionProbability: [0.1, 1 / 3, -7]], falseAlarmRate: 0.05),
            drawCount: 4, writtenBy: "a test")
        return try ModelFile(record: record, model: model)
    }
}

extension TemporaryFolder {
    /// Writes bytes, making folders on the way.
    @discardableResult
    func write(_ content: some Sequence<UInt8>, to name: String) throws -> String {
        let url = URL(fileURLWithPath: self / name)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(content).write(to: url)
        return self / name
    }

    /// Writes a grey 8-bit image of numbers that the name decides.
    @discardableResult
    func writeImage(_ name: String, height: Int = 8, width: Int = 8) throws -> String {
        var generator = Generator(seed: 17, name.utf8.reduce(0) { $0 &* 31 &+ UInt64($1) })
        let image = Image(
            planar: (0..<height * width).map { _ in generator.uniform() }, channelCount: 1,
            height: height, width: width, bitDepth: 8)
        return try write(image.pngData(), to: name)
    }
}

extension Item {
    /// An item of a path alone.
    static func at(_ path: String, label: String? = nil) -> Item {
        Item(path: path, relativePath: path, label: label, split: nil)
    }
}

/// The items of a folder of fixtures.
func fixtureItems(_ folder: String, _ domain: Domain) throws -> [Item] {
    Array(try Inputs([Fixtures.path(folder)], domain: domain))
}

extension Data {
    /// The content of a file.
    init(at path: String) throws { try self.init(contentsOf: URL(fileURLWithPath: path)) }
}
