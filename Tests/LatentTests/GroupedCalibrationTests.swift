import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Calibration by groups") struct GroupedCalibrationTests {
    private func item(
        _ path: String, label: String? = nil, attributes: [String?] = []
    ) -> Item {
        Item(path: path, relativePath: path, label: label, split: nil, attributes: attributes)
    }

    @Test("the class is the label, or a folder of the path that is a group")
    func classes() {
        let open = GroupReader(attribute: "class", attributeNames: ["class"])
        #expect(open.group(of: item("in/a/1.png", attributes: ["b"])) == "b")
        #expect(open.group(of: item("in/a/1.png", attributes: [nil])) == "a")
        #expect(open.group(of: item("./1.png", attributes: [nil])) == nil)
        let known = GroupReader(
            attribute: "class", attributeNames: ["digit", "class"], known: ["a", "b"])
        #expect(known.group(of: item("in/a/1.png", attributes: ["3", "b"])) == "b")
        #expect(known.group(of: item("/srv/a/2024/1.png", attributes: ["3", "srv"])) == "a")
        #expect(known.group(of: item("/srv/c/1.png", attributes: ["3", "srv"])) == "srv")
        #expect(known.group(of: item("a.png", attributes: ["3", nil])) == nil)
    }

    @Test("any other name is a column, whatever the folders are")
    func columns() {
        let reader = GroupReader(
            attribute: "camera", attributeNames: ["class", "camera"], known: ["a"])
        #expect(reader.group(of: item("a/1.png", attributes: ["b", "c"])) == "c")
        #expect(reader.group(of: item("a/1.png", attributes: ["b", nil])) == nil)
    }

    /// 400 scores of a group whose level is its own.
    private func scores(_ level: Double, seed: UInt64) -> [Double] {
        var generator = Generator(seed: seed, 1)
        return generator.normals(400).map { level + Double($0) }
    }

    @Test("where groups differ in level each keeps the rate, which the threshold of all does not")
    func levels() throws {
        let levels = ["high": 3.0, "low": 0]
        let fitted = levels.mapValues { scores($0, seed: 1) }
        let pooled = Calibration(
            scores: [.mse: fitted.values.flatMap(\.self)], falseAlarmRate: 0.05)
        for (name, level) in levels {
            let own = Calibration(scores: [.mse: fitted[name] ?? []], falseAlarmRate: 0.05)
            let fresh = scores(level, seed: 2)
            func share(_ calibration: Calibration) throws -> Double {
                let threshold = try #require(calibration.threshold(.mse))
                return Double(fresh.count { $0 > threshold }) / Double(fresh.count)
            }
            // Beta-binomial: six standard deviations of 400 calibration and 400 fresh scores.
            #expect(try abs(share(own) - 0.05) < 6 * (2 * 0.05 * 0.95 / 400).squareRoot())
            #expect(try name == "high" ? share(pooled) > 0.08 : share(pooled) < 0.01)
        }
    }

    @Test("Storey's share of normal items takes p-values of groups with other steps")
    func storey() {
        // λ = 5 of 10 steps: 0.51 is above it, 0.5 is not.
        let share = FalseDiscovery.normalShare(
            pValues: [0.1, 0.2, 0.5, 0.51, 0.6], calibrationCount: 9)
        #expect(abs(share - 3 / (5 * 0.5)) < 1e-12)
    }
}
