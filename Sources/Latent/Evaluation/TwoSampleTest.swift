import Torch

/// Whether a classifier tells synthetic items from real ones (C2ST): its accuracy on items that it was
/// not trained on.
///
/// ``SmallClassifier`` is trained on a half of both sets and asked about the other half: 0.5 where it
/// cannot tell them apart, 1 where it always can.
///
/// Source: Lopez-Paz & Oquab, "Revisiting classifier two-sample tests", ICLR 2017.
struct TwoSampleTest: Sendable, Equatable {
    let correctCount: Int
    let testCount: Int

    /// Trains and asks; both sets have as many items, four or more, in random order.
    init(
        synthetic: SmallMaps, real: SmallMaps, configuration: SmallClassifier.Configuration,
        device: Device, onStep: () throws -> Void
    ) throws {
        let half = synthetic.count / 2
        let classifier = try SmallClassifier(
            shape: real.shape, classCount: 2, configuration: configuration, device: device)
        let sides = [real, synthetic]
        // Half of each batch of either kind: neither is the likelier.
        try classifier.train(
            on: sides.enumerated().map { code, maps in
                .init(
                    maps: maps.picked(0..<half), codes: [Int](repeating: code, count: half),
                    share: 0.5)
            }, onStep: onStep)
        var correct = 0
        for (code, maps) in sides.enumerated() {
            correct += try classifier.classes(of: maps.picked(half..<maps.count))
                .count { $0 == code }
        }
        correctCount = correct
        testCount = 2 * (synthetic.count - half)
    }
}
