import Foundation
import Glibc
import Media

/// Heat maps and masks of scored files, in folders of the same tree as the files.
///
/// The map of a file has the end of its path, with `.png`: of `parts/test/crack/7.png`, the first that
/// exists of `MAPS/parts/test/crack/7.png`, `MAPS/test/crack/7.png`, `MAPS/crack/7.png` and
/// `MAPS/7.png`. The mask is at the same place below the other folder, as `7.png` or, as MVTec has it,
/// `7_mask.png`; or nearer to the top of it, as masks are of `test` alone, but below the last folder,
/// which is the class. A normal file needs none.
public struct HeatMaps: Sendable {
    private let maps: String
    private let masks: String

    /// Names the folders.
    ///
    /// - Throws: ``LatentError`` `.notFound` where one is not there
    public init(maps: String, masks: String) throws(LatentError) {
        for folder in [maps, masks] {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder),
                isFolder.boolValue
            else {
                throw LatentError(
                    .notFound, path: folder, "there is no such folder", hint: "check the path")
            }
        }
        self.maps = maps
        self.masks = masks
    }

    /// What is read of a file.
    private struct Pair {
        let map: String
        let mask: String?
    }

    /// Reads the maps and masks of scored files, one after the other.
    ///
    /// - Parameters:
    ///   - lines: read with their paths
    ///   - normalLabels: those of files that need no mask
    ///   - progress: told how many maps have been read
    /// - Returns: all maps, counted
    /// - Throws: ``LatentError`` `.data` for a map or a mask that is missing, or belongs to two files,
    ///   or does not fit; `MediaError` for one that cannot be read
    public func overlap(
        _ lines: ScoredLines, normalLabels: Set<String>, progress: (Int) -> Void = { _ in }
    ) throws -> RegionOverlap {
        let pairs = try pairs(lines, normalLabels)
        var overlap = RegionOverlap()
        for (index, pair) in pairs.enumerated() {
            let map = try Image(contentsOf: pair.map)
            let mask = try pair.mask.map { (path) throws(MediaError) in
                try Image(contentsOf: path)
            }
            do {
                try overlap.add(map, mask: mask)
            } catch {
                throw LatentError(error.code, path: pair.map, error.message, hint: error.hint)
            }
            progress(index + 1)
        }
        guard overlap.regionCount > 0 else {
            throw LatentError(
                .data, path: masks, "no mask has a pixel above 0",
                hint: "give masks whose anomalous pixels are not 0")
        }
        return overlap
    }

    /// Finds all files before any is read, so that what is missing is known at once.
    private func pairs(
        _ lines: ScoredLines, _ normalLabels: Set<String>
    ) throws(LatentError) -> [Pair] {
        var pairs: [Pair] = []
        var taken: [String: String] = [:]
        var withoutMap: [String] = []
        var withoutMask: [String] = []
        for (path, label) in zip(lines.paths, lines.labelsOfPaths) {
            guard let place = place(of: path) else {
                withoutMap.append(path)
                continue
            }
            let map = "\(maps)/\(place).png"
            if let other = taken.updateValue(path, forKey: place) {
                throw LatentError(
                    .data, path: map, "is the heat map of both \(other) and \(path)",
                    hint: "keep the folders of the files below --maps")
            }
            let mask = mask(at: place)
            if mask == nil, !normalLabels.contains(label) { withoutMask.append(path) }
            pairs.append(Pair(map: map, mask: mask))
        }
        try check(withoutMap, "heat map", maps, lines.paths.count)
        try check(withoutMask, "mask", masks, lines.paths.count)
        return pairs
    }

    private func check(
        _ missing: [String], _ what: String, _ folder: String, _ count: Int
    ) throws(LatentError) {
        guard let first = missing.first else { return }
        throw LatentError(
            .data, path: folder,
            "has no \(what) for \(missing.count) of \(count) files, the first of them \(first)",
            hint: "write each at the place of its file, as .png")
    }

    /// The longest end of a path, without extension, at which there is a map.
    private func place(of path: String) -> String? {
        var parts = path.split(separator: "/").filter { $0 != "." }.map(String.init)
        // What stands before .. is not in the tree.
        if let up = parts.lastIndex(of: "..") { parts.removeFirst(up + 1) }
        guard let name = parts.last else { return nil }
        if let dot = name.lastIndex(of: "."), dot > name.startIndex {
            parts[parts.count - 1] = String(name[..<dot])
        }
        return parts.indices.lazy.map { parts[$0...].joined(separator: "/") }
            .first { Self.isFile("\(maps)/\($0).png") }
    }

    /// The mask at a place, or at what is left of it without its first folders.
    private func mask(at place: String) -> String? {
        let parts = place.split(separator: "/")
        return (0...max(0, parts.count - 2)).lazy
            .map { parts[$0...].joined(separator: "/") }
            .flatMap { ["\(masks)/\($0).png", "\(masks)/\($0)_mask.png"] }
            .first(where: Self.isFile)
    }

    private static func isFile(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }
}
