import Foundation
import Media
import Testing

@Suite("File bytes") struct FileBytesTests {
    /// Runs `body` with a new folder that is removed afterwards.
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "/media-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private func names(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    }

    private func code(_ body: () throws(MediaError) -> Void) -> MediaError.Code? {
        do throws(MediaError) {
            try body()
            return nil
        } catch {
            return error.code
        }
    }

    @Test("bytes come back as they were", arguments: [0, 1, 65_536, 300_001])
    func roundTrip(count: Int) throws {
        try withFolder { folder in
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 31) }
            for durable in [false, true] {
                let path = "\(folder)/\(durable)"
                try FileBytes.write(bytes, to: path, overwrite: false, durable: durable)
                #expect(try FileBytes.read(path) == bytes)
            }
            #expect(try names(folder) == ["false", "true"])
        }
    }

    @Test("a file is replaced only when asked, and no temporary name stays")
    func overwriting() throws {
        try withFolder { folder in
            let path = folder + "/a"
            try FileBytes.write([1], to: path, overwrite: false)
            #expect(
                code { () throws(MediaError) in
                    try FileBytes.write([2], to: path, overwrite: false)
                } == .exists)
            #expect(try FileBytes.read(path) == [1])
            try FileBytes.write([3, 4], to: path, overwrite: true)
            #expect(try FileBytes.read(path) == [3, 4])
            // A dangling link has a name that is taken, though stat does not see it.
            try FileManager.default.createSymbolicLink(
                atPath: folder + "/link", withDestinationPath: folder + "/nowhere")
            #expect(
                code { () throws(MediaError) in
                    try FileBytes.write([2], to: folder + "/link", overwrite: false)
                } == .exists)
            #expect(try names(folder) == ["a", "link"])
        }
    }

    @Test("what is not a regular file is refused")
    func kinds() throws {
        try withFolder { folder in
            #expect(code { () throws(MediaError) in _ = try FileBytes.read(folder) } == .unreadable)
            let fifo = folder + "/fifo"
            #expect(mkfifo(fifo, 0o600) == 0)
            #expect(code { () throws(MediaError) in _ = try FileBytes.read(fifo) } == .unreadable)
            #expect(
                code { () throws(MediaError) in _ = try FileBytes.read("/dev/zero") }
                    == .unreadable)
            for path in [folder, fifo, "/dev/null", folder + "/", "", folder + "/no/file"] {
                #expect(
                    code { () throws(MediaError) in
                        try FileBytes.write([1], to: path, overwrite: true)
                    } == .cannotWrite)
            }
            #expect(
                code { () throws(MediaError) in _ = try FileBytes.read(folder + "/none") }
                    == .notFound)
            #expect(
                code { () throws(MediaError) in _ = try FileBytes.read(fifo + "/under") }
                    == .notFound)
            let error = try #require(throws: MediaError.self) { try Image(contentsOf: folder) }
            #expect(error.description.contains("is a folder"))
        }
    }

    @Test("files beyond the limit are refused, and files that hide their size are read")
    func size() throws {
        try withFolder { folder in
            let path = folder + "/a"
            try FileBytes.write([1, 2, 3], to: path, overwrite: false)
            #expect(try FileBytes.read(path, maximumByteCount: 3) == [1, 2, 3])
            #expect(
                code { () throws(MediaError) in
                    _ = try FileBytes.read(path, maximumByteCount: 2)
                } == .tooLarge)
        }
        // The kernel says 0 bytes and then gives some.
        #expect(try !FileBytes.read("/proc/self/status").isEmpty)
        #expect(
            code { () throws(MediaError) in
                _ = try FileBytes.read("/proc/self/status", maximumByteCount: 10)
            } == .tooLarge)
    }

    @Test("a folder without permission is refused", .enabled(if: geteuid() != 0, "root may write"))
    func permissions() throws {
        try withFolder { folder in
            chmod(folder, 0o500)
            #expect(
                code { () throws(MediaError) in
                    try FileBytes.write([1], to: folder + "/a", overwrite: true)
                } == .cannotWrite)
            chmod(folder, 0o700)
        }
    }

    @Test("a folder that takes no files is refused with the reason")
    func unwritable() throws {
        // /proc refuses new files for everybody, root included.
        let error = try #require(throws: MediaError.self) {
            try FileBytes.write([1], to: "/proc/self/new-file", overwrite: true)
        }
        #expect(error.code == .cannotWrite)
        #expect(error.description.contains("/proc/self/new-file: cannot be written: "))
    }
}
