import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

/// Several networks for one view, whose scores are averaged.
@Suite("Members") struct MembersTests {
    private static func member(_ seed: UInt64) throws -> VAE {
        let model = try VAE(.tiny(), device: .cpu, seed: seed)
        model.sharedLogScale = -2
        return model
    }

    /// A view of networks of these seeds, with scores fitted to some windows.
    private static func view(_ seeds: [UInt64], aggregate: Aggregate = .mean) throws -> DetectorView
    {
        var generator = Generator(seed: 5, 5)
        let windows = (0..<20).map { _ in (0..<64).map { _ in generator.uniform() } }
        let members = try seeds.enumerated().map { index, seed in
            let model = try member(seed)
            let x = try model.batch(windows.flatMap(\.self))
            var noise = Generator(seed: seed, 1)
            let statistics = try model.statistics(of: x, condition: nil, drawCount: 2) {
                noise.normals($1.count * model.noiseCount)
            }
            let scored = try ScoredWindows(x, statistics, shape: model.configuration.window)
            var tensors: [String: HostTensor] = [:]
            for (name, tensor) in try ResidualDistance(fittedTo: scored).tensors() {
                tensors["score.residual.\(name)"] = tensor
            }
            if index == 0 {
                for (name, tensor) in try NeighbourDistance(fittedTo: scored).tensors() {
                    tensors["score.neighbours.\(name)"] = tensor
                }
            }
            return DetectorView.Member(
                model: model,
                fitted: try FittedScores(
                    weights: tensors, of: model.configuration, on: .cpu))
        }
        return DetectorView(
            model: members[0].model, preprocessing: .grid(side: 8, stride: 4),
            aggregate: aggregate, fitted: members[0].fitted,
            furtherMembers: Array(members.dropFirst()))
    }

    private static func scores(
        _ view: DetectorView, of items: [Item], drawCount: Int = 4
    ) throws -> [[ScoreKind: Double]] {
        var found: [[ScoreKind: Double]] = []
        try Scorer([view], configuration: .init(drawCount: drawCount)).score(items) {
            found.append(try $1.get().values)
        }
        return found
    }

    @Test("scores of windows are means over the members, and become a file afterwards")
    func means() throws {
        let folder = try TemporaryFolder()
        let items = try (0..<3).map {
            Item.at(try folder.writeImage("\($0).png", height: 16, width: 20))
        }
        // With one window a file, the mean over members does not care for the aggregate.
        let small = [Item.at(try folder.writeImage("small.png"))]
        let all = try Self.scores(Self.view([1, 2, 3]), of: small, drawCount: 2_000)[0]
        let alone = try [1, 2, 3].map {
            try Self.scores(Self.view([$0]), of: small, drawCount: 2_000)[0]
        }
        for kind in [ScoreKind.kl, .residual, .neighbours, .mse, .elbo, .reconstructionProbability]
        {
            let expected = alone.reduce(0) { $0 + ($1[kind] ?? .nan) } / 3
            let found = try #require(all[kind])
            // The members draw apart: as many estimates of the same, but of what is not drawn.
            let tolerance = [.kl, .neighbours].contains(kind) ? 1e-5 : 0.02
            #expect(abs(found - expected) < tolerance * max(1, abs(expected)), "\(kind)")
        }
        // The largest of means is less than the mean of the largest, where members do not agree on
        // the window; aggregated one by one, they would be the same.
        var differs = false
        let highest = try Self.scores(Self.view([1, 2], aggregate: .max), of: items)
        let each = try [1, 2].map {
            try Self.scores(Self.view([$0], aggregate: .max), of: items)
        }
        for index in items.indices {
            let bound =
                try each.reduce(0) { try $0 + (#require($1[index][.kl])) } / 2
            let found = try #require(highest[index][.kl])
            #expect(found <= bound + 1e-6)
            differs = differs || found < bound - 1e-4
        }
        #expect(differs)
    }

    @Test("the mean of each kind is over those that give it")
    func mean() {
        let found = DetectorView.mean([
            [.mse: [1, 2], .neighbours: [5, 6]], [.mse: [3, 5]], [.mse: [5, 11]],
        ])
        #expect(found == [.mse: [3, 6], .neighbours: [5, 6]])
        #expect(DetectorView.mean([[.mse: [0.1]]]) == [.mse: [0.1]])
    }

    @Test("the first member draws as it does alone, the others otherwise")
    func noise() throws {
        let folder = try TemporaryFolder()
        let items = [Item.at(try folder.writeImage("a.png"))]
        let one = try Self.scores(Self.view([1]), of: items)[0][.mse]
        let twins = try Self.scores(Self.view([1, 1]), of: items)[0][.mse]
        let kl = try Self.scores(Self.view([1, 1]), of: items)[0][.kl]
        #expect(one != twins)
        #expect(try Self.scores(Self.view([1]), of: items)[0][.kl] == kl)
        #expect(Stream.seed(ofMember: 0, of: 7) == 7)
        let seeds = (0..<3).flatMap { seed in
            (0..<20).map { Stream.seed(ofMember: $0, of: UInt64(seed)) }
        }
        #expect(Set(seeds).count == 60)
    }

    @Test("a map is the mean of those of the members")
    func maps() throws {
        let folder = try TemporaryFolder()
        let item = Item.at(try folder.writeImage("a.png", height: 16, width: 12))
        func values(_ seeds: [UInt64]) throws -> [Float] {
            try Mapper([Self.view(seeds)], scales: [1]).map(of: item).values.values
        }
        let (first, second, both) = (try values([1]), try values([2]), try values([1, 2]))
        #expect(first != second)
        #expect(
            mismatch(both, zip(first, second).map { ($0 + $1) / 2 }, relative: 1e-5) == nil)
    }

    @Test("a model file keeps all members, and is refused where some lack what they need")
    func file() throws {
        let view = try Self.view([1, 2, 3])
        var record = try ModelFile.tiny(Self.member(1), view.preprocessing).record
        record.memberCount = 3
        let file = try ModelFile(record: record, networks: [view.members])
        let read = try ModelFile(decoding: file.encoded())
        let views = try read.views(on: .cpu)
        #expect(views.count == 1 && views[0].members.count == 3)
        let folder = try TemporaryFolder()
        let items = [Item.at(try folder.writeImage("a.png"))]
        #expect(try Self.scores(views[0], of: items) == Self.scores(view, of: items))
        #expect(read.scoreKinds.isSuperset(of: [.residual, .neighbours]))
        // The first is the model, as in a file of one.
        let first = try read.model(on: .cpu).parameters.values()
        #expect(try first == Self.member(1).parameters.values())

        func isRefused(_ change: (inout ModelFile) -> Void) throws {
            var changed = file
            change(&changed)
            let error = try #require(throws: LatentError.self) {
                try ModelFile(decoding: changed.encoded()).views(on: .cpu)
            }
            #expect(error.code == .model)
        }
        try isRefused { $0.record.memberCount = 4 }
        try isRefused { $0.record.memberCount = 0 }
        try isRefused { $0.record.memberCount = 101 }
        try isRefused { $0.weights["member.1.score.residual.precision"] = nil }
        try isRefused { file in
            file.weights["member.2.score.neighbours.kept"] =
                file.weights["score.neighbours.kept"]
        }
        try isRefused { $0.weights["member.2.encoder.0.weight"] = nil }
        try isRefused {
            $0.weights["member.1.score.residual.precision"] = HostTensor(shape: [1], values: [1])
        }
    }
}
