import Torch

/// What is added to the posterior means of real items before new ones are drawn: one attribute is changed,
/// and what else the latents say is kept.
struct LatentMove: Sendable {
    /// Factor on the direction and on what labels differ by.
    let strength: Double
    /// [D]; nil for none.
    let direction: [Float]?
    /// Where the latents of labels lie; nil where labels move nothing.
    let means: LabelMeans?

    /// Whether nothing is moved.
    var isNone: Bool { strength == 0 || (direction == nil && means == nil) }

    /// What is added to the latents of an item, [D].
    ///
    /// - Parameters:
    ///   - own: codes of its labels
    ///   - codes: of those that the new one is to have
    /// - Returns: empty where nothing is moved
    func shift(from own: [Int], to codes: [Int]) -> [Float] {
        guard !isNone else { return [] }
        let steps = [direction, means?.shift(from: own, to: codes)].compactMap(\.self)
        return (0..<(steps.first?.count ?? 0)).map { dimension in
            Float(strength) * steps.reduce(0) { $0 + $1[dimension] }
        }
    }
}

extension Augmenter.Configuration {
    /// The assigned labels as they are given, sorted.
    var assignedLabels: String {
        assignments.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            .joined(separator: ",")
    }
}

extension Augmenter {
    /// Refuses what nothing can be moved by.
    func checkMoves(movesLabels: Bool) throws(LatentError) {
        guard configuration.strength.isFinite else {
            throw LatentError(
                .usage, "the strength of a direction is \(configuration.strength)",
                hint: "give a number, such as 1")
        }
        guard configuration.direction == nil || configuration.method.movesPosteriors else {
            throw LatentError(
                .usage,
                "--method \(configuration.method.rawValue) moves no posterior of a real item",
                hint: "use --method posterior, or leave --toward out")
        }
        guard movesLabels else { return }
        let names = configuration.assignedLabels
        guard let labelMeans else {
            // A conditional model can still be told the label.
            guard ![0, 1].contains(configuration.strength) else { return }
            throw LatentError(
                .usage, "the model does not say where the latents of \(names) lie",
                hint: "train again with --for augmentation, or name a folder of such files instead")
        }
        guard labelMeans.knows(labelling.assigned) else {
            throw LatentError(
                .usage,
                "the model does not say where the latents of \(names) lie: its files were too few",
                hint: "name a folder of such files instead")
        }
    }

    /// What the posteriors of a run are moved by.
    func move(
        for plan: AugmentationPlan, onFailure: (ItemFailure) throws -> Void,
        onRemark: (String) -> Void
    ) throws -> LatentMove {
        var vector: LatentDirection.Vector?
        if let direction = configuration.direction, let source, plan.slotCount > 0 {
            vector = try direction.vector(
                real: plan.items, by: source.model, source.file.record.preprocessing,
                labelling: labelling, workerCount: configuration.workerCount, onFailure: onFailure)
            if vector?.isClear == false {
                onRemark(
                    "the files of \(direction.name) and of \(direction.awayName ?? "DATA") lie no farther "
                        + "apart than chance has it: the direction may mean nothing")
            }
        }
        return LatentMove(
            strength: configuration.strength, direction: vector?.values, means: labelMeans)
    }
}
