/// Windows laid out in one picture, to look at: what a model makes of its data.
public struct ContactSheet: Sendable {
    /// One latent dimension, varied while the others stay.
    public struct Traversal: Sendable {
        /// Which dimension, from 0.
        public let dimension: Int
        /// What the posterior says about it on average: KL divergence from the prior, in nats.
        public let klNats: Double
        /// What is decoded, one window for each value.
        public let windows: [FeatureMap]

        /// Makes a row of a sheet.
        public init(dimension: Int, klNats: Double, windows: [FeatureMap]) {
            self.dimension = dimension
            self.klNats = klNats
            self.windows = windows
        }
    }

    /// Windows in a row, such as files of a class.
    public struct Row: Sendable {
        /// Lines of text at the left.
        public let label: [String]
        /// What is shown, from the left.
        public let windows: [FeatureMap]
        /// Whether the row belongs to the one above, and stands close to it.
        public let isTied: Bool

        /// Makes a row of a sheet.
        public init(label: [String], windows: [FeatureMap], isTied: Bool = false) {
            self.label = label
            self.windows = windows
            self.isTied = isTied
        }
    }

    /// In pixels.
    public let width: Int
    /// In pixels.
    public let height: Int
    /// The whole PNG file, RGB of eight bits; the same windows give the same bytes.
    public let png: [UInt8]

    /// Lays out originals, and below each what the model makes of it.
    ///
    /// - Parameters:
    ///   - originals: windows of one shape
    ///   - reconstructions: as many, of the same shape
    ///   - domain: how windows are shown; log-mel windows with low frequencies at the bottom
    ///   - columns: windows in a row; about as wide as high when nil
    ///   - title: a line above the windows
    /// - Returns: the sheet
    /// - Throws: ``LatentError`` `.usage` for no windows, numbers or shapes that differ, or a sheet
    ///   of more than 64 million pixels
    public static func reconstructions(
        originals: [FeatureMap], reconstructions: [FeatureMap], domain: Domain,
        columns: Int? = nil, title: String? = nil
    ) throws -> ContactSheet {
        guard originals.count == reconstructions.count else {
            throw LatentError(
                .usage,
                "\(reconstructions.count) reconstructions of \(originals.count) originals")
        }
        let columns = columns ?? columnCount(originals.count, rowsEach: 2)
        var rows: [SheetLayout.Row] = []
        for start in stride(from: 0, to: originals.count, by: max(1, columns)) {
            let range = start..<min(start + max(1, columns), originals.count)
            rows.append(.init(["original"], Array(originals[range])))
            rows.append(.init(["model"], Array(reconstructions[range]), isTied: true))
        }
        return try .init(SheetLayout(title: title, headings: [], rows: rows), domain)
    }

    /// Lays out windows, such as samples from the prior, row by row.
    ///
    /// Parameters and errors are those of
    /// ``reconstructions(originals:reconstructions:domain:columns:title:)``.
    public static func samples(
        _ windows: [FeatureMap], domain: Domain, columns: Int? = nil, title: String? = nil
    ) throws -> ContactSheet {
        let columns = max(1, columns ?? columnCount(windows.count, rowsEach: 1))
        let rows = stride(from: 0, to: windows.count, by: columns).map { start in
            SheetLayout.Row(
                [], Array(windows[start..<min(start + columns, windows.count)]), isTied: true)
        }
        return try .init(SheetLayout(title: title, headings: [], rows: rows), domain)
    }

    /// Lays out latent traversals: a row for each dimension, a column for each value.
    ///
    /// - Parameters:
    ///   - rows: the dimensions, in the order wanted, such as by falling KL divergence
    ///   - values: what the dimension is set to, column by column
    ///   - domain: how windows are shown
    ///   - title: a line above the windows
    /// - Returns: the sheet
    /// - Throws: as ``reconstructions(originals:reconstructions:domain:columns:title:)``
    public static func traversals(
        _ rows: [Traversal], values: [Double], domain: Domain, title: String? = nil
    ) throws -> ContactSheet {
        guard rows.allSatisfy({ $0.windows.count == values.count }) else {
            throw LatentError(
                .usage, "a traversal has another number of windows than the \(values.count) values")
        }
        let layout = SheetLayout(
            title: title, headings: values.map { signed($0) },
            rows: rows.map { row in
                .init(
                    ["z\(row.dimension)", "\(decimal(row.klNats, digits: 2)) nats"], row.windows,
                    isTied: true)
            })
        return try .init(layout, domain)
    }

    /// Lays out labelled rows.
    ///
    /// - Parameters:
    ///   - rows: from the top; windows of one shape
    ///   - domain: how windows are shown
    ///   - title: a line above the windows
    ///   - legend: what stands below them
    /// - Returns: the sheet
    /// - Throws: as ``reconstructions(originals:reconstructions:domain:columns:title:)``
    public static func rows(
        _ rows: [Row], domain: Domain, title: String? = nil, legend: SheetLegend? = nil
    ) throws -> ContactSheet {
        let layout = SheetLayout(
            title: title, headings: [],
            rows: rows.map {
                .init($0.label.map { $0.shortened(to: 24) }, $0.windows, isTied: $0.isTied)
            }, legend: legend)
        return try .init(layout, domain)
    }

    private init(_ layout: SheetLayout, _ domain: Domain) throws {
        let canvas = try layout.drawn(domain)
        (width, height) = (canvas.width, canvas.height)
        png = try canvas.png()
    }

    /// About as wide as high; 8 at least, so that few windows are one row.
    private static func columnCount(_ count: Int, rowsEach: Int) -> Int {
        let square = Int(Double(count * rowsEach).squareRoot().rounded(.up))
        return min(max(1, count), max(8, min(square, 16)))
    }

    private static func signed(_ value: Double) -> String {
        (value > 0 ? "+" : "") + decimal(value, digits: 1)
    }
}
