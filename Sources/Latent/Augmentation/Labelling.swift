/// Which labels parents have and new items get.
struct Labelling: Sendable {
    let conditioning: Conditioning?
    let assigned: [Int?]
    /// Combinations that training saw and that fit what is assigned.
    let combinations: [[Int]]

    /// Takes what is assigned.
    ///
    /// - Parameters:
    ///   - conditioning: the labels; nil without
    ///   - assignments: labels that all new items are to have, by attribute
    ///   - fitted: of each combination whether what is drawn from was fitted to files of it; nil where
    ///     nothing was fitted
    /// - Throws: ``LatentError`` `.usage` for labels that are not known, or cannot be drawn together
    init(
        _ conditioning: Conditioning?, assignments: [String: String], fitted: [Bool]?
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
                && fitted?[index] ?? true
        }.map(\.element)
        // A combination that training never saw may still be asked for whole, but has no density.
        let whole = assigned.compactMap { $0 }
        let isWhole = fitted == nil && whole.count == assigned.count
        combinations = fitting.isEmpty && isWhole ? [whole] : fitting
        guard !combinations.isEmpty else {
            throw LatentError(
                .usage, "no training file had these labels together",
                hint: fitted == nil
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

extension ModelFile {
    /// The labels that a word names: `speaker=theo`, several with commas, or a value such as `theo` that one
    /// attribute alone has.
    ///
    /// - Parameter word: as the user wrote it
    /// - Returns: values by attribute
    /// - Throws: ``LatentError`` `.notFound` for what the model knows nothing of, `.usage` for a value of
    ///   several attributes, or one that is unknown
    public func labels(named word: String) throws(LatentError) -> [String: String] {
        let groups = LatentDensity.groups(of: record)
        var assignments: [String: String] = [:]
        for part in word.split(separator: ",", omittingEmptySubsequences: false) {
            let words = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let attributes = groups?.attributes ?? []
            if words.count == 2, attributes.contains(where: { $0.name == words[0] }) {
                assignments[String(words[0])] = String(words[1])
                continue
            }
            let names = attributes.filter { $0.values.contains(String(part)) }.map(\.name)
            guard let name = names.first else {
                let known = attributes.map { attribute in
                    "\(attribute.name)=\(attribute.values.prefix(20).joined(separator: "|"))"
                        + (attribute.values.count > 20 ? "|…" : "")
                }
                throw LatentError(
                    .notFound, path: word,
                    "there is no such file or folder, and no label of the model",
                    hint: known.isEmpty
                        ? "name a folder of files; the model knows no labels"
                        : "name a folder of files, or one of \(known.joined(separator: ", "))")
            }
            guard names.count == 1 else {
                throw LatentError(
                    .usage, "\(part) is a value of \(names.joined(separator: " and of "))",
                    hint: "write \(name)=\(part)")
            }
            assignments[name] = String(part)
        }
        _ = try groups?.codes(ofAssignments: assignments)
        return assignments
    }
}
