import Torch

/// -E[log p(x|z)] + KL(q(z|x) ‖ p(z)).
///
/// Source: Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014; for several layers Sønderby
/// et al., "Ladder variational autoencoders", NeurIPS 2016.
struct EvidenceLowerBound: Objective {
    static let summary = "the evidence lower bound"

    var allowsHierarchy: Bool { true }

    func loss(of pass: TrainingPass) throws -> Tensor {
        try pass.distortion() + pass.rate() * pass.klWeight
    }
}

extension EvidenceLowerBound {
    init(_ configuration: ObjectiveConfiguration) { self.init() }
}
