import Foundation
import Media
import Testing

@Suite("Torture") struct TortureTests {
    static let folder = ProcessInfo.processInfo.environment["LATENT_TORTURE_DIR"]

    @Test(
        "every file is read, or refused with one line",
        .enabled(if: folder != nil, "set LATENT_TORTURE_DIR to a folder of odd files"))
    func everyFile() throws {
        let folder = try #require(Self.folder)
        let names = try #require(FileManager.default.enumerator(atPath: folder))
        let clock = ContinuousClock()
        for case let name as String in names {
            let path = folder + "/" + name
            let start = clock.now
            switch Result(catching: { () throws(MediaError) in try Image(contentsOf: path) }) {
            case .success(let image):
                #expect(try Image(pngData: image.pngData(), path: nil).width == image.width)
            case .failure(let error):
                #expect(error.path == path)
                #expect(error.message.split(separator: "\n").count == 1)
            }
            switch Result(catching: { () throws(MediaError) in try Audio(contentsOf: path) }) {
            case .success(let audio):
                #expect(audio.frameCount > 0)
                let isFinite = audio.samples.allSatisfy(\.isFinite)
                #expect(isFinite, "\(name)")
            case .failure(let error):
                #expect(error.path == path)
                #expect(error.message.split(separator: "\n").count == 1)
            }
            #expect(clock.now - start < .seconds(30), "\(name)")
        }
    }
}
