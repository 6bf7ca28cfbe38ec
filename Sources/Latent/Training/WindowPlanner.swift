import Foundation
import Media

/// Chooses the view of files and how it is cut.
struct WindowPlanner {
    let request: TrainingRequest
    let survey: Survey
    /// Whether the model is to detect, and may read what cannot be turned back.
    let detects: Bool
    /// By what the sides of a window must be divisible.
    let multiple: Int

    /// Whole images up to this side; larger ones become patches.
    private static let wholeImageSide = 96
    private static let largestDefaultSide = 64
    /// Images up to this side have cells of half the size, so that there are enough of them.
    private static let fineCellsSide = 40
    private static let longestDefaultFrames = 96
    /// Sides of a patch, and their distance, in cells of the view `contrast`.
    private static let contrastPatch = (side: 16, stride: 5)

    /// The ways from files to windows, one a view, and why the views are what they are where they were
    /// chosen.
    func plan(_ domain: Domain) throws -> ([Preprocessing], reason: String?) {
        guard detects || request.viewNames.count <= 1 else {
            throw LatentError(
                .usage, "--view with \(request.viewNames.count) names, to draw",
                hint: "name one view, or train with --for detection")
        }
        guard Set(request.viewNames).count == request.viewNames.count else {
            throw LatentError(
                .usage, "--view names a view twice", hint: "name each of them once")
        }
        return switch domain {
        case .image: try images()
        case .audio: try recordings()
        }
    }

    private static func roundedUp(_ value: Int, to multiple: Int) -> Int {
        max(multiple, (value + multiple - 1) / multiple * multiple)
    }

    /// The transform of a name, which for the view itself is none.
    private func transform(named name: String, of view: String) throws -> ViewTransform? {
        if name == view { return nil }
        guard let transform = ViewTransform(named: name) else {
            throw LatentError(
                .usage, "--view \(name) is not for \(view == "pixels" ? "images" : "recordings")",
                hint: "use " + ([view] + ViewTransform.usual.map(\.name)).joined(separator: ", "))
        }
        guard detects else {
            throw LatentError(
                .usage, "--view \(name) cannot be turned back into files",
                hint: "leave it out, or train with --for detection")
        }
        return transform
    }

    // MARK: Images

    private func images() throws -> ([Preprocessing], reason: String?) {
        let longest = survey.quantile(0.5) { max($0.height, $0.width) }
        let isSmall = longest <= Self.wholeImageSide
        guard detects, request.viewNames.isEmpty else {
            let names = request.viewNames.isEmpty ? ["pixels"] : request.viewNames
            return (try names.map { try images(view: $0, isSmall: isSmall) }, nil)
        }
        let usesPatches = request.windowing.map { $0 == .grid } ?? !isSmall
        let names = usesPatches ? ["contrast", "gradients"] : ["gradients"]
        return (
            try names.map { try images(view: $0, isSmall: isSmall) },
            usesPatches
                ? "contrast of patches, as in images above \(Self.wholeImageSide) pixels it is the "
                    + "texture that has flaws, and gradients of the whole, for those of its shape"
                : "gradients, as images of up to \(Self.wholeImageSide) pixels are told apart by "
                    + "shape"
        )
    }

    private func images(view name: String, isSmall: Bool) throws -> Preprocessing {
        var transform = try transform(named: name, of: "pixels")
        guard transform == nil || !request.binarises else {
            throw LatentError(
                .usage, "--binarise with --view \(name)", hint: "it is for --view pixels")
        }
        let mode =
            request.windowing
            ?? (isSmall || ["gradients", "smooth"].contains(transform?.name) ? .whole : .grid)
        let height = survey.mode(\.height)
        let width = survey.mode(\.width)
        if case .gradients = transform {
            let longest = request.windowSize.map { max($0.height, $0.width) } ?? max(height, width)
            if longest <= Self.fineCellsSide { transform = .gradients(.fine) }
        }
        let side = transform?.transform.cellSide ?? 1
        // Patches of pixels keep to eights; cells are few, and only the network counts.
        let step = transform == nil ? max(8, multiple) : multiple
        var size = try request.windowSize.map { try cells($0, side: side) }
        if size == nil, mode == .whole {
            let scale = min(1, Double(Self.largestDefaultSide) / Double(max(height, width, 1)))
            func fitted(_ length: Int) -> Int {
                let pixels = Int((Double(length) * scale).rounded())
                return Self.roundedUp((pixels + side - 1) / side, to: step)
            }
            size = (fitted(height), fitted(width))
        }
        var stride: Int?
        if size == nil, case .contrast = transform {
            let patch = Self.roundedUp(Self.contrastPatch.side, to: step)
            size = (patch, patch)
            stride = Self.contrastPatch.stride
        }
        let patch = Self.roundedUp(Self.largestDefaultSide / side, to: step)
        let (windowHeight, windowWidth) = size ?? (patch, patch)
        let coloured = survey.items.filter(\.isColoured).count
        let channels = request.colourChannelCount ?? (coloured * 2 > survey.items.count ? 3 : 1)
        var view = PixelView(channelCount: channels)
        view.binarises = request.binarises
        let windowing = Windowing(
            mode: mode, height: windowHeight, width: windowWidth,
            stride: stride ?? max(1, min(windowHeight, windowWidth) / 2))
        return Preprocessing(view: .pixels(view), transform: transform, windowing: windowing)
    }

    /// A size in pixels, or bands and frames, as cells.
    private func cells(_ size: (height: Int, width: Int), side: Int) throws -> (Int, Int) {
        guard size.height % side == 0, size.width % side == 0 else {
            throw LatentError(
                .usage,
                "--size \(size.height)x\(size.width) does not divide into cells of \(side)",
                hint: "use multiples of \(side)")
        }
        return (size.height / side, size.width / side)
    }

    // MARK: Recordings

    private func recordings() throws -> ([Preprocessing], reason: String?) {
        guard !request.binarises else {
            throw LatentError(
                .usage, "--binarise with recordings", hint: "it is for images; leave it out")
        }
        var view = try logMel()
        guard detects else {
            guard request.keepsLevel != true else {
                throw LatentError(
                    .usage, "--level kept is for models that detect", hint: "use --for detection")
            }
            return ([try recordings(view, named: request.viewNames.first ?? "log-mel")], nil)
        }
        let sample = try SoundSample(survey, view: view)
        let isSteady = sample.temporalDeviationNats < SoundSample.steadyNats
        let keepsLevel = request.keepsLevel ?? isSteady
        if keepsLevel {
            view.referenceNats = sample.highestLevelNats
            // Quiet parts must not be cut off: what is normal of them could not be told.
            if request.rangeDecibels == nil {
                view.rangeNats = max(view.rangeNats, 1.25 * sample.levelRangeNats)
            }
        }
        let names =
            request.viewNames.isEmpty ? [isSteady ? "smooth" : "gradients"] : request.viewNames
        let manner = isSteady ? "are steady" : "change in time"
        return (
            try names.map { try recordings(view, named: $0) },
            "\(names.joined(separator: ", ")), level \(keepsLevel ? "kept" : "removed"), for "
                + "recordings that \(manner): a band varies by \(sample.temporalDeviationDecibels) dB"
        )
    }

    private func recordings(_ view: LogMelView, named name: String) throws -> Preprocessing {
        let transform = try transform(named: name, of: "log-mel")
        let side = transform?.transform.cellSide ?? 1
        let step = transform == nil ? max(8, multiple) : multiple
        let bands = (view.melCount + side - 1) / side
        guard bands % multiple == 0 else {
            throw LatentError(
                .usage,
                "\(view.melCount) mel bands in cells of \(side) do not fit the network, which "
                    + "needs a multiple of \(multiple * side)",
                hint: "use --mels \(Self.roundedUp(view.melCount, to: multiple * side))")
        }
        let frames: Int
        if let size = request.windowSize {
            frames = try cells((side, size.width), side: side).1
        } else {
            // Long enough for nearly every clip to be one window, unless clips are long.
            let typical = survey.quantile(0.98) { item in
                view.frameCount(
                    sampleCount: view.sampleCount(of: item.width, at: item.sampleRate))
            }
            let length = typical <= Self.longestDefaultFrames ? typical : 64
            frames = Self.roundedUp((length + side - 1) / side, to: step)
        }
        return Preprocessing(
            view: .logMel(view), transform: transform,
            windowing: Windowing(
                mode: .frames, height: bands, width: frames, stride: max(1, frames / 2)))
    }

    private func logMel() throws(LatentError) -> LogMelView {
        let rate = request.sampleRate ?? min(16_000, survey.mode(\.sampleRate))
        var view = LogMelView(sampleRate: rate)
        if let length = request.fftLength {
            view.fftLength = length
            view.hopLength = length / 2
        }
        if let hop = request.hopLength { view.hopLength = hop }
        view.melCount = request.melCount ?? Self.roundedUp(40, to: max(8, multiple))
        if let decibels = request.rangeDecibels {
            view.rangeNats = decibels / LogMelView.decibelsPerNat
        }
        try view.validate()
        return view
    }
}

/// What some of the recordings are like, as far as the choice of a view needs it.
struct SoundSample {
    /// How much a band varies over a clip: the standard deviation, a mean over bands and clips.
    let temporalDeviationNats: Double
    /// The loudest band and frame of all.
    let highestLevelNats: Double
    /// From there to the level that one band and frame in a hundred is below.
    let levelRangeNats: Double

    /// Sounds whose bands vary less are steady, as of motors, fans and hum.
    ///
    /// Speech varies by more than 2, a propeller by 0.6; noise itself, in frames of 32 ms, by 0.5.
    static let steadyNats = 1.2

    private static let clipLimit = 100

    var temporalDeviationDecibels: String {
        String(format: "%.1f", temporalDeviationNats * LogMelView.decibelsPerNat)
    }

    /// Reads up to a hundred clips, spread over all.
    init(_ survey: Survey, view: LogMelView) throws {
        var deviations: [Double] = []
        var levels: [Float] = []
        let step = max(1, survey.items.count / Self.clipLimit)
        for index in stride(from: 0, to: survey.items.count, by: step) {
            let audio = try Audio(contentsOf: survey.items[index].item.path)
            let (logs, frames) = try view.logMel(view.signal(of: audio).samples)
            levels += logs
            for band in 0..<view.melCount {
                let row = logs[band * frames..<(band + 1) * frames].map(Double.init)
                let mean = row.reduce(0, +) / Double(frames)
                let squares = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
                deviations.append((squares / Double(frames)).squareRoot())
            }
        }
        temporalDeviationNats = deviations.reduce(0, +) / Double(max(1, deviations.count))
        levels.sort()
        highestLevelNats = Double(levels.last ?? 0)
        levelRangeNats = highestLevelNats - Double(levels.isEmpty ? 0 : levels[levels.count / 100])
    }
}
