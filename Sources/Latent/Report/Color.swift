/// A colour of eight bits a channel.
struct Color: Sendable, Equatable {
    var red: UInt8
    var green: UInt8
    var blue: UInt8

    /// A colour as the web writes it: `0xRRGGBB`.
    init(_ code: UInt32) {
        red = UInt8(truncatingIfNeeded: code >> 16)
        green = UInt8(truncatingIfNeeded: code >> 8)
        blue = UInt8(truncatingIfNeeded: code)
    }

    /// A colour of intensities 0…1, as far out as they may be.
    init(red: Float, green: Float, blue: Float) {
        self.red = Self.code(red)
        self.green = Self.code(green)
        self.blue = Self.code(blue)
    }

    private static func code(_ value: Float) -> UInt8 {
        // Both comparisons are false for NaN.
        UInt8((value > 0 ? (value < 1 ? value : 1) : 0) * 255 + 0.5)
    }

    /// This colour over another.
    func over(_ below: Color, opacity: Float) -> Color {
        func mix(_ a: UInt8, _ b: UInt8) -> Float {
            (Float(a) * opacity + Float(b) * (1 - opacity)) / 255
        }
        return Color(
            red: mix(red, below.red), green: mix(green, below.green), blue: mix(blue, below.blue))
    }

    /// What is missing, NaN or infinite; in no grey picture and nowhere on the scale of levels.
    static let missing = Color(0xFF00FF)
    static let page = Color(0xE4E7EB)
    static let paper = Color(0xFFFFFF)
    static let ink = Color(0x1F2328)
    static let line = Color(0xD8DCE1)
}

/// Colours for levels 0…1: dark violet by blue and green to light yellow.
///
/// Equal steps of level look about equally large: in OKLab the lightness rises evenly from 0.23 to
/// 0.93 while the hue turns from 305° to 100°, at the largest chroma up to 0.16 that a screen has.
/// Between the points below, colours are mixed.
enum LevelColors {
    private static let points: [Color] = [
        Color(0x2A0148), Color(0x291980), Color(0x02488A), Color(0x016B8C), Color(0x048B93),
        Color(0x0EAC93), Color(0x52CB7A), Color(0xB2DD61), Color(0xFFEA6D),
    ]

    /// The colour of a level, which must be finite.
    static func color(_ level: Float) -> Color {
        let place = min(max(level, 0), 1) * Float(points.count - 1)
        let index = min(Int(place), points.count - 2)
        return points[index + 1].over(points[index], opacity: place - Float(index))
    }
}

/// Colours that are told apart on white, for up to twenty classes.
///
/// The first six are Okabe and Ito's (2008), which people with any kind of colour vision can tell
/// apart. Each further one is as far as possible, in OKLab, from those before it, as seen with normal
/// vision and with simulated deuteranopia and protanopia (Machado et al. 2009). Twenty cannot all be
/// far apart: whoever draws them should let the shapes differ as well.
enum ClassColors {
    static let all: [Color] = [
        Color(0x0072B2), Color(0xE69F00), Color(0x009E73), Color(0xCC79A7), Color(0xD55E00),
        Color(0x56B4E9), Color(0x560305), Color(0x03127E), Color(0x5C04FF), Color(0xA60750),
        Color(0x35E6A4), Color(0x8E6EF8), Color(0x3F4B12), Color(0x4B3A9B), Color(0x0C05CE),
        Color(0x441952), Color(0x26F318), Color(0x96B67B), Color(0xD11EC7), Color(0x82DAE5),
    ]

    /// Those of no class in the legend.
    static let others = Color(0xA8ADB4)
    /// Those without a class.
    static let unlabelled = Color(0x6B7178)
}
