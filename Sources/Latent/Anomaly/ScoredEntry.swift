/// An item while its windows are scored, in rounds of draws.
struct ScoredEntry {
    let item: Item
    let content: Result<ReadItem.Content, ItemFailed>
    /// The group of items whose windows may be in a batch with its own.
    let group: Int
    /// The draws of this round.
    private(set) var draws: Range<Int>
    /// For each view the figures of the windows that were taken, by all draws so far.
    private(set) var figures: [[ScoreKind: [Double]]]
    /// For each view the windows that were taken in this round.
    var windowsTaken: [Int]
    /// For each view what the draws so far say of each window, of each member; where rounds need it.
    private(set) var drawn: [[[VAE.Statistics.Row]]]
    /// Whether it has no further rounds.
    private(set) var isSettled = false

    init(_ read: ReadItem, group: Int, draws: Range<Int>) {
        item = read.item
        self.group = group
        content = read.content
        self.draws = draws
        let viewCount = (try? content.get())?.views.count ?? 0
        figures = [[ScoreKind: [Double]]](repeating: [:], count: viewCount)
        windowsTaken = [Int](repeating: 0, count: viewCount)
        drawn = [[[VAE.Statistics.Row]]](repeating: [], count: viewCount)
    }

    func windowsLeft(_ view: Int) -> Int {
        guard case .success(let content) = content else { return 0 }
        return content.views[view].count - windowsTaken[view]
    }

    var windowsLeft: Int { windowsTaken.indices.reduce(0) { $0 + windowsLeft($1) } }

    /// Takes the figure of a window, whose windows come in order.
    mutating func set(_ value: Double, _ kind: ScoreKind, view: Int, window: Int) {
        guard draws.lowerBound > 0 else {
            figures[view][kind, default: []].append(value)
            return
        }
        // What was asked for has moved as the figure that it is made of.
        let before = figures[view][kind]?[window] ?? value
        for other in figures[view].keys
        where other != kind && other.drawDependence == .mean(of: kind) {
            figures[view][other]?[window] += value - before
        }
        figures[view][kind]?[window] = value
    }

    /// Takes what the draws so far say of a window.
    mutating func keep(_ row: VAE.Statistics.Row, view: Int, window: Int, member: Int) {
        if drawn[view].count <= window { drawn[view].append([]) }
        if drawn[view][window].count <= member {
            drawn[view][window].append(row)
        } else {
            drawn[view][window][member] = row
        }
    }

    /// What a figure is the mean of, of each window the draws so far, of several members their mean.
    func draws(of figure: DrawRounds.Figure) -> [[Double]] {
        drawn[figure.view].map { members in
            members.map { $0.draws.values(of: figure.drawn) }.columnMeans
        }
    }

    /// Begins a round, or ends the last.
    mutating func begin(_ next: Range<Int>?) {
        guard let next else {
            isSettled = true
            drawn = []
            return
        }
        draws = next
        for view in windowsTaken.indices { windowsTaken[view] = 0 }
    }
}
