import Glibc

/// A second name of a file.
public enum FileLink {
    /// Gives a file a second name: a hard link, which stays whole when the first name goes; where the two
    /// names are on different file systems, or hard links are not allowed, a symbolic link to the
    /// absolute path.
    ///
    /// - Parameters:
    ///   - source: the file, following symbolic links
    ///   - path: the new name; its folder must be there
    ///   - overwrite: whether to replace a file of that name
    /// - Throws: ``MediaError`` with code `.notFound` without a source, `.exists` when the name is taken
    ///   and `overwrite` is false, else `.cannotWrite`
    public static func make(
        from source: String, to path: String, overwrite: Bool
    ) throws(MediaError) {
        guard let resolved = realpath(source, nil) else {
            throw MediaError(
                .notFound, "there is no such file", hint: "check the path", path: source)
        }
        defer { free(resolved) }
        let temporary = FileBytes.temporaryName(beside: path)
        if link(resolved, temporary) != 0, symlink(resolved, temporary) != 0 {
            let found = SystemFailure()
            throw MediaError(
                .cannotWrite, "cannot be linked: \(found.reason)", hint: found.advice, path: path)
        }
        // Renaming to another link of the same file does nothing, and would leave this one.
        defer { unlink(temporary) }
        var status = stat()
        if !overwrite, lstat(path, &status) == 0 {
            throw MediaError(
                .exists, "there is already a file of that name",
                hint: "choose another name, or ask to overwrite it", path: path)
        }
        guard rename(temporary, path) == 0 else {
            let found = SystemFailure()
            throw MediaError(
                .cannotWrite, "cannot be written: \(found.reason)", hint: found.advice, path: path)
        }
    }
}
