import Foundation
import Media
import TestSupport
import Testing

@testable import Latent

/// A case of `views.json`.
private struct ViewCase: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let x, cells, finished: OracleArray

    var testDescription: String { "\(name) of \(x.shape)" }

    var map: FeatureMap {
        FeatureMap(
            channelCount: x.shape[0], height: x.shape[1], width: x.shape[2], values: x.values)
    }

    static let all: [ViewCase] = {
        struct File: Decodable { let cases: [ViewCase] }
        return try! Fixtures.expected("views.json", as: File.self).cases
    }()
}

@Suite("Views for detection") struct ViewTransformTests {
    private static func transform(_ name: String) throws -> any MapTransform {
        try #require(ViewTransform(named: name)).transform
    }

    @Test("cells and finished windows are those of PyTorch", arguments: ViewCase.all)
    fileprivate func oracle(view: ViewCase) throws {
        let transform = try Self.transform(view.name)
        let cells = transform.cells(of: view.map)
        #expect([cells.channelCount, cells.height, cells.width] == view.cells.shape)
        #expect(cells.channelCount == transform.channelCount(of: view.x.shape[0]))
        #expect(
            mismatch(cells.values, view.cells.values, absolute: 2e-5, relative: 1e-4) == nil)
        var window = cells.values
        transform.finish(&window)
        #expect(mismatch(window, view.finished.values, absolute: 5e-5, relative: 1e-3) == nil)
    }

    @Test("gradients do not see brightness and contrast")
    func invariance() throws {
        let gradients = try Self.transform("gradients")
        let x = try #require(ViewCase.all.first { $0.name == "gradients" }).map
        func window(_ map: FeatureMap) -> [Float] {
            var window = gradients.cells(of: map).values
            gradients.finish(&window)
            return window
        }
        let changed = window(x.mapValues { 0.3 * $0 + 0.2 })
        #expect(mismatch(changed, window(x), absolute: 1e-4, relative: 1e-3) == nil)
        #expect(window(x.mapValues { _ in 0.4 }).allSatisfy { $0 == 0 })
        // The root mean square of what has edges is one half.
        let squares = changed.reduce(0) { $0 + $1 * $1 } / Float(changed.count)
        #expect(abs(squares - 0.25) < 1e-4)
    }

    @Test("gradients do not see which channel is which, values that are only blurred do")
    func colour() throws {
        let x = try #require(ViewCase.all.first { $0.name == "gradients" && $0.x.shape[0] == 3 })
            .map
        let area = x.height * x.width
        let turned = FeatureMap(
            channelCount: 3, height: x.height, width: x.width,
            values: Array(x.values[area...]) + x.values[..<area])
        let (gradients, smooth) = (
            try Self.transform("gradients"), try Self.transform("smooth")
        )
        #expect(gradients.cells(of: turned).values == gradients.cells(of: x).values)
        #expect(smooth.cells(of: turned).values != smooth.cells(of: x).values)
    }

    @Test("contrast does not see the strength of light")
    func light() throws {
        let contrast = try Self.transform("contrast")
        let x = try #require(ViewCase.all.first { $0.name == "contrast" }).map
        let bright = x.mapValues { 0.2 + 0.8 * $0 }
        // log(x / 2 + 0.025) = log(x + 0.05) - log 2.
        let half = bright.mapValues { 0.5 * ($0 + 0.05) - 0.05 }
        #expect(
            mismatch(
                contrast.cells(of: half).values, contrast.cells(of: bright).values,
                absolute: 2e-4) == nil)
    }

    @Test("windows of a file are cut from cells, and of the size that the model is told")
    func windows() throws {
        let path = Fixtures.path("images/shapes/disc/000.png")
        for name in ["smooth", "gradients", "contrast"] {
            var whole = Preprocessing.whole(height: 6, width: 5)
            whole.transform = ViewTransform(named: name)
            let window = try whole.windows(path).values(0..<1)
            #expect(window.count == whole.channelCount * 30, "\(name)")
            #expect(window.allSatisfy { $0.isFinite } && Set(window).count > 1)

            var grid = Preprocessing.grid(side: 4, stride: 1)
            grid.transform = ViewTransform(named: name)
            let windows = try grid.windows(path)
            #expect(
                windows.count
                    == grid.windowCount(height: windows.mapHeight, width: windows.mapWidth))
            let last = windows.values(windows.count - 1..<windows.count)
            #expect(last.count == grid.channelCount * 16)
            let all = windows.values(0..<windows.count)
            #expect(Array(all.suffix(last.count)) == last)
        }
    }

    @Test(
        "as large an image is read for cells as for pixels; grey ones as colour are three times as large"
    )
    func sizes() throws {
        var cells = Preprocessing.grid()
        cells.transform = ViewTransform(named: "gradients")
        #expect(cells.channelCount > 1)
        let colour = Preprocessing.whole(channelCount: 3)
        // 80 · 2²⁰ values: 8,192 by 10,240 of one channel.
        for read in [cells, Preprocessing.grid()] {
            try read.checkSize(height: 8192, width: 10_240, path: "a.png")
        }
        try colour.checkSize(height: 8192, width: 3413, path: "a.png")
        for (read, height, width) in [(cells, 8192, 10_241), (colour, 8192, 3414)] {
            let error = try #require(throws: LatentError.self) {
                try read.checkSize(height: height, width: width, path: "a.png")
            }
            #expect(error.code == .data && error.path == "a.png")
        }
    }

    @Test("numbers of a model file that no view has are refused")
    func validation() throws {
        var gradients = GradientCells()
        gradients.orientationCount = 1_000
        var smooth = SmoothCells()
        smooth.cellSide = 0
        var contrast = LocalContrast()
        contrast.outerSigma = .nan
        for transform in [
            ViewTransform.gradients(gradients), .smooth(smooth), .contrast(contrast),
        ] {
            #expect(throws: LatentError.self) { try transform.validate() }
        }
    }

    @Test("a view is written and read under its name")
    func coding() throws {
        for name in ["smooth", "gradients", "contrast"] {
            let transform = try #require(ViewTransform(named: name))
            let data = try JSONEncoder().encode(transform)
            #expect(try JSONDecoder().decode(ViewTransform.self, from: data) == transform)
            #expect(String(decoding: data, as: UTF8.self).hasPrefix("{\"\(name)\""))
            #expect(transform.name == name)
        }
    }

    @Test("a kept level is the same for all recordings, and a removed one that of each")
    func level() throws {
        let audio = try Audio(contentsOf: Fixtures.path("audio/sounds/chirp/000.wav"))
        var view = LogMelView(sampleRate: 8000, melCount: 16)
        let (removed, source) = try view.features(of: audio)
        #expect(removed.values.max() == 1)
        view.referenceNats = source.referenceLevel + 2
        let kept = try view.features(of: audio).0
        let expected = removed.values.map { max(0, $0 - Float(2 / view.rangeNats)) }
        #expect(mismatch(kept.values, expected, absolute: 1e-5) == nil)
        view.referenceNats = source.referenceLevel - 2
        #expect(try #require(view.features(of: audio).0.values.max()) > 1.1)
    }
}
