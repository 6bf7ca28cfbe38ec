import ArgumentParser
import Latent

/// How many files are written, of which classes.
struct AmountOptions: ParsableArguments {
    @Option(
        name: [.customShort("n"), .long],
        help: ArgumentHelp(
            "Files to write in all; real files, or classes, take turns.", valueName: "n"))
    var number: Int?

    @Option(help: ArgumentHelp("New files of each class.", valueName: "n"))
    var perClass: Int?

    @Flag(help: "Fill every class of DATA up to the largest.")
    var balance = false

    @Option(help: ArgumentHelp("Fill every class of DATA up to so many files.", valueName: "n"))
    var balanceTo: Int?

    @Option(
        help: ArgumentHelp(
            """
            New files of the classes that are named, and of no others; may be given several times.
            """, valueName: "class=n,…"))
    var counts: [String] = []

    @Option(help: ArgumentHelp("New files for each file of DATA.", valueName: "k"))
    var multiply: Int?

    func validate() throws {
        let given =
            [
                ("-n", number != nil), ("--per-class", perClass != nil), ("--balance", balance),
                ("--balance-to", balanceTo != nil), ("--counts", !counts.isEmpty),
                ("--multiply", multiply != nil),
            ].filter(\.1).map(\.0)
        guard given.count == 1 else {
            throw ValidationError(
                "how many files: give "
                    + (given.isEmpty ? "" : "only one of \(given.joined(separator: ", ")), not ")
                    + (given.isEmpty
                        ? "-n, --per-class, --balance, --balance-to, --counts or --multiply."
                        : "\(given.count) of them."))
        }
        for (name, value) in [
            ("-n", number), ("--per-class", perClass), ("--balance-to", balanceTo),
            ("--multiply", multiply),
        ] {
            guard let value, !(1...AugmentationAmount.limit).contains(value) else { continue }
            throw ValidationError(
                "\(name) is \(value); it must be 1 to \(AugmentationAmount.limit).")
        }
        for list in counts {
            do {
                _ = try AugmentationAmount.counts(in: list, known: [])
            } catch {
                throw ValidationError("\(error.message); \(error.hint ?? "").")
            }
        }
    }

    /// What is asked for; exactly one option is given.
    var amount: AugmentationAmount {
        if let number { return .total(number) }
        if let perClass { return .perClass(perClass) }
        if let multiply { return .multiple(multiply) }
        return counts.isEmpty ? .fill(to: balanceTo) : .counts(counts)
    }
}
