import Torch

/// What synthetic items are worth to a classifier: its accuracy on held-out real items, trained with
/// and without them.
///
/// ``SmallClassifier`` is trained by each recipe, in as many steps of as many items, with the same
/// first weights for each seed. Of two sources each gives half of every batch.
///
/// Intervals are 95 % percentile intervals of a bootstrap that draws seeds, and held-out items of each
/// class, with replacement; the same draws for all recipes, so that differences are paired. Of items in
/// groups, such as speakers, whole groups are drawn (Davison & Hinkley 1997, 3.8), for items of one are
/// right or wrong together; with few groups such intervals are rough, and rather too narrow. They say
/// what other held-out items and seeds would give, not what other training files would.
struct Usefulness: Sendable {
    /// What a classifier is trained on, and how that is varied; see ``MapAugmentation``.
    enum Recipe: String, CaseIterable, Sendable {
        case real
        case realClassic = "real+classic"
        case realClassicElastic = "real+classic+elastic"
        case realSynthetic = "real+synthetic"
        case realSyntheticClassic = "real+synthetic+classic"
        /// Train on synthetic, test on real (TSTR).
        case synthetic

        private var usesReal: Bool { self != .synthetic }
        private var usesSynthetic: Bool {
            [.realSynthetic, .realSyntheticClassic, .synthetic].contains(self)
        }

        /// The sources, with equal shares.
        func sources(
            real: SmallClassifier.Source, synthetic: SmallClassifier.Source
        ) -> [SmallClassifier.Source] {
            var sources = (usesReal ? [real] : []) + (usesSynthetic ? [synthetic] : [])
            for index in sources.indices { sources[index].share = 1 / Double(sources.count) }
            return sources
        }

        /// How batches are varied.
        func augmentation(_ domain: Domain) -> MapAugmentation? {
            switch self {
            case .real, .realSynthetic, .synthetic: nil
            case .realClassic, .realSyntheticClassic: MapAugmentation(domain: domain)
            case .realClassicElastic: MapAugmentation(domain: domain, isElastic: true)
            }
        }
    }

    /// A mean over seeds with the ends of its interval.
    struct Estimate: Sendable, Equatable {
        let value: Double
        let low: Double
        let high: Double
    }

    /// What a recipe gives.
    struct Result: Sendable, Equatable {
        /// The share of held-out items whose class is found.
        let accuracy: Estimate
        /// The mean over classes of that share.
        let balancedAccuracy: Estimate
        /// Accuracy less that of `real`.
        let againstReal: Estimate
        /// Accuracy less that of `real+classic`, or of what takes its place.
        let againstClassic: Estimate
        /// Balanced accuracy less that of `real`.
        let balancedAgainstReal: Estimate
        /// Balanced accuracy less that of `real+classic`, or of what takes its place.
        let balancedAgainstClassic: Estimate
    }

    /// By recipe, in the order of ``Recipe``.
    let results: [Result]

    /// Works results out of what was found right.
    ///
    /// - Parameters:
    ///   - correct: by recipe, seed and held-out item; the first is `real`
    ///   - second: the place of what differences are to beside `real`: of `real+classic`
    ///   - codes: the class of each held-out item
    ///   - groups: the group of each held-out item, from 0; nil where each stands for itself
    ///   - resampleCount: of the bootstrap
    ///   - seed: of the bootstrap
    ///   - level: of the intervals
    /// - Complexity: recipes · seeds · items · resamples
    init(
        correct: [[[Bool]]], second: Int = 1, codes: [Int], groups: [Int]? = nil,
        resampleCount: Int, seed: UInt64, level: Double = 0.95
    ) {
        let classes = Dictionary(grouping: codes.indices) { codes[$0] }
            .sorted { $0.key < $1.key }.map(\.value)
        let seedCount = correct.first?.count ?? 0
        /// Accuracy and balanced accuracy of a recipe under weights of seeds and, by class, of items.
        func accuracies(
            _ recipe: Int, _ seedWeights: [Int32], _ itemWeights: [[Int32]]
        ) -> (plain: Double, balanced: Double) {
            var (hitCount, itemCount) = (0, 0)
            var (balanced, classCount) = (0.0, 0)
            for (index, members) in classes.enumerated() {
                // Of groups that are drawn, classes have other numbers of items, or none.
                let count = itemWeights[index].reduce(0) { $0 + Int($1) }
                guard count > 0 else { continue }
                var hits = 0
                for (seed, weight) in seedWeights.enumerated() where weight > 0 {
                    let found = correct[recipe][seed]
                    var sum = 0
                    for (place, item) in members.enumerated() where found[item] {
                        sum += Int(itemWeights[index][place])
                    }
                    hits += sum * Int(weight)
                }
                hitCount += hits
                itemCount += count
                balanced += Double(hits) / Double(max(1, seedCount * count))
                classCount += 1
            }
            return (
                Double(hitCount) / Double(max(1, seedCount * itemCount)),
                balanced / Double(max(1, classCount))
            )
        }
        var seedWeights = [Int32](repeating: 1, count: seedCount)
        var itemWeights = classes.map { [Int32](repeating: 1, count: $0.count) }
        var groupWeights = [Int32](repeating: 1, count: (groups?.max() ?? 0) + 1)
        let points = correct.indices.map { accuracies($0, seedWeights, itemWeights) }
        var samples = [[(plain: Double, balanced: Double)]](repeating: [], count: correct.count)
        for resample in 0..<resampleCount {
            var generator = Generator(
                seed: seed, Stream.augmentationFigures.rawValue, 0, UInt64(resample))
            DetectionEvaluation.draw(&seedWeights, &generator)
            if let groups {
                DetectionEvaluation.draw(&groupWeights, &generator)
                for (index, members) in classes.enumerated() {
                    itemWeights[index] = members.map { groupWeights[groups[$0]] }
                }
            } else {
                for index in itemWeights.indices {
                    DetectionEvaluation.draw(&itemWeights[index], &generator)
                }
            }
            for recipe in correct.indices {
                samples[recipe].append(accuracies(recipe, seedWeights, itemWeights))
            }
        }
        func estimate(
            _ recipe: Int, less base: Int? = nil,
            _ path: KeyPath<(plain: Double, balanced: Double), Double>
        ) -> Estimate {
            func value(_ index: Int, _ all: [(plain: Double, balanced: Double)]) -> Double {
                all[index][keyPath: path]
            }
            let point = points[recipe][keyPath: path] - (base.map { value($0, points) } ?? 0)
            let drawn = samples[recipe].indices.map { draw in
                samples[recipe][draw][keyPath: path]
                    - (base.map { samples[$0][draw][keyPath: path] } ?? 0)
            }
            let ends = DetectionEvaluation.ends(drawn, level: level) ?? (point, point)
            return Estimate(value: point, low: ends.low, high: ends.high)
        }
        results = correct.indices.map { recipe in
            Result(
                accuracy: estimate(recipe, \.plain),
                balancedAccuracy: estimate(recipe, \.balanced),
                againstReal: estimate(recipe, less: 0, \.plain),
                againstClassic: estimate(recipe, less: second, \.plain),
                balancedAgainstReal: estimate(recipe, less: 0, \.balanced),
                balancedAgainstClassic: estimate(recipe, less: second, \.balanced))
        }
    }
}
