import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("False discoveries") struct FalseDiscoveryTests {
    @Test("those flagged are those of scipy, with Storey's share and without")
    func reference() throws {
        for expected in try ThresholdOracle.read().discoveries {
            for (isEstimated, flagged) in [(false, expected.flagged), (true, expected.storey)] {
                let found = FalseDiscovery(
                    pValues: expected.p, rate: expected.rate, calibrationCount: expected.count,
                    estimatesNormalShare: isEstimated)
                #expect(expected.p.map { $0 <= found.largestPValue ?? -1 } == flagged)
                #expect(isClose(found.normalShare, isEstimated ? expected.normalShare : 1))
            }
        }
    }

    @Test("no items, or no small p-value, and nothing is flagged")
    func none() {
        for values in [[], [1], [0.9, 0.8, 0.7]] as [[Double]] {
            for isEstimated in [false, true] {
                let found = FalseDiscovery(
                    pValues: values, rate: 0.1, calibrationCount: 99,
                    estimatesNormalShare: isEstimated)
                #expect(found.largestPValue == nil)
            }
        }
        #expect(FalseDiscovery.neededCount(itemCount: 1000, rate: 0.1) == 9999)
    }

    @Test("the share of normal items among the flagged is kept", arguments: [false, true])
    func rate(isEstimated: Bool) throws {
        var generator = Generator(seed: 3)
        var total = 0.0
        let rounds = 600
        for _ in 0..<rounds {
            let known = generator.normals(199).map { Double($0) }
            let calibration = Calibration(scores: [.elbo: known], falseAlarmRate: 0.05)
            let normal = generator.normals(40).map { Double($0) }
            let odd = generator.normals(20).map { Double($0) + 3.5 }
            let pValues = (normal + odd).compactMap { calibration.pValue($0, kind: .elbo) }
            let found = FalseDiscovery(
                pValues: pValues, rate: 0.2, calibrationCount: 199,
                estimatesNormalShare: isEstimated)
            let limit = found.largestPValue ?? -1
            let flagged = pValues.count { $0 <= limit }
            let wrong = pValues.prefix(40).count { $0 <= limit }
            total += Double(wrong) / Double(max(flagged, 1))
            // The score threshold of that rate flags the same items.
            if let largest = found.largestPValue {
                let threshold = try #require(calibration.threshold(.elbo, rate: largest))
                #expect((normal + odd).map { $0 > threshold } == pValues.map { $0 <= limit })
            }
        }
        let mean = total / Double(rounds)
        #expect(mean <= 0.2 + 0.01, "\(mean)")
        #expect(mean >= (isEstimated ? 0.15 : 0.1), "\(mean)")
    }
}
