import Foundation
import Media
import Torch

/// Turns decoded windows, or a real file, into the bytes of a file; pure work, done on any thread.
struct Renderer: Sendable {
    /// One item to render.
    struct Job: Sendable {
        /// Its place among all.
        let slot: Int
        let draw: ParentSchedule.Draw
        let parents: [ItemWindows]
        /// [n, C, H, W] in 0…1.
        let windows: [Float]
        /// What the file is made of where nothing was decoded.
        let real: RealFile?
        /// Where between two parents; below 0 beyond the first.
        let mix: Double?
        /// Codes of the labels that it was decoded with.
        let codes: [Int]
        /// Whether an attribute was changed, which the length may have to follow.
        var isMoved = false
    }

    /// What is known of the model; nil where real files are transformed.
    let record: ModelRecord?
    let configuration: Augmenter.Configuration
    /// The labels that codes are of.
    let conditioning: Conditioning?
    /// What is done to real files; nil where they are not deformed.
    let deformations: DeformationDistribution?
    /// Of parents whose phase is taken.
    private let gate = LargeFileGate()

    func render(_ job: Job) throws -> SyntheticItem {
        var (content, transforms) = (try content(of: job), [AppliedTransform]())
        if let list = configuration.transforms {
            (content, transforms) = try list.apply(
                to: content, seed: configuration.seed, draw: job.draw.index)
        }
        let bytes: [UInt8]
        let fileExtension: String
        switch content {
        case .image(let image):
            (bytes, fileExtension) = (try image.pngData(), "png")
        case .recording(let audio):
            let encoding = configuration.encoding ?? WAVEncoding(keeping: audio.encoding)
            (bytes, fileExtension) = (try audio.wavData(encoding), "wav")
        }
        let hashes = job.real.map { [$0.hash] } ?? job.parents.map(\.hash)
        return SyntheticItem(
            bytes: bytes, fileExtension: fileExtension,
            label: conditioning?.label(of: job.codes)
                ?? job.draw.parents.first?.label
                ?? (record?.labels.count == 1 ? record?.labels.first : nil),
            parents: zip(job.draw.parents, hashes).map { .init(path: $0.path, hash: $1) },
            slot: job.slot, drawIndex: job.draw.index, mix: job.mix,
            attributes: conditioning?.values(of: job.codes) ?? [:], transforms: transforms)
    }

    /// What is to be written, before it is transformed.
    private func content(of job: Job) throws -> DecodedFile {
        if let real = job.real {
            guard let record, let deformations else { return real.content }
            var generator = job.draw.generator
            let deformation = deformations.draw(
                spread: configuration.spread, using: &generator)
            return try deformed(
                real.content, record, by: deformation, using: &generator)
        }
        guard let record else {
            throw LatentError(.model, "there is nothing to decode with", hint: "name a model")
        }
        return switch record.preprocessing.view {
        case .pixels(let view): .image(try image(job, record, view: view))
        case .logMel(let view): .recording(try audio(job, record, view: view))
        }
    }

    private func image(_ job: Job, _ record: ModelRecord, view: PixelView) throws -> Image {
        let windowing = record.preprocessing.windowing
        // As the parent was; else as the training images usually were.
        let source = job.parents.min { $0.count < $1.count }?.source
        let size =
            source.map { ($0.height, $0.width) }
            ?? (
                record.outputSize?.first ?? windowing.height,
                record.outputSize?.last ?? windowing.width
            )
        let depth = source?.bitDepth ?? record.outputBitDepth ?? 8
        let map: FeatureMap
        if job.parents.isEmpty {
            map = try FeatureMap(
                channelCount: view.channelCount, height: windowing.height, width: windowing.width,
                values: job.windows
            ).resized(height: size.0, width: size.1)
        } else {
            map = try windowing.assemble(
                job.windows, channelCount: view.channelCount, height: size.0, width: size.1)
        }
        return view.image(of: map, bitDepth: depth == 16 ? 16 : 8)
    }

    /// Frames up to the last loud one of a window [M, T]: whose loudest band is less than half of the range
    /// below that of the window.
    static func soundingWidth(_ window: [Float], width: Int) -> Int {
        var loudness = [Float](repeating: 0, count: width)
        for (place, value) in window.enumerated() {
            loudness[place % width] = max(loudness[place % width], value)
        }
        let limit = (loudness.max() ?? 0) - 0.5
        return (loudness.lastIndex { $0 > limit } ?? 0) + 1
    }

    private func audio(_ job: Job, _ record: ModelRecord, view: LogMelView) throws -> Audio {
        let windowing = record.preprocessing.windowing
        let shortest = job.parents.min { $0.count < $1.count }
        var generator = job.draw.generator
        var width = shortest?.mapWidth ?? windowing.width
        var level = shortest?.source.referenceLevel ?? record.outputReferenceLevel ?? 0
        var phaseSource: [Float]?
        var sampleCount: Int?
        if let mix = job.mix, mix >= 0, job.parents.count == 2 {
            let (first, second) = (job.parents[0], job.parents[1])
            level = first.source.referenceLevel * (1 - mix) + second.source.referenceLevel * mix
            if first.count == 1, second.count == 1 {
                width = Int(
                    (Double(first.mapWidth) * (1 - mix) + Double(second.mapWidth) * mix).rounded())
            }
        } else if let parent = job.draw.parents.first,
            job.parents.allSatisfy({ $0.count >= job.parents[0].count })
        {
            // Another voice may take longer; what follows its end is silence, as in training.
            let needed =
                job.isMoved && job.parents[0].count == 1
                ? Self.soundingWidth(job.windows, width: windowing.width) : 0
            if needed > width {
                width = needed
            } else {
                let bytes = try FileBytes.read(parent.path)
                let (samples, _) = try gate.run(bytes) {
                    try view.signal(of: Audio(recording: bytes, path: parent.path))
                }
                phaseSource = samples
                sampleCount = samples.count
            }
        }
        let map = try windowing.assemble(
            job.windows.map { min(max($0, 0), 1) }, channelCount: 1, height: view.melCount,
            width: width)
        return try view.audio(
            of: map, referenceLevel: level, sampleCount: sampleCount, phaseSource: phaseSource,
            using: &generator)
    }
}
