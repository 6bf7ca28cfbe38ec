import Media
import Torch

/// What a model that draws gets once its network is trained: a density and a flow of its latents,
/// deformations, and what new files look like.
extension TrainingRun {
    /// Where the latents lie; nil where no Gaussian can be fitted to them, as the model is whole without.
    func density(of latents: LabelledPosteriors?, groups: Conditioning?) -> LatentDensity? {
        latents.flatMap { try? LatentDensity(fittedTo: $0, groups: groups, seed: request.seed) }
    }

    /// A flow of the latents, compared with their density; nil where none is asked for, or possible.
    func flow(
        of latents: LabelledPosteriors?, model: VAE, job: ViewJob, density: LatentDensity?,
        groups: Conditioning?
    ) throws -> LatentFlow? {
        guard request.flowStepCount > 0 else { return nil }
        let flow = try latents.flatMap {
            try LatentFlow.fitted(
                to: $0, groups: groups, stepCount: request.flowStepCount, seed: request.seed
            ) { done, count in
                onEvent(.fittingFlow(done: done, of: count))
                if environment.shouldStop() {
                    throw LatentError(
                        .interrupted, "interrupted while a flow was learned, at step \(done)",
                        hint: "use --resume to go on from the checkpoint, where there is one")
                }
            }
        }
        guard let flow else {
            onEvent(
                .training(
                    .warning("no flow is learned: the windows are too few, or latents overflowed")))
            return nil
        }
        if let heldOut = try LabelledPosteriors(of: job.heldOut, by: model, labels: groups) {
            try flow.compare(on: heldOut, with: density, seed: request.seed)
        }
        onEvent(.fittedFlow(flow.configuration))
        return flow
    }

    /// How items of a class differ; nil where there are no two, of one window each.
    ///
    /// Learned from all items: a deformation has no part in scores, so that none need be kept from it.
    func deformations(_ survey: Survey, plan: TrainingPlan) throws -> DeformationDistribution? {
        let stepCount = request.deformationStepCount ?? DeformationNetwork.defaultStepCount
        guard plan.purpose == .augmentation, stepCount > 0 else { return nil }
        let preprocessing = plan.primary.preprocessing
        let source = try WindowSource(
            survey.items, preprocessing: preprocessing, threadCount: environment.readerCount)
        guard DeformationPairs.exist(in: source) else {
            if request.deformationStepCount != nil {
                onEvent(
                    .training(
                        .warning(
                            "no deformations are learned: no two files of a class are one window each"
                        )))
            }
            return nil
        }
        var configuration = DeformationConfiguration(
            windowing: preprocessing.windowing, channelCount: preprocessing.channelCount,
            stepCount: stepCount, itemCount: 0)
        let pairs = try DeformationPairs(of: source, configuration: configuration)
        guard pairs.itemCount > 0 else { return nil }
        configuration.itemCount = pairs.itemCount
        let found = try DeformationDistribution.fitted(
            to: pairs, configuration: configuration, isImage: preprocessing.domain == .image,
            seed: request.seed
        ) { done in
            onEvent(.deforming(done: done, of: stepCount))
            if environment.shouldStop() {
                throw LatentError(
                    .interrupted, "interrupted while deformations were learned, at step \(done)",
                    hint: "use --resume to go on from the checkpoint, where there is one")
            }
        }
        if found == nil {
            onEvent(
                .training(.warning("no deformations are learned: their numbers overflowed")))
        }
        return found
    }

    /// What generated files look like: the usual size and depth, or the usual level.
    func describeOutput(
        _ record: inout ModelRecord, survey: Survey, plan: ViewPlan,
        training: [SurveyedItem]
    ) throws {
        switch plan.preprocessing.view {
        case .pixels:
            record.outputSize =
                plan.preprocessing.windowing.mode == .whole
                ? [survey.mode(\.height), survey.mode(\.width)]
                : [plan.model.height, plan.model.width]
            record.outputBitDepth = survey.mode(\.bitDepth) == 16 ? 16 : 8
        case .logMel(let view):
            // What cannot be turned back needs no level.
            guard plan.preprocessing.isInvertible else { return }
            // A sample of the clips is enough for a mean level.
            let step = max(1, training.count / 100)
            var levels: [Double] = []
            for index in stride(from: 0, to: training.count, by: step) {
                let audio = try Audio(contentsOf: training[index].item.path)
                levels.append(try view.features(of: audio).1.referenceLevel)
            }
            record.outputReferenceLevel = levels.reduce(0, +) / Double(max(1, levels.count))
        }
    }
}
