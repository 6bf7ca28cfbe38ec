import CSndFile
import Glibc

/// Bytes in memory as the file that libsndfile asks for; it must outlive the handle that reads it.
final class MemoryFile {
    let bytes: UnsafeRawBufferPointer
    private let correction: (offset: Int, bytes: [UInt8])?
    private var position = 0

    /// Creates a file that reads as `bytes`, but for those that a correction replaces.
    init(_ bytes: UnsafeRawBufferPointer, correction: (offset: Int, bytes: [UInt8])?) {
        self.bytes = bytes
        self.correction = correction
    }

    /// The functions to pass to `sf_open_virtual`, with the unretained object as user data.
    static var callbacks: SF_VIRTUAL_IO {
        SF_VIRTUAL_IO(
            get_filelen: { context in sf_count_t(MemoryFile.at(context)?.bytes.count ?? 0) },
            seek: { offset, origin, context in
                MemoryFile.at(context)?.seek(Int(offset), origin) ?? -1
            },
            read: { destination, count, context in
                MemoryFile.at(context)?.read(into: destination, Int(count)) ?? 0
            },
            write: { _, _, _ in 0 },
            tell: { context in sf_count_t(MemoryFile.at(context)?.position ?? 0) })
    }

    private static func at(_ context: UnsafeMutableRawPointer?) -> MemoryFile? {
        context.map { Unmanaged<MemoryFile>.fromOpaque($0).takeUnretainedValue() }
    }

    private func seek(_ offset: Int, _ origin: Int32) -> sf_count_t {
        let base =
            switch origin {
            case SEEK_SET: 0
            case SEEK_CUR: position
            default: bytes.count
            }
        // Damaged headers ask for any offset at all.
        let (target, overflow) = base.addingReportingOverflow(offset)
        guard !overflow, target >= 0 else { return -1 }
        position = target
        return sf_count_t(target)
    }

    private func read(into destination: UnsafeMutableRawPointer?, _ count: Int) -> sf_count_t {
        guard let destination, let source = bytes.baseAddress, count > 0, position < bytes.count
        else { return 0 }
        let step = min(count, bytes.count - position)
        destination.copyMemory(from: source + position, byteCount: step)
        if let correction {
            for (index, byte) in correction.bytes.enumerated() {
                let at = correction.offset + index - position
                if (0..<step).contains(at) {
                    destination.storeBytes(of: byte, toByteOffset: at, as: UInt8.self)
                }
            }
        }
        position += step
        return sf_count_t(step)
    }
}
