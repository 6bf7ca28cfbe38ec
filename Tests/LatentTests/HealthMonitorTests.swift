import Testing

@testable import Latent

@Suite("Health monitor") struct HealthMonitorTests {
    /// Epochs of a run of 20, changed from a healthy one by a closure.
    private func history(
        _ change: (inout EpochRecord) -> Void = { _ in }
    ) -> [EpochRecord] {
        (1...20).map { epoch in
            var record = EpochRecord(
                epoch: epoch, trainingLoss: 50 - Double(epoch), distortion: 40 - Double(epoch),
                rate: 8, heldOutLoss: 52 - Double(epoch), activeUnitCount: 3)
            change(&record)
            return record
        }
    }

    /// All warnings of a run, with the epoch of each.
    private func warnings(
        _ history: [EpochRecord], model: VAEConfiguration = .tiny(), windowCount: Int = 1000,
        weightCount: Int = 5000, phase: Trainer.Phase = .bound
    ) -> [(epoch: Int, text: String)] {
        var monitor = HealthMonitor(
            model,
            training: TrainingConfiguration(
                windowCount: windowCount, batchSize: nil, epochCount: 20, patience: nil),
            windowCount: windowCount, weightCount: weightCount)
        return (1...history.count).flatMap { count in
            monitor.warnings(Array(history.prefix(count)), phase: phase, epochCount: 20)
                .map { (count, $0) }
        }
    }

    @Test("a healthy run has no warnings")
    func healthy() { #expect(warnings(history()).isEmpty) }

    @Test(
        "little data is said once, at the first epoch",
        arguments: [(150, 5000), (1000, 30_000_000)])
    func littleData(windowCount: Int, weightCount: Int) {
        let found = warnings(history(), windowCount: windowCount, weightCount: weightCount)
        #expect(found.count == 1)
        #expect(found.first?.epoch == 1 && found.first?.text.contains("few") == true)
    }

    @Test("a posterior that collapsed is said once, in the middle of the run")
    func collapse() {
        for change: (inout EpochRecord) -> Void in [
            { $0.rate = 0.03 },
            {
                $0.activeUnitCount = 0
                $0.rate = 0.5
            },
        ] {
            let found = warnings(history(change))
            #expect(found.count == 1)
            #expect(found.first?.text.contains("collapse") == true)
            #expect(found.first?.epoch == 10)
        }
    }

    @Test("what helps against a collapse is said of the options that the model has")
    func remedies() {
        let gaussian = warnings(history { $0.rate = -1 }).first?.text ?? ""
        #expect(gaussian.contains("carry 0") && !gaussian.contains("--likelihood"))
        #expect(!gaussian.contains("--beta"))
        var model = VAEConfiguration.tiny(likelihood: .bernoulli)
        model.objective = ObjectiveConfiguration(.beta)
        let other = warnings(history { $0.rate = 0 }, model: model).first?.text ?? ""
        #expect(other.contains("a lower --beta, or --likelihood gaussian"))
    }

    @Test("means that still vary little are no collapse while the latents carry nats")
    func slowMeans() { #expect(warnings(history { $0.activeUnitCount = 0 }).isEmpty) }

    @Test("a rate that is low only while the KL term warms up is no collapse")
    func earlyRate() {
        #expect(warnings(history { if $0.epoch <= 4 { $0.rate = 0 } }).isEmpty)
    }

    @Test("a plain autoencoder has no posterior to collapse")
    func autoencoder() {
        var model = VAEConfiguration.tiny()
        model.objective = ObjectiveConfiguration(.ae)
        #expect(warnings(history { $0.rate = 0 }, model: model).isEmpty)
    }

    @Test(
        "overfitting is said once, far above both training and the best",
        arguments: [(42.0, 14), (80, 12)])
    func overfitting(best: Double, epoch: Int) {
        // Windows of 64 elements: 12.8 nats above training, and 3.2 above the best.
        let rising = history { record in
            let sinceBest = Double(record.epoch - 10)
            record.heldOutLoss = best + (sinceBest > 0 ? 2 * sinceBest : -sinceBest)
        }
        let found = warnings(rising)
        #expect(found.count == 1)
        #expect(found.first?.epoch == epoch && found.first?.text.contains("overfitting") == true)
    }

    @Test("a gap alone, or a held-out loss that only wavers, is no overfitting")
    func gap() {
        #expect(warnings(history { $0.heldOutLoss = 90 - Double($0.epoch) }).isEmpty)
        #expect(
            warnings(history { $0.heldOutLoss = ($0.heldOutLoss ?? 0) + Double($0.epoch % 3) })
                .isEmpty)
        #expect(warnings(history { $0.heldOutLoss = nil }).isEmpty)
    }

    @Test("a likelihood that explodes is said once, of densities alone")
    func explosion() {
        let steep = history { if $0.epoch >= 7 { $0.distortion = -4.6 * 64 } }
        let found = warnings(steep)
        #expect(found.count == 1)
        #expect(found.first?.epoch == 7 && found.first?.text.contains("explodes") == true)
        #expect(warnings(steep, model: .tiny(likelihood: .bernoulli)).isEmpty)
        #expect(warnings(steep, model: .tiny(likelihood: .logisticMixture)).isEmpty)
        #expect(warnings(history { $0.distortion = -4.4 * 64 }).isEmpty)
    }

    @Test("the fit of the variances is not judged")
    func variances() {
        #expect(warnings(history { $0.rate = 0 }, phase: .variance).isEmpty)
    }

    @Test("a run that goes on does not say again what was said")
    func resumed() {
        let collapsed = history { $0.rate = 0.03 }
        var monitor = HealthMonitor(
            .tiny(),
            training: TrainingConfiguration(
                windowCount: 1000, batchSize: nil, epochCount: 20, patience: nil),
            windowCount: 1000, weightCount: 5000)
        monitor.warned(by: Array(collapsed.prefix(10)))
        #expect(monitor.warnings(collapsed, phase: .bound, epochCount: 20).isEmpty)
        var fresh = monitor
        fresh.warned(by: [])
        let exploding = history { ($0.rate, $0.distortion) = (0.03, -300) }
        #expect(fresh.warnings(exploding, phase: .bound, epochCount: 20).count == 1)
    }
}
