import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Sequential stopping") struct SequentialStoppingTests {
    init() { _ = Runtime.threadCount }

    private static func stopping(
        _ kind: ScoreKind = .mse, errorRate: Double = 0.01, threshold: Double? = 0
    ) -> SequentialStopping {
        SequentialStopping(kind: kind, errorRate: errorRate) { _ in threshold }
    }

    private static func rounds(
        _ kind: ScoreKind = .mse, ensemble: Ensemble? = nil, drawCount: Int = 16
    ) throws -> DrawRounds {
        try DrawRounds(stopping(kind), ensemble: ensemble, drawCount: drawCount)
    }

    @Test("an ensemble with a part that is no mean over draws is refused, and its part named")
    func residual() throws {
        let ensemble = try #require(
            Ensemble(
                fittedTo: (0..<8).map { [[.mse: Double(1 + $0), .residual: Double(2 + $0)]] },
                ofWholeFiles: true, keepingLevel: true))
        let error = #expect(throws: LatentError.self) {
            try Self.rounds(.ensemble, ensemble: ensemble)
        }
        #expect(error?.message.contains("residual, a part of this model's ensemble,") == true)
    }

    @Test("each round takes as many draws as all before it, up to L")
    func doubling() throws {
        #expect(try Self.rounds().rounds == [0..<4, 4..<8, 8..<16])
        #expect(try Self.rounds(drawCount: 5).rounds == [0..<4, 4..<5])
        #expect(try Self.rounds(drawCount: 20).rounds == [0..<4, 4..<8, 8..<16, 16..<20])
        #expect(try Self.rounds(drawCount: 10_000).rounds.map(\.count).reduce(0, +) == 10_000)
        for count in 1...4 {
            #expect(throws: LatentError.self) { try Self.rounds(drawCount: count) }
        }
    }

    /// Two-sided quantiles from printed tables of Student's distribution.
    @Test(
        "half an interval is Student's quantile times √((L - l) / (L l))",
        arguments: [
            (4, 16, 0.01, 5.840_909), (4, 8, 0.001, 12.923_979), (8, 16, 0.001, 5.407_883),
            (2, 4, 0.05, 12.706_205), (31, 62, 0.05, 2.042_272),
        ])
    func factors(count: Int, all: Int, rate: Double, quantile: Double) {
        let (some, total) = (Double(count), Double(all))
        let expected = quantile * ((total - some) / (total * some)).squareRoot()
        let found = DrawInterval.factor(count, of: all, errorRate: rate)
        #expect(abs(found - expected) < 1e-6 * expected)
    }

    /// Normal figures of 16 draws; with a deviation that differs from file to file, as real ones have.
    private static func files(_ count: Int, windows: Int = 1, seed: UInt64) -> [[[Double]]] {
        var generator = Generator(seed: seed)
        return (0..<count).map { _ in
            let scale = exp(Double(generator.normals(1)[0]))
            return (0..<windows).map { _ in generator.normals(16).map { Double($0) * scale } }
        }
    }

    @Test("the mean of all draws is outside as often as is said", arguments: [4, 8])
    func coverage(count: Int) {
        let files = Self.files(40_000, seed: UInt64(count))
        for rate in [0.2, 0.02] {
            let factor = DrawInterval.factor(count, of: 16, errorRate: rate)
            let outside = files.count { windows in
                let some = windows.map { Array($0.prefix(count)) }
                let interval = DrawInterval(
                    of: some.map(\.mean), draws: some, by: .mean, factor: factor)
                return !(interval.low...interval.high).contains(windows[0].mean)
            }
            // Four standard deviations of a binomial share.
            let share = Double(outside) / 40_000
            #expect(abs(share - rate) < 4 * (rate * (1 - rate) / 40_000).squareRoot())
        }
    }

    @Test("of several windows the mean is as sure as said, the largest at least as sure")
    func windows() {
        let files = Self.files(10_000, windows: 12, seed: 3)
        for aggregate in [Aggregate.mean, .max, .topTenth] {
            let means = DrawInterval.meanCount(of: aggregate, windowCount: 12)
            #expect(means == (aggregate == .mean ? 1 : 12))
            let factor = DrawInterval.factor(4, of: 16, errorRate: 0.05 / Double(means))
            let outside = files.count { windows in
                let some = windows.map { Array($0.prefix(4)) }
                let interval = DrawInterval(
                    of: some.map(\.mean), draws: some, by: aggregate, factor: factor)
                return !(interval.low...interval.high).contains(aggregate(windows.map(\.mean)))
            }
            let share = Double(outside) / 10_000
            #expect(share < 0.05 + 4 * 0.0022)
            if aggregate == .mean { #expect(share > 0.05 - 4 * 0.0022) }
        }
    }

    /// Runs the rounds on figures of all draws.
    private static func run(
        _ windows: [[Double]], rounds: DrawRounds, threshold: Double
    ) -> (taken: Int, isAnomaly: Bool) {
        for round in rounds.rounds {
            let taken = round.upperBound
            let some = windows.map { Array($0.prefix(taken)) }
            let value = some.map(\.mean).mean
            guard rounds.next(after: taken) != nil else { return (taken, value > threshold) }
            let isCertain = rounds.isCertain(
                .at("a.png"), after: taken, scores: [[.mse: value]],
                windows: { _ in (some.map(\.mean), some) }, views: [.mean])
            if isCertain { return (taken, value > threshold) }
        }
        return (0, false)
    }

    @Test(
        "verdicts change less often than is said, wherever the threshold lies",
        arguments: [0.0, 0.1, 0.3, 1])
    func verdicts(distance: Double) throws {
        var changed = 0
        var taken = 0
        let files = Self.files(4_000, seed: 9)
        for windows in files {
            // In deviations of this very file, of which the rule knows nothing.
            let threshold = distance * windows[0].meanAndDeviation.deviation
            let rounds = try DrawRounds(
                Self.stopping(errorRate: 0.05, threshold: threshold), ensemble: nil, drawCount: 16)
            let found = Self.run(windows, rounds: rounds, threshold: threshold)
            taken += found.taken
            if found.isAnomaly != (windows[0].mean > threshold) { changed += 1 }
        }
        #expect(Double(changed) / 4_000 < 0.05)
        // At the threshold itself hardly a file is certain, a deviation away most are.
        let mean = Double(taken) / 4_000
        #expect(distance == 0 ? mean > 14 : distance == 1 ? mean < 10 : true)
    }

    @Test("without a number nothing is certain; without scatter all is")
    func extremes() throws {
        let rounds = try Self.rounds()
        func isCertain(_ draws: [Double]) -> Bool {
            rounds.isCertain(
                .at("a.png"), after: 4, scores: [[.mse: draws.mean]],
                windows: { _ in ([draws.mean], [draws]) }, views: [.mean])
        }
        #expect(isCertain([1, 1, 1, 1]) && isCertain([-1, -1, -1, -1]))
        // At the threshold a file is not flagged.
        #expect(isCertain([0, 0, 0, 0]))
        #expect(!isCertain([-1, 1, -2, 2]))
        #expect(!isCertain([1, .nan, 1, 1]) && !isCertain([1, .infinity, 1, 1]))
        #expect(!isCertain([1, 1, -.infinity, 1]))
    }

    @Test("scores that are no means over draws are refused, by name")
    func refused() throws {
        let served: Set<ScoreKind> = [
            .reconstructionProbability, .elbo, .kl, .mse, .latent, .neighbours, .mixture, .masked,
            .probabilityLessBias, .probabilityLessComplexity, .elboLessBias, .elboLessComplexity,
        ]
        for kind in ScoreKind.allCases where kind != .ensemble {
            guard !served.contains(kind) else {
                #expect(throws: Never.self) { try Self.rounds(kind) }
                continue
            }
            #expect {
                try Self.rounds(kind)
            } throws: {
                ($0 as? LatentError)?.code == .usage
                    && ($0 as? LatentError)?.message.contains(kind.rawValue) == true
            }
        }
    }

    private static func ensemble(_ kinds: [(ScoreKind, view: Int)]) throws -> Ensemble {
        let members = kinds.map {
            "{\"kind\":\"\($0.0.rawValue)\",\"view\":\($0.view),\"meanLog\":0,\"deviation\":1}"
        }
        return try JSONDecoder().decode(
            Ensemble.self, from: Data("{\"members\":[\(members.joined(separator: ","))]}".utf8))
    }

    @Test("of an ensemble, each member that depends on draws is bounded, at its share of the error")
    func ensembles() throws {
        let ensemble = try Self.ensemble([
            (.mse, view: 0), (.neighbours, view: 0), (.mse, view: 1), (.mixture, view: 2),
        ])
        let rounds = try Self.rounds(.ensemble, ensemble: ensemble)
        #expect(
            rounds.figures == [
                .init(view: 0, kind: .mse, drawn: .mse), .init(view: 1, kind: .mse, drawn: .mse),
            ])
        // Logarithms to the threshold 0: of mse 1.5 and 1.5 beside 1 and 1, a scatter that each could
        // be wrong by alone is not enough, twice as much is.
        let factor = DrawInterval.factor(4, of: 16, errorRate: 0.01 / 2 / 2)
        func isCertain(half: Double) -> Bool {
            let deviation = half / factor
            let step = deviation * (3.0 / 4).squareRoot()
            let draws = [1.5 - step, 1.5 - step, 1.5 + step, 1.5 + step]
            let scores: [[ScoreKind: Double]] = [
                [.mse: 1.5, .neighbours: 1], [.mse: 1.5], [.mixture: 1],
            ]
            return rounds.isCertain(
                .at("a.png"), after: 4, scores: scores, windows: { _ in ([1.5], [draws]) },
                views: [.mean, .mean, .mean])
        }
        #expect(isCertain(half: 0.499) && !isCertain(half: 0.501))

        let other = try Self.ensemble([(.mse, view: 0), (.residual, view: 0)])
        #expect(throws: LatentError.self) { try Self.rounds(.ensemble, ensemble: other) }
    }
}
