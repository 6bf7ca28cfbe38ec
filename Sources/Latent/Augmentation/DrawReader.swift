import Media

extension Augmenter {
    /// A draw whose parents have been read.
    struct Prepared: Sendable {
        /// Its place among all.
        let slot: Int
        /// Which of the slot's draws it is, from 0.
        let attempt: Int
        let draw: ParentSchedule.Draw
        /// Of each parent; none where the only one is not encoded.
        let windows: [ItemWindows]
        let real: RealFile?
        /// Codes of each parent's labels, and those to decode with.
        let parentCodes: [[Int]]
        let codes: [Int]

        var byteCount: Int {
            windows.reduce(real?.byteCount ?? 0) { $0 + $1.byteCount }
        }

        /// What there is to render where nothing is decoded.
        var untouched: Renderer.Job {
            Renderer.Job(
                slot: slot, draw: draw, parents: windows, windows: [], real: real, mix: nil,
                codes: codes)
        }
    }
}

/// Reads the parents of draws, on any thread.
struct DrawReader: Sendable {
    let plan: AugmentationPlan
    /// Where the method joins neighbours to a parent.
    let neighbours: LatentNeighbours?
    let labelling: Labelling
    let reading: ParentReading
    let seed: UInt64
    private let gate = LargeFileGate()

    /// What became of an item that is to be made.
    struct Attempt: Sendable {
        /// Its place among all.
        let slot: Int
        /// Nil when no draw has parents that can be read.
        var prepared: Augmenter.Prepared?
        /// Parents that cannot be read, of the draws before.
        var failures: [ItemFailure] = []
    }

    /// The first of a slot's draws, from one of them on, whose parents can be read.
    func attempt(_ index: Int, from start: Int) -> Attempt {
        var attempt = Attempt(slot: index)
        let slot = plan.slot(index)
        // Those of its class, and all that there are twice.
        let limit =
            max(start, AugmentationPlan.classAttemptLimit) + 2 * max(1, slot.group.parents.count)
        for number in start..<limit {
            let drawn = plan.draw(number, of: slot)
            guard let draw = neighbours.map({ $0.joined(drawn, seed: seed) }) ?? drawn else {
                continue
            }
            do throws(ItemFailure) {
                attempt.prepared = try prepare(draw, attempt: number, of: slot)
                break
            } catch {
                attempt.failures.append(error)
            }
        }
        return attempt
    }

    /// The draw that an attempt came to.
    ///
    /// - Parameters:
    ///   - attempt: of this reader
    ///   - onFailure: called for each parent that cannot be read, once for each attempt
    /// - Returns: what is to be decoded or rendered
    /// - Throws: ``LatentError`` `.data` when no draw has parents that can be read
    func prepared(
        _ attempt: Attempt, onFailure: (ItemFailure) throws -> Void
    ) throws -> Augmenter.Prepared {
        for failure in attempt.failures { try onFailure(failure) }
        guard let prepared = attempt.prepared else {
            let count = plan.slot(attempt.slot).group.parents.count
            throw LatentError(
                .data,
                count == 1
                    ? "the only parent cannot be read"
                    : "none of the \(count) parents can be read", hint: "name other files")
        }
        return prepared
    }

    /// Reads the parents of a draw.
    private func prepare(
        _ draw: ParentSchedule.Draw, attempt: Int, of slot: AugmentationPlan.Slot
    ) throws(ItemFailure) -> Augmenter.Prepared {
        var windows: [ItemWindows] = []
        var codes: [[Int]] = []
        var real: RealFile?
        for parent in draw.parents {
            do {
                codes.append(try labelling.codes(of: parent))
                switch reading {
                case .windows(let preprocessing):
                    windows.append(try preprocessing.windows(ofFile: parent.path, gate: gate))
                case .whole, .deformed:
                    real = try RealFile(path: parent.path, reading: reading, gate: gate)
                }
            } catch {
                throw ItemFailure(item: parent, error: ItemError(error))
            }
        }
        return Augmenter.Prepared(
            slot: slot.index, attempt: attempt, draw: draw, windows: windows, real: real,
            parentCodes: codes,
            codes: codes.first.map(labelling.codes) ?? slot.codes)
    }
}
