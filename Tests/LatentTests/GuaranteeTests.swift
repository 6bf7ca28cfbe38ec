import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Guarantees and recalibration") struct GuaranteeTests {
    private func calibration(_ count: Int) -> Calibration {
        Calibration(
            scores: [.elbo: (0..<count).map { Double($0) }], falseAlarmRate: 0.05)
    }

    private func score(_ value: Double, content: Int) -> ItemScore {
        ItemScore(
            values: [.reconstructionProbability: value, .elbo: -value], further: [], windowCount: 1,
            drawCount: 1,
            hash: ContentHash(of: Array("\(content)".utf8)), conversions: [],
            losses: [])
    }

    private func record() throws -> ModelRecord {
        let model = try VAE(.tiny(), device: .cpu, seed: 0)
        return try ModelFile.tiny(model, .whole()).record
    }

    @Test("the interval is that of scipy's beta distribution")
    func interval() throws {
        for expected in try ThresholdOracle.read().beta {
            let rate = Double(expected.rank) / Double(expected.count + 1)
            let found = calibration(expected.count).guarantee(.elbo, rate: rate)
            let interval = try #require(found.interval)
            #expect(isClose(interval.lowerBound, expected.low))
            #expect(isClose(interval.upperBound, expected.high))
            #expect(isClose(found.expectedShare ?? .nan, rate))
            #expect(found.threshold == calibration(expected.count).threshold(.elbo, rate: rate))
        }
    }

    @Test("without enough scores nothing is promised, but how many it needs")
    func tooFew() {
        let found = calibration(50).guarantee(.elbo, rate: 0.01)
        #expect(found.threshold == nil && found.interval == nil && found.expectedShare == nil)
        #expect(found.count == 50 && found.neededCount == 99)
        #expect(calibration(1).guarantee(.elbo, rate: 0.9999999999999).interval == 1...1)
    }

    @Test("the share that is flagged falls into the interval as often as it says")
    func coverage() throws {
        var generator = Generator(seed: 77)
        var inside = 0
        for _ in 0..<1000 {
            let scores = (0..<39).map { _ in Double(generator.next() >> 11) * 0x1p-53 }
            let found = Calibration(scores: [.elbo: scores], falseAlarmRate: 0.05)
                .guarantee(.elbo, rate: 0.05)
            let share = 1 - (try #require(found.threshold))
            let interval = try #require(found.interval)
            if interval.contains(share) { inside += 1 }
        }
        #expect(abs(inside - 950) < 25)
    }

    @Test("new scores replace the old ones, or join them, and copies count once")
    func replaceAndAdd() throws {
        let record = try record()
        var fresh = Recalibration()
        for index in 0..<19 {
            let isNew = try fresh.add(score(Double(index), content: index))
            #expect(isNew)
        }
        let isNew = try fresh.add(score(3, content: 3))
        #expect(!isNew)
        #expect(fresh.count == 19)
        let replaced = try fresh.record(from: record)
        #expect(
            replaced.calibration.scores(.reconstructionProbability) == (0..<19).map(Double.init))
        #expect(replaced.calibration.scores(.elbo).first == -18)
        #expect(replaced.calibration.falseAlarmRate == 0.05)
        let added = try fresh.record(from: record, falseAlarmRate: 0.1, isPooled: true)
        #expect(added.calibration.scores(.reconstructionProbability).count == 22)
        #expect(added.calibration.scores(.elbo).count == 19)
        #expect(added.calibration.falseAlarmRate == 0.1)
        let entry = try #require(added.calibrationHistory?.first)
        #expect(entry.fileCount == 19 && entry.calibrationCount == 3)
        #expect(entry.dataFingerprint.count == 64)
        var same = added
        same.calibration = record.calibration
        same.calibrationHistory = nil
        #expect(same == record)
    }

    @Test("a rate is refused with too few files, and the history has an end")
    func refusals() throws {
        var record = try record()
        var fresh = Recalibration()
        #expect(throws: LatentError.self) { try fresh.record(from: record) }
        for index in 0..<50 { _ = try fresh.add(score(Double(index), content: index)) }
        let error = #expect(throws: LatentError.self) {
            try fresh.record(from: record, falseAlarmRate: 0.01)
        }
        #expect(error?.code == .usage)
        #expect(error?.message.contains("needs 99 normal files, there are 50") == true)
        for _ in 0..<Recalibration.historyLimit + 3 { record = try fresh.record(from: record) }
        #expect(record.calibrationHistory?.count == Recalibration.historyLimit)
        #expect(record.calibrationHistory?.first?.kolmogorovSmirnov == 0)
        // It could keep its rate: three files less would lose it.
        var few = Recalibration()
        for index in 0..<5 { _ = try few.add(score(0, content: index)) }
        #expect(throws: LatentError.self) { try few.record(from: record) }
        #expect(throws: LatentError.self) { _ = try few.add(score(.nan, content: 99)) }
    }

    @Test("a record without a history is read, and written without one")
    func json() throws {
        let record = try record()
        let data = try ModelFile.encoder.encode(record)
        #expect(!String(decoding: data, as: UTF8.self).contains("calibrationHistory"))
        #expect(try JSONDecoder().decode(ModelRecord.self, from: data) == record)
    }
}
