import Foundation
import Glibc
import Media
import Torch

/// The folder that maps are written to, in the tree of the files.
///
/// An image `crack/7.png` below a folder that was named gives `crack/7.png`, its heat map, and
/// `crack/7_overlay.png`; a recording `crack/7.wav` the picture `crack/7.png`. Where another file has
/// taken the name, more of the folders of its path go before it; see ``HeatMaps``, which finds them.
public final class MapFolder {
    private let path: String
    private let overwrites: Bool
    private let mapper: Mapper
    private let calibration: MapCalibration
    private let middle: Double
    private let share: Double
    private let views: [Preprocessing.View]
    /// What was written under a name, so far; the path of the file without `.png`.
    private var sources: [String: String] = [:]
    private let root: String
    /// What is to be known of the segments; nil where all is well.
    public private(set) var note: String?
    /// What is to be known of the segments of recordings much longer than those of calibration; nil where there
    /// has been none.
    public private(set) var lengthNote: String?

    /// Prepares the folder, which is made where it is absent.
    ///
    /// - Parameters:
    ///   - path: the folder
    ///   - file: a model that is calibrated for maps
    ///   - device: where the work is done
    ///   - assignments: labels that all files are taken to have
    ///   - share: of the elements of normal files that is above the contour, and of normal
    ///     recordings that have a segment
    ///   - inputs: files and folders that are to be mapped, as far as they are known
    ///   - overwrites: whether files in the folder may be replaced
    /// - Throws: ``LatentError`` `.usage` for a model without calibration, or a share that it says
    ///   nothing of; `.cannotWrite` for a folder that cannot be made, or is one of the inputs, in
    ///   one of them or around one
    public init(
        path: String, file: ModelFile, device: Device, assignments: [String: String] = [:],
        share: Double, inputs: some Sequence<String> = EmptyCollection(), overwrites: Bool
    ) throws {
        mapper = try Mapper(file: file, device: device, assignments: assignments)
        guard let calibration = file.record.maps, let middle = calibration.middle else {
            throw LatentError(
                .usage, "the model is calibrated with too little for maps",
                hint: "give it more normal files: latent calibrate -m MODEL NORMAL -o NEW")
        }
        _ = try calibration.elements.threshold(share: share, of: "elements")
        if file.record.preprocessing.domain == .audio {
            _ = try calibration.frames.threshold(share: share, of: "frames")
            let rule = try calibration.segmentRule(share: share)
            if rule.isExtrapolated {
                note =
                    "segments in a share of \(share) of normal recordings are extrapolated: the model "
                    + "was calibrated with \(rule.recordingCount), and it takes \(rule.leastCount)"
            }
        }
        self.calibration = calibration
        self.middle = middle
        self.share = share
        self.path = path
        self.overwrites = overwrites
        views = file.record.views.map(\.preprocessing.view)
        root = Self.resolved(path)
        for input in inputs { try checkApart(from: input) }
        try FileManager.default.makeFolder(path)
    }

    /// Refuses an input that is the folder, or is in it, or has it in it: a walk would come to the
    /// maps, or a map could take the place of a file.
    private func checkApart(from input: String) throws(LatentError) {
        func holds(_ outer: String, _ inner: String) -> Bool {
            inner == outer || inner.hasPrefix(outer.hasSuffix("/") ? outer : outer + "/")
        }
        let place = Self.resolved(input)
        guard holds(root, place) || holds(place, root) else { return }
        throw LatentError(
            .cannotWrite, path: path, "the folder of maps and the input \(input) overlap",
            hint: "name a folder of its own for maps")
    }

    /// Makes the map of a file that can be read, and writes it.
    ///
    /// - Returns: of a recording, its segments; nil of an image
    /// - Throws: ``ItemFailed`` for a file that cannot be read, or no more; ``LatentError`` `.exists` for a name
    ///   that is taken where nothing may be replaced
    public func write(_ item: Item) throws -> [Segment]? {
        try checkApart(from: item.path)
        let (bytes, map) = try reading {
            let bytes = try FileBytes.read(item.path)
            return (bytes, try mapper.map(of: bytes, item: item))
        }
        if lengthNote == nil, map.stretches.count > 1 {
            let seconds = map.duration / Double(map.stretches.count)
            lengthNote =
                "\(item.path): segments are looked for in stretches of \(decimal(seconds, digits: 1)) s, as "
                + "long as normal recordings or stretches of them that the model was calibrated with: the "
                + "share of \(share) is of these (said once)"
        }
        guard let name = name(of: item) else { return try segments(of: map) }
        switch views[0] {
        case .pixels:
            let picture = HeatPicture(map, middle: middle)
            let threshold = try calibration.elements.threshold(share: share, of: "elements")
            let overlay = picture.overlay(
                on: try reading { try Image(pngData: bytes, path: item.path) }, threshold: threshold
            )
            try write([
                (name, try picture.grey.pngData()), (name + Self.overlayEnd, try overlay.pngData()),
            ])
            return nil
        case .logMel(let view):
            let found = try calibration.segments(of: map, share: share)
            let (spectrogram, _) = try view.features(
                of: try reading { try Audio(data: bytes, path: item.path) })
            let picture = SoundPicture(
                spectrogram: spectrogram, map: map, curve: map.curve ?? [], segments: found,
                threshold: try calibration.frames.threshold(share: share, of: "frames"))
            try write([(name, try picture.png())])
            return found
        }
    }

    private func reading<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as MediaError {
            throw ItemFailed(ItemError(error))
        }
    }

    private func segments(of map: AnomalyMap) throws(LatentError) -> [Segment]? {
        map.curve == nil ? nil : try calibration.segments(of: map, share: share)
    }

    private func write(_ files: [(name: String, bytes: [UInt8])]) throws {
        for (name, _) in files {
            let target = "\(path)/\(name).png"
            var status = stat()
            guard overwrites || lstat(target, &status) != 0 else {
                throw LatentError(
                    .exists, path: target, "the file exists already",
                    hint: "name another folder, or use --force to replace it")
            }
        }
        for (name, bytes) in files {
            try makeFolders(of: name)
            try FileBytes.write(bytes, to: "\(path)/\(name).png", overwrite: overwrites)
        }
    }

    // MARK: Names

    static let overlayEnd = "_overlay"

    /// The name of a file's map without `.png`; nil where the same file has one already.
    private func name(of item: Item) -> String? {
        var candidates = Self.names(of: item)
        let last = candidates.last ?? "map"
        var number = 2
        while true {
            let name = candidates.isEmpty ? "\(last)-\(number)" : candidates.removeFirst()
            if candidates.isEmpty { number += 1 }
            if sources[name] == item.path { return nil }
            guard sources[name] == nil, sources[name + Self.overlayEnd] == nil else { continue }
            sources[name] = item.path
            sources[name + Self.overlayEnd] = item.path
            return name
        }
    }

    /// The names that a file's map may have, the best first: none leaves the folder.
    ///
    /// They are ends of its path, the first of them the path below the folder that was named. Of
    /// what `..` takes back nothing is left; the last has the extension too.
    static func names(of item: Item) -> [String] {
        func parts(_ path: String) -> [String] {
            var kept: [String] = []
            for part in path.split(separator: "/") where part != "." {
                if part == ".." { kept = [] } else { kept.append(String(part)) }
            }
            return kept
        }
        let whole = parts(item.path)
        guard let last = whole.last else { return [] }
        let first = max(1, min(whole.count, parts(item.relativePath).count))
        var stem = last
        if let dot = last.lastIndex(of: "."), dot > last.startIndex { stem = String(last[..<dot]) }
        let ends = (first...whole.count).map {
            Array(whole.suffix($0).dropLast()).joined(separator: "/")
        }
        func joined(_ folder: String, _ name: String) -> String {
            folder.isEmpty ? name : "\(folder)/\(name)"
        }
        let deepest = joined(ends[ends.count - 1], last)
        return ends.map { joined($0, stem) } + [deepest]
    }

    // MARK: Folders

    /// Makes the folders of a name one by one, so that none is a link that leads elsewhere.
    private func makeFolders(of name: String) throws(LatentError) {
        var folder = path
        for part in name.split(separator: "/").dropLast() {
            folder += "/\(part)"
            var status = stat()
            if lstat(folder, &status) == 0 {
                guard status.st_mode & S_IFMT == S_IFDIR else {
                    throw LatentError(
                        .cannotWrite, path: folder, "is no folder, but a file or a link",
                        hint: "remove it, or name another folder for maps")
                }
            } else {
                try FileManager.default.makeFolder(folder)
            }
        }
    }

    /// The path without links; of what is not there yet, below the first folder that is.
    private static func resolved(_ path: String) -> String {
        let url = URL(fileURLWithPath: path).standardizedFileURL
        if let found = realpath(path, nil) ?? realpath(url.path, nil) {
            defer { free(found) }
            return String(cString: found)
        }
        guard url.pathComponents.count > 1 else { return url.path }
        let parent = resolved(url.deletingLastPathComponent().path)
        return (parent == "/" ? "" : parent) + "/" + url.lastPathComponent
    }
}
