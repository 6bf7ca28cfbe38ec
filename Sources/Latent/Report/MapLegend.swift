/// What the classes on a map look like, and the list of them beside it.
struct MapLegend {
    /// A colour and a shape.
    struct Look: Equatable {
        let color: Color
        let shape: Mark.Shape
        /// Whether it is that of one class alone.
        let isNamed: Bool
    }

    /// A line of the legend.
    struct Entry {
        let text: String
        let look: Look
    }

    /// The lines, from the top.
    let entries: [Entry]
    private let looks: [String: Look]
    private let hasLabels: Bool

    private static let others = Look(
        color: ClassColors.others, shape: .disc, isNamed: false)
    private static let unlabelled = Look(
        color: ClassColors.unlabelled, shape: .disc, isNamed: false)
    private static let lineHeight = 24
    private static let indent = 22
    /// Characters of a name.
    private static let longest = 18

    /// Makes the legend of some files' labels: the most frequent classes are named, in the order of
    /// their names; the rest are one line.
    init(_ labels: [String?]) {
        var counts: [String: Int] = [:]
        for label in labels { if let label { counts[label, default: 0] += 1 } }
        // By bytes, so that the order is the same everywhere.
        func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }
        let named = counts.sorted { a, b in
            a.value == b.value ? precedes(a.key, b.key) : a.value > b.value
        }.prefix(ClassColors.all.count).map(\.key).sorted(by: precedes)

        let shapes = Mark.Shape.allCases
        var looks: [String: Look] = [:]
        var entries: [Entry] = []
        for (index, name) in named.enumerated() {
            // Colours that are alike for some people get shapes that differ.
            let look = Look(
                color: ClassColors.all[index], shape: shapes[index % shapes.count], isNamed: true)
            looks[name] = look
            entries.append(Entry(text: name.shortened(to: Self.longest), look: look))
        }
        if counts.count > named.count {
            entries.append(
                Entry(text: "and \(counts.count - named.count) others", look: Self.others))
        }
        if !counts.isEmpty, labels.contains(where: { $0 == nil }) {
            entries.append(Entry(text: "no label", look: Self.unlabelled))
        }
        self.looks = looks
        self.entries = entries
        hasLabels = !counts.isEmpty
    }

    /// How a file of a class is drawn.
    func look(_ label: String?) -> Look {
        guard hasLabels else { return Look(color: ClassColors.all[0], shape: .disc, isNamed: true) }
        guard let label else { return Self.unlabelled }
        return looks[label] ?? Self.others
    }

    /// In pixels; 0 for no entries.
    var width: Int {
        entries.map { Canvas.textWidth($0.text) + Self.indent }.max() ?? 0
    }

    /// Draws the list.
    func draw(on canvas: inout Canvas, x: Int, y: Int) {
        for (index, entry) in entries.enumerated() {
            let middle = y + index * Self.lineHeight + Self.lineHeight / 2
            canvas.draw(Mark(entry.look.shape, radius: 6), x: x + 8, y: middle, entry.look.color)
            canvas.text(entry.text, x: x + Self.indent, y: middle - Canvas.textHeight() / 2)
        }
    }
}
