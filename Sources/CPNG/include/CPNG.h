/* Raw PNG pixel codes from memory to memory, over libpng's low-level interface.

   libpng reports errors by longjmp, which must not cross a Swift frame: every call below catches
   it and returns a status instead. No policy lives here: limits, palettes and transparency are
   Swift's.

   Ownership: a reader borrows the bytes and ranges given to it until it is destroyed; the buffer
   that CPNGEncode writes is the caller's, freed with CPNGFree. Nothing is shared between readers, so
   readers may run on different threads. */

#ifndef CPNG_H
#define CPNG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a call answers; anything but CPNGStatusSuccess comes with a message. */
enum {
    CPNGStatusSuccess = 0,
    CPNGStatusEnded = 1,   /* the input, or the compressed pixels in it, end early */
    CPNGStatusCorrupt = 2, /* the input breaks the PNG format */
    CPNGStatusMemory = 3   /* memory ran out */
};

enum { CPNGMessageCapacity = 256 };

/* A stretch of the input; the ranges of a reader, end to end, are the PNG that libpng sees. */
typedef struct CPNGRange {
    size_t offset;
    size_t count;
} CPNGRange;

typedef struct CPNGHeader {
    uint32_t width;
    uint32_t height;
    uint8_t bitDepth;     /* 1, 2, 4, 8, 16 */
    uint8_t channelCount; /* as stored: 1 for a palette image */
    uint8_t isPalette;
    uint8_t hasColorKey;  /* a tRNS chunk of a grey or RGB image */
    uint16_t paletteCount;
    uint16_t colorKey[3]; /* grey, or red, green, blue */
} CPNGHeader;

typedef struct CPNGReader CPNGReader;

/* Makes a reader, or NULL when memory runs out. */
CPNGReader *_Nullable CPNGReaderCreate(
    const uint8_t *_Nonnull bytes, const CPNGRange *_Nonnull ranges, size_t rangeCount);

void CPNGReaderDestroy(CPNGReader *_Nullable reader);

/* Reads up to the first pixel. Allocates nothing that grows with the size of the image. */
int32_t CPNGReaderReadHeader(CPNGReader *_Nonnull reader, CPNGHeader *_Nonnull header);

/* Copies the palette to 256 RGBA entries; entries past the header's paletteCount are zero. */
void CPNGReaderCopyPalette(const CPNGReader *_Nonnull reader, uint8_t *_Nonnull rgba);

/* Reads all pixels, once, as codes 0...2^bitDepth-1 (palette images: indices), and the end of the
   file. sampleCount must be width * height * channelCount of the header. */
int32_t CPNGReaderReadPixels(
    CPNGReader *_Nonnull reader, uint16_t *_Nonnull samples, size_t sampleCount);

/* libpng's own words for the last failure; valid until the reader is destroyed. */
const char *_Nonnull CPNGReaderMessage(const CPNGReader *_Nonnull reader);

/* Writes grey, grey + alpha, RGB or RGBA (1...4 channels) codes of 8 or 16 bits as a PNG.
   message has room for CPNGMessageCapacity bytes. */
int32_t CPNGEncode(
    const uint16_t *_Nonnull samples, uint32_t width, uint32_t height, int32_t channelCount,
    int32_t bitDepth, int32_t compressionLevel, uint8_t *_Nullable *_Nonnull bytes,
    size_t *_Nonnull byteCount, char *_Nonnull message);

void CPNGFree(uint8_t *_Nullable bytes);

#ifdef __cplusplus
}
#endif

#endif
