#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "Products.hpp"

namespace lt::products {

/// The tiles of a processor with AMX in plain C++, for machines without.
///
/// Products are reckoned as Intel's software developer's manual has it under TDPBF16PS: those of even and of
/// odd places are each a chain of fused multiply-adds from 0, rounded to nearest even, and their sum is
/// added to the tile; denormal numbers are taken and given as 0. A tile that was not configured for what is
/// done with it is an error there, and ends the program here.
class TileEmulation {
  public:
    explicit TileEmulation(int rows) : rows(rows) { require(rows > 0 && rows <= 16); }

    template <int tile>
    void zero() {
        std::memset(tiles[tile], 0, sizeof tiles[tile]);
    }

    template <int tile>
    void load(const BFloat16 *from, int64_t stride) {
        for (int row = 0; row < height(tile); ++row) {
            std::memcpy(tiles[tile][row], reinterpret_cast<const char *>(from) + row * stride, 64);
        }
    }

    template <int tile>
    void store(float *to, int64_t stride) {
        for (int row = 0; row < height(tile); ++row) {
            std::memcpy(reinterpret_cast<char *>(to) + row * stride, tiles[tile][row], 64);
        }
    }

    template <int sum, int a, int b>
    void multiply_add() {
        static_assert(sum != a && sum != b && a != b);
        require(height(sum) == height(a) && height(b) == 16);
        for (int m = 0; m < height(a); ++m) {
            for (int n = 0; n < 16; ++n) {
                float even = 0, odd = 0;
                for (int k = 0; k < 16; ++k) {
                    const uint32_t x = tiles[a][m][k], y = tiles[b][k][n];
                    even = flushed(std::fmaf(number(x << 16), number(y << 16), even));
                    odd = flushed(std::fmaf(number(x & 0xffff0000), number(y & 0xffff0000), odd));
                }
                const float total =
                    flushed(number(tiles[sum][m][n]) + flushed(even + odd));
                std::memcpy(&tiles[sum][m][n], &total, 4);
            }
        }
        ++products;
    }

    /// How many products of tiles this thread has made.
    static inline thread_local int64_t products = 0;

  private:
    int rows;
    uint32_t tiles[8][16][16] = {};

    int height(int tile) const { return tile < 6 ? rows : 16; }
    static void require(bool holds) {
        if (!holds) {
            __builtin_trap();
        }
    }
    static float flushed(float x) {
        return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
    }
    static float number(uint32_t bits) {
        float x;
        std::memcpy(&x, &bits, 4);
        return flushed(x);
    }
};

}  // namespace lt::products
