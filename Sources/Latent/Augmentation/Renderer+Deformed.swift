import Media
import Torch

extension Renderer {
    /// A real file, deformed.
    ///
    /// An image is deformed at its own size, a recording as its log-mel spectrogram, with its own phase to
    /// begin from. A recording is as long as its parent's frames become.
    ///
    /// - Precondition: the file is of the kind that the model reads
    /// - Throws: `TorchError` when memory runs out
    func deformed(
        _ content: DecodedFile, _ record: ModelRecord, by deformation: Deformation,
        using generator: inout Generator
    ) throws -> DecodedFile {
        switch (content, record.preprocessing.view) {
        case (.image(let image), .pixels(let view)):
            .image(try deformed(image, record, by: deformation, view: view))
        case (.recording(let audio), .logMel(let view)):
            .recording(
                try deformed(audio, record, by: deformation, view: view, using: &generator))
        case (.image, .logMel), (.recording, .pixels):
            preconditionFailure("parents are decoded as the files that the model reads")
        }
    }

    private func deformed(
        _ image: Image, _ record: ModelRecord, by deformation: Deformation, view: PixelView
    ) throws -> Image {
        let (map, source) = view.features(of: image)
        let windowing = record.preprocessing.windowing
        // A stroke reaches one place of the map that was learned from.
        func reach(_ side: Int, _ learned: Int) -> Int {
            max(1, Int((Double(side) / Double(max(1, learned))).rounded()))
        }
        let manner = Deformation.Manner(
            strokeRows: reach(map.height, record.deformation?.height ?? windowing.height),
            strokeColumns: reach(map.width, record.deformation?.width ?? windowing.width),
            repeatsEdges: true)
        return view.image(
            of: try deformation.applied(to: map, manner: manner),
            bitDepth: source.bitDepth == 16 ? 16 : 8)
    }

    private func deformed(
        _ audio: Audio, _ record: ModelRecord, by deformation: Deformation, view: LogMelView,
        using generator: inout Generator
    ) throws -> Audio {
        let signal = try view.signal(of: audio)
        let samples = signal.samples
        let (map, source) = try view.features(of: audio, signal: signal)
        let stage = Stage(map, windowing: record.preprocessing.windowing)
        let made = try deformation.applied(
            to: stage.map, manner: Deformation.Manner(repeatsEdges: false))
        // Where the recording itself has gone to, silence beside it left aside.
        let extent = try deformation.moved(
            FeatureMap(
                channelCount: 1, height: 1, width: map.width,
                values: [Float](repeating: 1, count: map.width)
            ).laid(at: stage.left, width: stage.map.width).repeated(rows: map.height),
            repeatsEdges: false)
        let kept = extent.columns { $0 >= 0.5 } ?? 0..<made.width
        let hop = view.hopLength
        let length = (kept.count - 1) * hop + (samples.count - (map.width - 1) * hop)
        // The phase of what is heard then, where the shift is the same for all frames.
        let shift = Double(deformation.meanDisplacementX) / 2 * Double(stage.map.width)
        let start = Int(((Double(kept.lowerBound - stage.left) + shift) * Double(hop)).rounded())
        let phaseSource = (start..<start + max(1, length)).map {
            samples.indices.contains($0) ? samples[$0] : 0
        }
        return try view.audio(
            of: made.laid(at: -kept.lowerBound, width: kept.count),
            referenceLevel: source.referenceLevel, sampleCount: max(1, length),
            phaseSource: phaseSource, using: &generator)
    }
}

/// A map as a deformation sees it: an image itself, a recording in the middle of a window, with silence
/// on both sides that it may grow into.
private struct Stage {
    let map: FeatureMap
    /// Frames of silence before the recording.
    let left: Int

    init(_ map: FeatureMap, windowing: Windowing) {
        guard windowing.mode == .frames, map.width < windowing.width else {
            (self.map, left) = (map, 0)
            return
        }
        left = (windowing.width - map.width) / 2
        self.map = map.laid(at: left, width: windowing.width)
    }
}

extension FeatureMap {
    /// The same in a wider map, or a part of it: columns that it does not have are 0.
    fileprivate func laid(at left: Int, width newWidth: Int) -> FeatureMap {
        var laid = [Float](repeating: 0, count: channelCount * height * newWidth)
        for row in 0..<channelCount * height {
            for column in max(0, left)..<max(0, left, min(newWidth, left + width)) {
                laid[row * newWidth + column] = values[row * width + column - left]
            }
        }
        return FeatureMap(
            channelCount: channelCount, height: height, width: newWidth, values: laid)
    }

    /// The one row as many.
    fileprivate func repeated(rows: Int) -> FeatureMap {
        FeatureMap(
            channelCount: channelCount, height: rows, width: width,
            values: (0..<rows).flatMap { _ in values })
    }

    /// From the first column with such a value to the last; nil where there is none.
    fileprivate func columns(where isKept: (Float) -> Bool) -> Range<Int>? {
        let columns = (0..<width).filter { column in
            (0..<height * channelCount).contains { isKept(values[$0 * width + column]) }
        }
        guard let first = columns.first, let last = columns.last else { return nil }
        return first..<last + 1
    }
}
