import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Input augmentation") struct InputAugmentationTests {
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        let shape: [Int]
        let seed: UInt64
        let step, position: Int
        let shift, rotation, gain: Double
        let x, moved: OracleArray
        var testDescription: String { "shift \(shift), rotation \(rotation), gain \(gain)" }
    }

    private struct File: Decodable { let cases: [Case] }

    private static let cases: [Case] =
        (try! Fixtures.expected("augmentation.json", as: File.self)).cases

    private static let window = WindowShape(channelCount: 1, height: 12, width: 10)

    private func batch(_ values: [Float], positions: [Int]) -> StepLoss.Rows {
        StepLoss.Rows(
            values: values, positions: positions, codes: positions.map { _ in [] }, noise: [])
    }

    private func noise(_ count: Int, seed: UInt64 = 1) -> [Float] {
        var generator = Generator(seed: seed)
        return (0..<count).map { _ in generator.uniform() }
    }

    /// What becomes of windows.
    private func varied(
        _ augmentation: InputAugmentation, _ values: [Float], positions: [Int], step: Int = 0,
        window: WindowShape = window
    ) -> StepLoss.Rows {
        var batch = batch(values, positions: positions)
        augmentation.vary(&batch, window: window, seed: 3, step: step)
        return batch
    }

    private static let all: [InputAugmentation] = {
        var mixed = InputAugmentation()
        (mixed.shift, mixed.rotationDegrees, mixed.gain) = (0.2, 20, 0.3)
        (mixed.timeShift, mixed.maskShare) = (0.3, 0.4)
        return [
            .light(for: .whole()), .light(for: .frames(melCount: 12)), mixed,
        ]
    }()

    @Test("shifts, rotations and contrast are those of PyTorch's grid_sample", arguments: cases)
    func moved(oracle: Case) {
        var augmentation = InputAugmentation()
        augmentation.shift = oracle.shift
        augmentation.rotationDegrees = oracle.rotation
        augmentation.gain = oracle.gain
        var batch = batch(oracle.x.values, positions: [oracle.position])
        let shape = oracle.shape
        augmentation.vary(
            &batch, window: WindowShape(channelCount: shape[0], height: shape[1], width: shape[2]),
            seed: oracle.seed, step: oracle.step)
        #expect(mismatch(batch.values, oracle.moved.values, absolute: 2e-5) == nil)
        #expect(batch.inputs == nil)
    }

    @Test("limits of 0 change nothing")
    func identity() {
        let values = noise(240)
        let batch = varied(InputAugmentation(), values, positions: [0, 1])
        #expect(batch.values == values && batch.inputs == nil)
    }

    @Test("a window's variation depends on step and place, not on the others", arguments: all)
    func keys(augmentation: InputAugmentation) {
        let values = noise(360)
        let whole = varied(augmentation, values, positions: [4, 5, 6], step: 9)
        let one = varied(augmentation, Array(values[120..<240]), positions: [5], step: 9)
        #expect(one.values == Array(whole.values[120..<240]))
        #expect(one.inputs == whole.inputs.map { Array($0[120..<240]) })
        // Over many steps and places there are many variations.
        let same = Array(values[0..<120])
        func kinds(_ batches: [StepLoss.Rows]) -> Int {
            Set(batches.map { $0.values + ($0.inputs ?? []) }).count
        }
        #expect(
            kinds((0..<8).map { varied(augmentation, same, positions: [0], step: $0) }) > 2)
        #expect(kinds((0..<8).map { varied(augmentation, same, positions: [$0]) }) > 2)
    }

    @Test("values stay in 0…1", arguments: all)
    func range(augmentation: InputAugmentation) {
        for step in 0..<30 {
            let batch = varied(augmentation, noise(120), positions: [0], step: step)
            #expect(batch.values.allSatisfy { (0.0...1).contains($0) })
            #expect((batch.inputs ?? []).allSatisfy { (0.0...1).contains($0) })
        }
    }

    @Test("masks hide whole bands and whole frames from the encoder, and leave the target alone")
    func masks() {
        var augmentation = InputAugmentation()
        augmentation.maskShare = 0.3
        let values = noise(120).map { $0 + 0.01 }
        var (bands, frames): (Set<Int>, Set<Int>) = ([], [])
        for step in 0..<60 {
            let batch = varied(augmentation, values, positions: [2], step: step)
            #expect(batch.values == values)
            guard let inputs = batch.inputs else {
                Issue.record("no inputs")
                return
            }
            let isHidden = zip(inputs, values).map { input, value in
                #expect(input == 0 || input == value)
                return input == 0
            }
            let hiddenRows = (0..<12).filter { row in
                (0..<10).allSatisfy { isHidden[row * 10 + $0] }
            }
            let hiddenColumns = (0..<10).filter { column in
                (0..<12).allSatisfy { isHidden[$0 * 10 + column] }
            }
            // Nothing else is hidden; each a run, of 30 % at most: 3.6 bands are 4.
            for index in 0..<120 {
                let isExpected =
                    hiddenRows.contains(index / 10) || hiddenColumns.contains(index % 10)
                #expect(isHidden[index] == isExpected)
            }
            for run in [hiddenRows, hiddenColumns] {
                #expect(run.isEmpty || run == Array(run[0]...run[run.count - 1]))
            }
            #expect(hiddenRows.count <= 4 && hiddenColumns.count <= 3)
            bands.insert(hiddenRows.count)
            frames.insert(hiddenColumns.count)
        }
        #expect(frames == [0, 1, 2, 3] && bands == [0, 1, 2, 3, 4])
    }

    @Test("delayed frames keep their order, and silence comes in at the edges")
    func delays() {
        var augmentation = InputAugmentation()
        augmentation.timeShift = 0.2  // 2 of 10 frames
        let values = (0..<120).map { Float($0 + 1) / 200 }
        var delays: Set<Int> = []
        for step in 0..<100 {
            let found = varied(augmentation, values, positions: [1], step: step).values
            let delay = (-9...9).first { delay in
                (0..<120).allSatisfy { index in
                    let from = index % 10 - delay
                    let isInside = (0..<10).contains(from)
                    return found[index] == (isInside ? values[index - delay] : 0)
                }
            }
            guard let delay else {
                Issue.record("no delay gives the result of step \(step)")
                return
            }
            delays.insert(delay)
        }
        #expect(delays == [-2, -1, 0, 1, 2])
    }

    @Test("shifts and masks of less than half a frame or band are none")
    func tiny() {
        var augmentation = InputAugmentation()
        (augmentation.timeShift, augmentation.maskShare) = (0.04, 0.04)
        let values = noise(120)
        for step in 0..<40 {
            let found = varied(augmentation, values, positions: [0], step: step)
            #expect(found.values == values && found.inputs == values)
        }
    }

    @Test("the whole width may be delayed: nothing but silence is left then")
    func wholeDelay() {
        var augmentation = InputAugmentation()
        augmentation.timeShift = 1
        let window = WindowShape(channelCount: 1, height: 2, width: 1)
        var kinds: Set<[Float]> = []
        for step in 0..<40 {
            kinds.insert(
                varied(augmentation, [0.5, 1], positions: [0], step: step, window: window).values)
        }
        #expect(kinds == [[0.5, 1], [0, 0]])
    }

    @Test("light variations fit the view")
    func light() {
        let image = InputAugmentation.light(for: .whole(channelCount: 3))
        #expect(image.timeShift == 0 && image.maskShare == 0)
        #expect(image.shift > 0 && image.rotationDegrees > 0 && image.gain > 0)
        let sound = InputAugmentation.light(for: .frames(melCount: 8))
        #expect(sound.shift == 0 && sound.rotationDegrees == 0 && sound.gain == 0)
        #expect(sound.timeShift > 0 && sound.maskShare > 0)
        var cells = Preprocessing.whole()
        cells.transform = .gradients(GradientCells())
        let directions = InputAugmentation.light(for: cells)
        #expect(directions.shift > 0 && directions.rotationDegrees == 0 && directions.scale == 0)
    }
}
