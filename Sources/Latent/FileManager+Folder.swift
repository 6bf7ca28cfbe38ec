import Foundation
import Glibc
import Media

extension FileManager {
    /// Makes a folder that results go to, and those around it; one that is there stays.
    ///
    /// - Parameters:
    ///   - path: the folder
    ///   - mode: what others may do with the folders that are made, as the user's mask allows it
    /// - Throws: ``LatentError`` `.cannotWrite` with what the system says
    func makeFolder(_ path: String, mode: mode_t = 0o777) throws(LatentError) {
        var status = stat()
        if stat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw LatentError(
                    .cannotWrite, path: path, "is a file, where a folder should be",
                    hint: "name another folder")
            }
            return
        }
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
        var failure = SystemFailure()
        if failure.number == ENOENT, let parent = path.folderAbove {
            try makeFolder(parent, mode: mode)
            if mkdir(path, mode) == 0 || errno == EEXIST { return }
            failure = SystemFailure()
        }
        throw LatentError(
            .cannotWrite, path: path, "the folder cannot be made: \(failure.reason)",
            hint: failure.advice)
    }
}

extension String {
    /// What is before the last component of a path; nil where there is nothing.
    fileprivate var folderAbove: String? {
        let whole = self.drop(last: "/")
        guard let slash = whole.lastIndex(of: "/") else { return nil }
        let parent = String(whole[..<slash])
        return parent.isEmpty || parent == self ? nil : parent
    }

    private func drop(last character: Character) -> Substring {
        var rest = self[...]
        while rest.last == character { rest = rest.dropLast() }
        return rest
    }
}
