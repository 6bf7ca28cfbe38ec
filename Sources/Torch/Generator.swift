import Foundation

/// A keyed, counter-based source of random numbers: Philox4x32-10.
///
/// Equal keys give equal numbers on every machine, whatever ran before; a key is made from a seed
/// and any number of words (an item's hash, a window, a draw), so that noise belongs to a thing and
/// not to the order of work. The state is the key and a counter, and is stored in checkpoints.
///
/// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
public struct Generator: RandomNumberGenerator, Sendable, Hashable, Codable {
    private let key: UInt64
    private let stream: UInt64
    private var block: UInt64 = 0
    private var buffered: UInt64?

    /// Makes a generator for a seed and the words that name what it is for.
    public init(seed: UInt64, _ words: UInt64...) {
        var hash = Self.mix(seed &+ 0x9E37_79B9_7F4A_7C15)
        for word in words { hash = Self.mix(hash ^ word) &+ 0x9E37_79B9_7F4A_7C15 }
        key = hash
        stream = Self.mix(hash ^ 0xD1B5_4A32_D192_ED03)
    }

    /// Finalizer of SplitMix64: a bijection in which every input bit changes half the output bits.
    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// One block of Philox4x32-10.
    static func philox(
        counter: SIMD4<UInt32>, key: SIMD2<UInt32>
    ) -> SIMD4<UInt32> {
        var c = counter
        var k = key
        for _ in 0..<10 {
            let p0 = UInt64(0xD251_1F53) &* UInt64(c.x)
            let p1 = UInt64(0xCD9E_8D57) &* UInt64(c.z)
            c = SIMD4(
                UInt32(truncatingIfNeeded: p1 >> 32) ^ c.y ^ k.x, UInt32(truncatingIfNeeded: p1),
                UInt32(truncatingIfNeeded: p0 >> 32) ^ c.w ^ k.y, UInt32(truncatingIfNeeded: p0))
            k = SIMD2(k.x &+ 0x9E37_79B9, k.y &+ 0xBB67_AE85)
        }
        return c
    }

    private mutating func nextBlock() -> SIMD4<UInt32> {
        let counter = SIMD4(
            UInt32(truncatingIfNeeded: block), UInt32(truncatingIfNeeded: block >> 32),
            UInt32(truncatingIfNeeded: stream), UInt32(truncatingIfNeeded: stream >> 32))
        block &+= 1
        return Self.philox(
            counter: counter,
            key: SIMD2(UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32)))
    }

    /// 64 random bits.
    public mutating func next() -> UInt64 {
        if let value = buffered {
            buffered = nil
            return value
        }
        let bits = nextBlock()
        buffered = UInt64(bits.w) << 32 | UInt64(bits.z)
        return UInt64(bits.y) << 32 | UInt64(bits.x)
    }

    /// A number in [0, 1), with 24 random bits.
    public mutating func uniform() -> Float { Float(next() >> 40) * 0x1p-24 }

    /// Independent numbers from N(0, 1), by Box and Muller's transform.
    public mutating func normals(_ count: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            var index = 0
            while index < count {
                let bits = nextBlock()
                for (a, b) in [(bits.x, bits.y), (bits.z, bits.w)] {
                    // (a + ½) / 2³² is never 0, so that the logarithm is finite.
                    let radius = (-2 * log((Double(a) + 0.5) * 0x1p-32)).squareRoot()
                    let angle = 2 * Double.pi * Double(b) * 0x1p-32
                    if index < count {
                        buffer.initializeElement(at: index, to: Float(radius * cos(angle)))
                        index += 1
                    }
                    if index < count {
                        buffer.initializeElement(at: index, to: Float(radius * sin(angle)))
                        index += 1
                    }
                }
            }
            initialized = count
        }
    }
}
