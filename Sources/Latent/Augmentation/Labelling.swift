/// Which labels parents have and new items get.
struct Labelling: Sendable {
    let conditioning: Conditioning?
    let assigned: [Int?]
    /// Combinations that training saw and that fit what is assigned.
    let combinations: [[Int]]

    init(
        _ conditioning: Conditioning?, assignments: [String: String], density: LatentDensity?
    ) throws(LatentError) {
        guard let conditioning else {
            guard assignments.isEmpty else {
                throw LatentError(
                    .usage, "the model is not conditioned on labels",
                    hint: "leave --condition out, or train with --condition class")
            }
            (self.conditioning, assigned, combinations) = (nil, [], [])
            return
        }
        let assigned = try conditioning.codes(ofAssignments: assignments)
        self.conditioning = conditioning
        self.assigned = assigned
        let fitting = conditioning.combinations.enumerated().filter { index, codes in
            zip(codes, assigned).allSatisfy { $1 == nil || $0 == $1 }
                && (density.map { $0.mixtures[index] != nil } ?? true)
        }.map(\.element)
        // A combination that training never saw may still be asked for whole, but has no density.
        let whole = assigned.compactMap { $0 }
        let isWhole = density == nil && whole.count == assigned.count
        combinations = fitting.isEmpty && isWhole ? [whole] : fitting
        guard !combinations.isEmpty else {
            throw LatentError(
                .usage, "no training file had these labels together",
                hint: density == nil
                    ? "give a value of each of \(conditioning.names.joined(separator: ", "))"
                    : "give others, or use --method prior")
        }
    }

    func codes(of parent: Item) throws(LatentError) -> [Int] {
        try conditioning?.codes(of: parent) ?? []
    }

    /// The codes of an item that starts from one of other codes.
    func codes(parent: [Int]) -> [Int] {
        zip(parent, assigned).map { $1 ?? $0 }
    }

    /// Which of the combinations of training codes are.
    func group(_ codes: [Int]) -> Int {
        conditioning?.combinations.firstIndex(of: codes) ?? 0
    }
}
