import Torch

/// The parts of the training data.
public struct Split: Sendable {
    /// What the weights are fitted to.
    public let training: [SurveyedItem]
    /// What decides when to stop.
    public let heldOut: [SurveyedItem]
    /// What thresholds are fitted to; neither weights nor stopping have seen it.
    public let calibration: [SurveyedItem]

    /// Divides items by their content, so that neither names nor order matter and equal files stay
    /// together in nearly every case.
    ///
    /// - Parameters:
    ///   - items: all readable items
    ///   - heldOutShare: of all items
    ///   - calibrationShare: of all items
    ///   - seed: another seed gives another division
    public init(
        _ items: [SurveyedItem], heldOutShare: Double, calibrationShare: Double, seed: UInt64
    ) {
        let ranked = items.enumerated().map { index, item in
            var generator = Generator(seed: seed, Stream.split.rawValue, item.contentWord)
            return (key: generator.next(), index: index)
        }.sorted { ($0.key, $0.index) < ($1.key, $1.index) }
        let calibrationCount = min(
            items.count, Int((Double(items.count) * calibrationShare).rounded()))
        let heldOutCount = min(
            items.count - calibrationCount, Int((Double(items.count) * heldOutShare).rounded()))
        func part(_ range: Range<Int>) -> [SurveyedItem] {
            ranked[range].map(\.index).sorted().map { items[$0] }
        }
        calibration = part(0..<calibrationCount)
        heldOut = part(calibrationCount..<calibrationCount + heldOutCount)
        training = part(calibrationCount + heldOutCount..<items.count)
    }
}
