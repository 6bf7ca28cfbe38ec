import Foundation

extension FileManager {
    /// Makes a folder that results go to, and those around it; one that is there stays.
    ///
    /// - Throws: ``LatentError`` `.cannotWrite`
    func makeFolder(_ path: String) throws(LatentError) {
        do {
            try createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw LatentError(
                .cannotWrite, path: path, "the folder cannot be made",
                hint: "check the path, its permissions and the room on the disk")
        }
    }
}
