import Foundation

/// Where the committed test data are, found from this file's own path.
public enum Fixtures {
    /// The root of the package.
    public static let packageRoot = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The text of a page of the documentation.
    public static func page(_ name: String) throws -> String {
        try String(contentsOf: packageRoot.appendingPathComponent(name), encoding: .utf8)
    }

    /// The blocks of shell in a page of the documentation.
    public static func shellBlocks(of page: String) throws -> [String] {
        try Self.page(page).components(separatedBy: "```").filter { $0.hasPrefix("sh\n") }
            .map { String($0.dropFirst(3)) }
    }

    /// Returns the absolute path of a file or folder below `Fixtures/`.
    public static func path(_ relative: String) -> String {
        packageRoot.appendingPathComponent("Fixtures").appendingPathComponent(relative).path
    }
}
