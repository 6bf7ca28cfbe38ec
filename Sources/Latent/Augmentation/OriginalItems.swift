import Foundation
import Media

/// How real items are taken along among the new ones.
public enum OriginalFiles: String, Sendable {
    /// Byte for byte.
    case copied
    /// As links: see ``FileLink``.
    case linked
}

/// A real item that is to stand among the new ones.
public struct OriginalItem: Sendable {
    /// Its path as given.
    public let path: String
    /// Its content.
    public let bytes: [UInt8]
    /// SHA-256 of it.
    public let hash: ContentHash
    /// As of its path.
    public let fileExtension: String
    /// Its class.
    public let label: String?
    /// The labels that a conditional model would be told.
    public let attributes: [String: String]
    /// Its place among the real items.
    public let index: Int
}

extension Augmenter {
    /// Reads the real items of a part, in order; those that cannot be decoded are left out.
    ///
    /// - Parameters:
    ///   - plan: with the real items
    ///   - place: that of the first one among all
    ///   - onFailure: called for an item that cannot be read
    ///   - emit: called once for each other item, on the calling thread
    /// - Throws: what `onFailure` and `emit` throw
    public func originals(
        of plan: AugmentationPlan, from place: Int, onFailure: (ItemFailure) throws -> Void,
        emit: (OriginalItem) throws -> Void
    ) throws {
        let shard = configuration.shard
        let conditioning = file?.record.configuration.conditioning
        let reading = reading
        let gate = LargeFileGate()
        let reader = ReadAhead(
            (min(place, plan.items.count)..<plan.items.count).lazy
                .filter { shard?.contains($0) ?? true }.makeIterator(),
            threadCount: configuration.workerCount, capacity: Self.groupSize,
            byteCount: { (try? $0.get().bytes.count) ?? 0 }
        ) { index -> Result<OriginalItem, ItemFailure> in
            let item = plan.items[index]
            do {
                let bytes = try FileBytes.read(item.path)
                try gate.run(bytes) { try reading.check(bytes, path: item.path) }
                let values = try conditioning.map { $0.values(of: try $0.codes(of: item)) }
                return .success(
                    OriginalItem(
                        path: item.path, bytes: bytes, hash: ContentHash(of: bytes),
                        fileExtension: Self.fileExtension(item.path, domain: reading.domain),
                        label: plan.classes[index], attributes: values ?? [:], index: index))
            } catch {
                return .failure(ItemFailure(item: item, error: ItemError(error)))
            }
        }
        while let result = reader.next() {
            switch result {
            case .success(let original): try emit(original)
            case .failure(let failure): try onFailure(failure)
            }
        }
    }

    /// What a name ends in; of one without an end, or a strange one, what files of its kind usually have.
    private static func fileExtension(_ path: String, domain: Domain) -> String {
        let name = path.lastPathComponent
        guard let dot = name.lastIndex(of: "."), dot > name.startIndex,
            name.index(after: dot) < name.endIndex,
            name[dot...].utf8.count <= 17,
            name[dot...].dropFirst().allSatisfy({ $0.isLetter || $0.isNumber })
        else { return domain == .image ? "png" : "wav" }
        return String(name[name.index(after: dot)...])
    }
}
