import Foundation
import Media
import Torch

/// What is known of a model beside its weights; JSON in the file's metadata.
public struct ModelRecord: Codable, Sendable, Equatable {
    /// How the weights came about.
    public struct Training: Codable, Sendable, Equatable {
        /// The settings.
        public var configuration: TrainingConfiguration
        /// Number of items: fitted to, held out, calibrated on, and unreadable.
        public var trainingItemCount: Int
        /// Items that decided when to stop.
        public var heldOutItemCount: Int
        /// Items that thresholds are fitted to.
        public var calibrationItemCount: Int
        /// Files that could not be read and were left out.
        public var unreadableItemCount: Int
        /// SHA-256 over the sorted content hashes of all items.
        public var dataFingerprint: String
        /// The epoch whose weights were kept, from 1.
        public var bestEpoch: Int
        /// One entry an epoch.
        public var epochs: [EpochRecord]
    }

    /// One more network, and what it reads.
    public struct View: Codable, Sendable, Equatable {
        /// The network's shape.
        public var configuration: VAEConfiguration
        /// From file to windows.
        public var preprocessing: Preprocessing
        /// How windows become an item.
        public var aggregate: Aggregate

        func validate() throws(LatentError) {
            try configuration.validate()
            let windowing = preprocessing.windowing
            let misfit = LatentError(.model, "the windows do not fit the network")
            // Sides first: what follows multiplies them.
            guard configuration.height == windowing.height, configuration.width == windowing.width
            else { throw misfit }
            try preprocessing.validate()
            guard configuration.channelCount == preprocessing.channelCount else { throw misfit }
        }
    }

    /// The model's shape.
    public var configuration: VAEConfiguration
    /// From file to windows.
    public var preprocessing: Preprocessing
    /// How windows become an item.
    public var aggregate: Aggregate
    /// Further views of a model that detects.
    public var furtherViews: [View]
    /// Networks of each view, whose scores are averaged; nil for one.
    public var memberCount: Int?
    /// Classes of the training items, sorted; empty without labels.
    public var labels: [String]
    /// Height and width of generated images; nil for recordings.
    public var outputSize: [Int]?
    /// Bits of generated images; nil for recordings.
    public var outputBitDepth: Int?
    /// The mean level of the training recordings, in nats of power; nil for images.
    public var outputReferenceLevel: Double?
    /// How the weights came about.
    public var training: Training
    /// What the model is to be good at.
    public var purpose: TrainingRequest.Purpose
    /// The score that files are ranked by where none is asked for.
    public var scoreKind: ScoreKind
    /// How several scores become one; nil where there were too few held-out files.
    public var ensemble: Ensemble?
    /// Held-out normal scores.
    public var calibration: Calibration
    /// Those of each group of items; nil where items are not grouped.
    public var calibrationGroups: GroupedCalibration?
    /// How far the scores of each later set of normal files had moved; nil before the first.
    public var calibrationHistory: [Drift]?
    /// What maps of normal files are like; nil where the model is not calibrated for maps.
    public var maps: MapCalibration?
    /// What files are flagged by where no other rule is asked for; nil for the false-alarm rate.
    public var labelledThreshold: LabelledThreshold?
    /// Draws of z for each window.
    public var drawCount: Int
    /// Numbers that products of scoring are made of, as calibrated; nil for float32.
    public var scoringPrecision: TrainingConfiguration.Precision?
    /// Steps that `regret` takes; nil for the default, as in files of before.
    public var regretStepCount: Int?
    /// What its deformations are of; nil where it has none.
    public var deformation: DeformationConfiguration?
    /// The flow of its latents; nil where it has none.
    public var flow: FlowConfiguration?
    /// Version of the program that wrote the file, and of libtorch.
    public var writtenBy: String

    /// All views, the first of which is the model's own.
    public var views: [View] {
        [View(configuration: configuration, preprocessing: preprocessing, aggregate: aggregate)]
            + furtherViews
    }

    /// Networks of each view.
    public var members: Int { memberCount ?? 1 }

    /// Draws that may be asked for: of more, the standard error is less than a hundredth of one draw's
    /// deviation, and a file that asks for more would only keep the machine busy.
    public static let drawCounts = 1...10_000
    /// Steps of the regret score, at most.
    public static let regretStepCounts = LikelihoodRegret.stepCountRange

    /// Steps that `regret` takes.
    var regretSteps: Int { regretStepCount ?? LikelihoodRegret.defaultStepCount }

    /// The scores that have to be asked for and that the model is calibrated for.
    public var calibratedRequestedKinds: Set<ScoreKind> {
        Set(ScoreKind.allCases.filter { $0.isRequested && !calibration.scores($0).isEmpty })
    }

    /// Checks what a file may have got wrong.
    func validate() throws(LatentError) {
        for view in views {
            try view.validate()
            guard view.preprocessing.domain == preprocessing.domain else {
                throw LatentError(.model, "the views are of images and of recordings")
            }
        }
        func check(_ isRight: Bool, _ what: String) throws(LatentError) {
            if !isRight { throw LatentError(.model, "the model's record has \(what)") }
        }
        try check(Self.drawCounts.contains(drawCount), "\(drawCount) draws")
        try check((1...DetectorView.memberLimit).contains(members), "\(members) members")
        try check(
            LikelihoodRegret.stepCountRange.contains(regretSteps), "\(regretSteps) steps of regret")
        try scoreKind.check(configuration)
        let rate = calibration.falseAlarmRate
        try check(rate > 0 && rate < 1, "a false-alarm rate of \(rate)")
        let groups = (calibrationGroups?.groups ?? [:]).values
        try check(
            ([calibration] + groups).allSatisfy(\.isAscending), "scores that do not ascend")
        try check(
            groups.allSatisfy { $0.falseAlarmRate == rate },
            "groups of other false-alarm rates")
        try check(
            (calibrationHistory ?? []).count <= Recalibration.historyLimit,
            "more calibrations than a model keeps")
        if let labelledThreshold {
            try check(labelledThreshold.isValid, "a labelled threshold that cannot be")
        }
        if let outputSize {
            try check(
                outputSize.count == 2 && outputSize.allSatisfy { (1...65_536).contains($0) }
                    && outputSize[0] * outputSize[1] <= ImageLimits().maximumPixelCount,
                "outputs of size \(outputSize)")
        }
        if let outputBitDepth {
            try check([8, 16].contains(outputBitDepth), "outputs of \(outputBitDepth) bits")
        }
        try check(
            scoreKind != .ensemble || ensemble != nil, "an ensemble to rank by, but no members")
        if let ensemble {
            try check(
                !ensemble.members.isEmpty
                    && ensemble.members.allSatisfy {
                        views.indices.contains($0.view) && $0.kind != .ensemble
                            && !$0.kind.isRequested
                            && $0.deviation > 0 && $0.deviation.isFinite && $0.meanLog.isFinite
                            && $0.weight.map { $0 > 0 && $0.isFinite } ?? true
                    }, "an ensemble of views, scores, deviations or weights that there are not")
        }
        try maps?.validate(viewCount: views.count)
        try deformation?.validate()
        try flow?.validate(self)
        let level = outputReferenceLevel ?? 0
        try check(abs(level) < 1_000, "outputs at a level of \(level) nats")
    }
}

/// A model as a file: `.safetensors`, with a ``ModelRecord`` in the metadata.
public struct ModelFile: Sendable {
    /// Everything but the weights.
    public var record: ModelRecord
    /// Weights by path.
    public var weights: [String: HostTensor]
    /// The file that it was read from, as the caller named it; what is found to be wrong later names it.
    private(set) var path: String?

    static let format = "latent-model"
    static let formatVersion = 3
    private static let logScalePath = "likelihood.log_scale"

    /// Makes a file from a trained model.
    public init(record: ModelRecord, model: VAE) throws {
        try self.init(
            record: record,
            networks: [[DetectorView.Member(model: model, fitted: FittedScores())]])
    }

    /// Makes a file from the members of each view, and of a model that draws the density and the flow of
    /// its latents and its deformations.
    init(
        record: ModelRecord, networks: [[DetectorView.Member]], density: LatentDensity? = nil,
        flow: LatentFlow? = nil, deformations: DeformationDistribution? = nil
    ) throws {
        self.record = record
        self.record.flow = flow?.configuration
        self.record.deformation = deformations?.configuration
        weights = density?.tensors() ?? [:]
        weights.merge(try flow?.tensors() ?? [:]) { $1 }
        weights.merge(deformations?.tensors() ?? [:]) { $1 }
        for (view, members) in networks.enumerated() {
            for (index, member) in members.enumerated() {
                var own = try member.model.parameters.values()
                own[Self.logScalePath] = HostTensor(
                    shape: [1], values: [Float(member.model.sharedLogScale)])
                own.merge(try member.fitted.tensors()) { weight, _ in weight }
                let prefix = Self.prefix(ofView: view) + Self.prefix(ofMember: index)
                for (path, tensor) in own { weights[prefix + path] = tensor }
            }
        }
    }

    /// Where the weights of a view stand: those of the first at the top.
    private static func prefix(ofView index: Int) -> String {
        index == 0 ? "" : "view.\(index)."
    }

    /// Where the weights of a view's member stand, below those of the view.
    private static func prefix(ofMember index: Int) -> String {
        index == 0 ? "" : "member.\(index)."
    }

    /// Weights of all networks that training fits to the files; what scores and drawing keep is beside them.
    public var networkWeightCount: Int {
        record.views.indices.reduce(0) { count, view in
            (0..<record.members).reduce(count) { count, member in
                weights(ofView: view, member: member)
                    .filter { Self.isOfNetwork($0.key) && $0.key != Self.logScalePath }
                    .reduce(count) { $0 + $1.value.values.count }
            }
        }
    }

    /// Whether a path, without view and member, is of a network and not of what is beside it.
    private static func isOfNetwork(_ path: String) -> Bool {
        !FittedScores.owns(path) && !LatentDensity.owns(path) && !LatentFlow.owns(path)
            && !DeformationDistribution.owns(path)
    }

    /// The bytes of the file; equal models give equal bytes.
    public func encoded() throws -> [UInt8] {
        let json = try recordJSON()
        var contents = Safetensors(
            metadata: [
                "format": Self.format, "format_version": "\(Self.formatVersion)", "record": json,
            ], tensors: weights)
        contents.metadata["sha256"] = Self.digest(contents)
        return try contents.encoded()
    }

    /// SHA-256 over everything that the file says, so that a flipped bit is found.
    static func digest(_ contents: Safetensors) -> String {
        var bytes: [UInt8] = []
        for (key, value) in contents.metadata.sorted(by: { $0.key < $1.key }) where key != "sha256"
        {
            bytes += Array("\(key)\0\(value)\0".utf8)
        }
        for (name, tensor) in contents.tensors.sorted(by: { $0.key < $1.key }) {
            bytes += Array("\(name)\0\(tensor.shape)\0".utf8)
            tensor.values.withUnsafeBytes { bytes += $0 }
        }
        return ContentHash(of: bytes).description
    }

    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }

    /// The record as JSON, as it stands in the file's metadata.
    public func recordJSON() throws -> String {
        String(decoding: try Self.encoder.encode(record), as: UTF8.self)
    }

    /// Writes the file under a temporary name and renames it.
    public func write(to path: String, overwrite: Bool) throws {
        try FileBytes.write(try encoded(), to: path, overwrite: overwrite, durable: true)
    }

    /// A model file that was read, with the hash that manifests name it by.
    public struct Loaded: Sendable {
        /// The contents.
        public var file: ModelFile
        /// SHA-256 of the bytes.
        public let hash: ContentHash
    }

    /// Reads and checks a file.
    ///
    /// - Throws: ``LatentError`` with code `.model` when it is truncated, damaged, from a later
    ///   version, or no model; `MediaError` when it cannot be read at all
    public static func read(_ path: String) throws -> Loaded {
        let bytes = try FileBytes.read(path, maximumByteCount: 4 << 30)
        do {
            var file = try ModelFile(decoding: bytes)
            file.path = path
            return Loaded(file: file, hash: ContentHash(of: bytes))
        } catch let error as TorchError {
            throw LatentError(
                .model, path: path, error.message,
                hint: "train the model again, or copy the file again")
        } catch let error as LatentError {
            throw LatentError(.model, path: path, error.message, hint: error.hint)
        }
    }

    init(decoding bytes: [UInt8]) throws {
        let contents = try Safetensors(decoding: bytes)
        guard contents.metadata["format"] == Self.format else {
            throw LatentError(
                .model, "a safetensors file, but not a latent model",
                hint: "make one with latent train")
        }
        let version = contents.metadata["format_version"] ?? "none"
        guard version == "\(Self.formatVersion)" else {
            throw LatentError(
                .model, "model format \(version); this program reads \(Self.formatVersion)",
                hint: "use the version of latent that wrote it")
        }
        guard contents.metadata["sha256"] == Self.digest(contents) else {
            throw LatentError(
                .model, "the contents do not match their checksum: the file was changed or damaged",
                hint: "copy it again, or train again")
        }
        guard let json = contents.metadata["record"],
            let record = try? JSONDecoder().decode(ModelRecord.self, from: Data(json.utf8))
        else { throw LatentError(.model, "the model's record cannot be read") }
        try record.validate()
        let count = contents.tensors.values.reduce(0) { $0 + $1.values.count }
        guard record.views.allSatisfy({ $0.configuration.largestLayerCount <= count }) else {
            throw LatentError(
                .model, "the record is of a larger network than the file has weights for")
        }
        for (name, tensor) in contents.tensors.sorted(by: { $0.key < $1.key })
        where !tensor.isFinite {
            throw LatentError(
                .model, "\(name) has numbers that are not finite", hint: "train the model again")
        }
        self.record = record
        weights = contents.tensors
    }

    /// Makes something of the file, and says of which file what does not fit together.
    ///
    /// - Throws: what `body` does; errors of the model with the file's path
    func naming<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as LatentError where error.code == .model && error.path == nil {
            throw LatentError(.model, path: path, error.message, hint: error.hint)
        }
    }

    /// Whether it says where the latents of the training files lie, for ``LatentSampling/density``.
    public var hasDensity: Bool { weights.keys.contains(where: LatentDensity.owns) }

    /// Gaussians of the density of each class or combination of labels; nil without a density.
    public var densityComponentCounts: [Int]? {
        (try? LatentDensity(self))?.mixtures.map { $0?.weights.count ?? 0 }
    }

    /// Of each class, or combination of labels, whether what a method draws from was fitted to files of
    /// it; nil for methods that nothing was fitted for.
    func fittedCombinations(for method: LatentSampling) -> [Bool]? {
        switch method {
        case .density: (try? LatentDensity(self))?.mixtures.map { $0 != nil }
        case .flow: record.flow?.windowCounts.map { $0 > 0 }
        default: nil
        }
    }

    /// Classes, or combinations of labels, that what a method draws from knows no file of: all of theirs
    /// were kept for other ends.
    public func labelsNotFitted(for method: LatentSampling) -> [String] {
        guard let fitted = fittedCombinations(for: method),
            let groups = LatentDensity.groups(of: record)
        else { return [] }
        return zip(groups.combinations, fitted).compactMap { codes, isFitted in
            isFitted ? nil : groups.label(of: codes)
        }
    }

    /// The scores that the model gives, also those that have to be asked for.
    public var scoreKinds: Set<ScoreKind> {
        Set(ScoreKind.allCases.filter { (try? check($0)) != nil })
    }

    /// Refuses a score that the model does not have.
    ///
    /// - Throws: ``LatentError`` `.usage` of the model at `path`, with what to do
    public func check(_ kind: ScoreKind, path: String? = nil) throws(LatentError) {
        guard !FittedScores.missing(in: weights).contains(kind),
            kind != .ensemble || record.ensemble != nil
        else {
            let hint =
                switch (kind, record.purpose) {
                case (.masked, _):
                    "train with --for detection --score masked, or use another --score"
                case (.mixture, .detection):
                    "its normal files are too few, or rebuilt well by one network; use another --score"
                default: "train with --for detection, or use another --score"
                }
            throw LatentError(
                .usage, path: path, "the model has no score \(kind.rawValue)", hint: hint)
        }
        try kind.check(record.configuration, path: path)
    }

    /// Builds the model on a device; of several views, or members, the first.
    public func model(on device: Device) throws -> VAE {
        try naming {
            try model(record.configuration, weights: weights(ofView: 0), on: device)
        }
    }

    /// Builds all views on a device.
    func views(on device: Device) throws -> [DetectorView] {
        try naming { try builtViews(on: device) }
    }

    private func builtViews(on device: Device) throws -> [DetectorView] {
        try record.views.enumerated().map { index, view in
            let members = try (0..<record.members).map { member in
                let weights = weights(ofView: index, member: member)
                return DetectorView.Member(
                    model: try model(view.configuration, weights: weights, on: device),
                    fitted: try FittedScores(
                        weights: weights, of: view.configuration, on: device))
            }
            let kinds = members[0].fitted.kinds.intersection(FittedScores.networkKinds)
            guard members.dropFirst().allSatisfy({ $0.fitted.kinds == kinds }) else {
                throw LatentError(
                    .model, "the members of a view have different scores",
                    hint: "train the model again")
            }
            return DetectorView(
                model: members[0].model, preprocessing: view.preprocessing,
                aggregate: view.aggregate, fitted: members[0].fitted,
                furtherMembers: Array(members.dropFirst()))
        }
    }

    private func weights(ofView view: Int, member: Int = 0) -> [String: HostTensor] {
        let prefix = Self.prefix(ofView: view) + Self.prefix(ofMember: member)
        return Dictionary(
            uniqueKeysWithValues: weights.compactMap { path, tensor in
                guard path.hasPrefix(prefix) else { return nil }
                let own = path.dropFirst(prefix.count)
                return own.hasPrefix("view.") || own.hasPrefix("member.")
                    ? nil : (String(own), tensor)
            })
    }

    private func model(
        _ configuration: VAEConfiguration, weights: [String: HostTensor], on device: Device
    ) throws -> VAE {
        let model = try VAE(configuration, device: device, seed: 0)
        do {
            try model.parameters.load(weights.filter { Self.isOfNetwork($0.key) })
        } catch {
            throw LatentError(.model, error.message, hint: "train the model again")
        }
        model.scoringPrecision = record.scoringPrecision ?? .float32
        let scale = weights[Self.logScalePath]?.values ?? [0]
        guard scale.count == 1, scale[0].isFinite else {
            throw LatentError(
                .model, "\(Self.logScalePath) is \(scale); expected one finite number",
                hint: "train the model again")
        }
        model.sharedLogScale = Double(scale[0])
        return model
    }
}
