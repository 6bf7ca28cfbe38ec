/// The labels that a model is told: attributes such as `class`, `digit` or `speaker`, each with the
/// values that training saw.
///
/// Source: Sohn, Lee & Yan, "Learning structured output representation using deep conditional
/// generative models" (CVAE), NeurIPS 2015; the prior is ``LabelPrior``.
public struct Conditioning: Codable, Sendable, Equatable {
    /// One attribute.
    public struct Attribute: Codable, Sendable, Equatable {
        /// Its name, as in the manifest; `class` is the class folder or the column `label`.
        public let name: String
        /// The known values, sorted.
        public let values: [String]
    }

    /// The attributes, in the order in which they were asked for.
    public let attributes: [Attribute]

    /// The combinations of values that training saw, each a value's index for each attribute.
    public let combinations: [[Int]]

    /// More values than this are no classes but names.
    static let valueLimit = 4096

    /// Collects the values of all items.
    ///
    /// - Throws: ``LatentError`` with code `.data` when an item lacks an attribute
    init(names: [String], of items: [Item]) throws(LatentError) {
        var values = [Set<String>](repeating: [], count: names.count)
        for (index, name) in names.enumerated() {
            var missing = 0
            var first: String?
            for item in items {
                if let value = item.attributes[index] {
                    values[index].insert(value)
                } else {
                    missing += 1
                    first = first ?? item.path
                }
            }
            guard missing == 0 else {
                throw LatentError(
                    .data, path: first,
                    "has no value of \(name), and \(missing - 1) other files have none",
                    hint: name == "class"
                        ? "put the files into class folders, or name them in a manifest with label"
                        : "give it in the column \(name) of a manifest")
            }
        }
        attributes = zip(names, values).map { Attribute(name: $0, values: $1.sorted()) }
        var combinations: Set<[Int]> = []
        for item in items {
            combinations.insert(try Self.codes(of: item, attributes, assigned: []))
        }
        self.combinations = combinations.sorted { $0.lexicographicallyPrecedes($1) }
        try validate()
    }

    /// Classes, sorted, as the one attribute `class`.
    init(classes: [String]) {
        attributes = [Attribute(name: "class", values: classes)]
        combinations = classes.indices.map { [$0] }
    }

    /// Checks what a file may have got wrong.
    func validate() throws(LatentError) {
        for attribute in attributes {
            guard (1...Self.valueLimit).contains(attribute.values.count) else {
                throw LatentError(
                    .usage,
                    "\(attribute.name) has \(attribute.values.count) values; expected 1 to "
                        + "\(Self.valueLimit)", hint: "condition on classes, not on names of files")
            }
        }
        guard !attributes.isEmpty, Set(names).count == names.count, !combinations.isEmpty,
            combinations.allSatisfy({ codes in
                codes.count == attributes.count
                    && zip(codes, attributes).allSatisfy { $1.values.indices.contains($0) }
            })
        else { throw LatentError(.model, "combinations of labels that the model does not know") }
    }

    /// The names of the attributes.
    public var names: [String] { attributes.map(\.name) }

    /// Length of the one-hot vectors, one after the other.
    public var count: Int { attributes.reduce(0) { $0 + $1.values.count } }

    /// The index of an item's value for each attribute.
    ///
    /// - Throws: ``LatentError`` with code `.data` for a value that training did not see
    public func codes(of item: Item) throws(LatentError) -> [Int] {
        try codes(of: item, assigned: [])
    }

    /// The index of an item's value for each attribute, where none is assigned.
    func codes(of item: Item, assigned: [Int?]) throws(LatentError) -> [Int] {
        try Self.codes(of: item, attributes, assigned: assigned)
    }

    private static func codes(
        of item: Item, _ attributes: [Attribute], assigned: [Int?]
    ) throws(LatentError) -> [Int] {
        var codes: [Int] = []
        for (index, attribute) in attributes.enumerated() {
            if index < assigned.count, let code = assigned[index] {
                codes.append(code)
            } else {
                let value =
                    index < item.attributes.count
                    ? item.attributes[index] : attribute.name == Item.className ? item.label : nil
                codes.append(try attribute.code(of: value))
            }
        }
        return codes
    }

    /// The codes of values given as `name=value`, nil for attributes that are left open.
    ///
    /// - Throws: ``LatentError`` with code `.usage` for a name or a value that is not known
    public func codes(ofAssignments assignments: [String: String]) throws(LatentError) -> [Int?] {
        for name in assignments.keys.sorted() where !names.contains(name) {
            throw LatentError(
                .usage, "the model is not conditioned on \(name)",
                hint: "it is on \(names.joined(separator: ", "))")
        }
        var codes: [Int?] = []
        for attribute in attributes {
            if let value = assignments[attribute.name] {
                do {
                    codes.append(try attribute.code(of: value))
                } catch {
                    throw LatentError(.usage, error.message, hint: error.hint)
                }
            } else {
                codes.append(nil)
            }
        }
        return codes
    }

    /// One-hot vectors of codes, [B, count] in row-major order.
    func oneHot(_ codes: [[Int]]) -> [Float] {
        var values = [Float](repeating: 0, count: codes.count * count)
        for (row, code) in codes.enumerated() {
            var start = row * count
            for (attribute, index) in zip(attributes, code) {
                values[start + index] = 1
                start += attribute.values.count
            }
        }
        return values
    }

    /// The values of codes, such as `3` or `digit=3,speaker=theo`.
    public func label(of codes: [Int]) -> String {
        let values = zip(attributes, codes).map { ($0.name, $0.values[$1]) }
        if values.count == 1, let only = values.first { return only.1 }
        return values.map { "\($0)=\($1)" }.joined(separator: ",")
    }

    /// The values of codes by attribute.
    public func values(of codes: [Int]) -> [String: String] {
        Dictionary(
            zip(attributes, codes).map { ($0.name, $0.values[$1]) }, uniquingKeysWith: { $1 })
    }
}

extension Conditioning.Attribute {
    func code(of value: String?) throws(LatentError) -> Int {
        let known =
            values.prefix(20).joined(separator: ", ")
            + (values.count > 20 ? " and \(values.count - 20) more" : "")
        guard let value else {
            throw LatentError(
                .data, "the model is conditioned on \(name), and the file has none",
                hint:
                    "give it by folder, by manifest, or with --condition \(name)=…; known: \(known)"
            )
        }
        guard let code = values.firstIndex(of: value) else {
            throw LatentError(.data, "\(name) \(value) is not known", hint: "known: \(known)")
        }
        return code
    }
}
