import ArgumentParser

/// What lies between a shell and the argument parser.
enum Arguments {
    /// Attaches negative numbers to the options before them, as in `--strength=-1`.
    ///
    /// The parser takes what begins with a dash for an option. `-0` is one.
    static func withAttachedNumbers(_ words: some Sequence<String>) -> [String] {
        var attached: [String] = []
        var isLiteral = false
        for word in words {
            let isNumber = word.hasPrefix("-") && word != "-0" && Double(word) != nil
            if let last = attached.last, !isLiteral, isNumber, isOption(last) {
                attached[attached.count - 1] = "\(last)=\(word)"
            } else {
                attached.append(word)
            }
            isLiteral = isLiteral || word == "--"
        }
        return attached
    }

    /// Whether a word is the name of an option, to which a value can be attached.
    private static func isOption(_ word: String) -> Bool {
        let name = word.hasPrefix("--") ? word.dropFirst(2) : word.dropFirst()
        guard word.hasPrefix("-"), let first = name.first, first.isLetter else { return false }
        return (word.hasPrefix("--") || name.count == 1) && !name.contains("=")
    }

    /// What the parser has to say of a mistake, on one line: without the usage that it adds.
    ///
    /// - Parameters:
    ///   - message: what is wrong
    ///   - full: the same as the parser would print it, with the name of the command
    /// - Returns: the message, and where there is more unless it is a sentence that says what to do
    static func mistake(_ message: String, full: String) -> String {
        // A list of values stands in lines of its own.
        let line = message.split(separator: "\n").map { line in
            line.hasPrefix("  - ") ? "\(line.dropFirst(4))," : line.drop { $0 == " " } + ""
        }.joined(separator: " ")
        let text = line.hasSuffix(",") ? String(line.dropLast()) + "." : line
        guard !text.hasSuffix("."), let start = full.range(of: "See '"),
            let end = full.range(of: "'", range: start.upperBound..<full.endIndex)
        else { return text }
        return "\(text); see \(full[start.upperBound..<end.lowerBound])"
    }
}

/// A value of an option that is read from words, with what they must be.
protocol WordedArgument: ExpressibleByArgument {
    /// What is expected, to follow `expected`.
    static var form: String { get }
}

extension WordedArgument {
    /// Reads a value, or says what it must be: for the `transform` of an option.
    ///
    /// - Throws: `ValidationError` with the form
    static func read(_ text: String) throws -> Self {
        guard let value = Self(argument: text) else {
            throw ValidationError("expected \(form).")
        }
        return value
    }
}

/// What each of several values is, for lines of their own in the help.
func summaries<Value: CaseIterable & RawRepresentable<String>>(
    of type: Value.Type, _ summary: (Value) -> String
) -> [String: String] {
    Dictionary(uniqueKeysWithValues: type.allCases.map { ($0.rawValue, summary($0)) })
}
