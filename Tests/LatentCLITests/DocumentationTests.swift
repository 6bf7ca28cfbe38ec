import Foundation
import TestSupport
import Testing

@Suite("Documentation")
struct DocumentationTests {
    private static let root = Fixtures.packageRoot

    private static let pages = Result {
        try FileManager.default.contentsOfDirectory(
            atPath: root.appendingPathComponent("Documentation").path
        ).filter { $0.hasSuffix(".md") }.map { "Documentation/\($0)" } + ["README.md"]
    }

    /// The names that headings of a page are linked by: small letters and digits, hyphens for spaces.
    private static func anchors(_ page: String) throws -> Set<String> {
        Set(
            try Fixtures.page(page).split(separator: "\n").filter { $0.hasPrefix("#") }.map {
                line in
                String(
                    line.drop { $0 == "#" }.dropFirst().lowercased().compactMap { character in
                        character == " "
                            ? "-"
                            : character.isLetter || character.isNumber || "-_".contains(character)
                                ? character : nil
                    })
            })
    }

    @Test("every link leads to a page that is there, and a heading of it")
    func links() throws {
        var count = 0
        for page in try Self.pages.get() {
            let folder = page.hasPrefix("Documentation/") ? "Documentation/" : ""
            for match in try Fixtures.page(page).matches(of: /\]\(([^)\s]*)\)/) {
                let parts = match.1.split(separator: "#", omittingEmptySubsequences: false)
                let target =
                    parts[0].isEmpty
                    ? page
                    : parts[0].hasPrefix("../")
                        ? String(parts[0].dropFirst(3)) : folder + parts[0]
                #expect(
                    try Self.pages.get().contains(target), "\(page): \(match.1)")
                if parts.count > 1, try Self.pages.get().contains(target) {
                    #expect(
                        try Self.anchors(target).contains(String(parts[1])), "\(page): \(match.1)")
                }
                count += 1
            }
        }
        #expect(count > 20)
    }

    @Test("every command has options that its help has")
    func options() throws {
        let verbs = [
            "train", "score", "calibrate", "augment", "label", "judge", "check", "inspect",
            "evaluate detection", "evaluate likelihood", "evaluate augmentation",
        ]
        var help: [String: String] = [:]
        for verb in verbs {
            help[verb] = try Tool.run(verb.split(separator: " ").map(String.init) + ["--help"])
                .output
        }
        var count = 0
        for page in try Self.pages.get() {
            let blocks = try Fixtures.shellBlocks(of: page)
            for line in blocks.joined().replacing("\\\n", with: " ").split(separator: "\n") {
                guard let start = line.firstRange(of: "latent ")?.upperBound else { continue }
                let command = line[start...].prefix { !"|>;".contains($0) }
                guard let verb = verbs.first(where: { command.hasPrefix($0 + " ") }) else {
                    continue
                }
                for word in command.split(separator: " ") where word.hasPrefix("--") {
                    let isKnown = try #require(help[verb]).split {
                        !($0.isLetter || $0.isNumber || $0 == "-")
                    }.contains(word)
                    #expect(isKnown, "\(page): latent \(verb) has no \(word)")
                    count += 1
                }
            }
        }
        #expect(count > 50)
    }
}
