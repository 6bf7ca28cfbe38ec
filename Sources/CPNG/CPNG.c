#include "CPNG.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Only chunks that carry pixels reach libpng (the ranges leave the others out), so no chunk that it
   copies to memory has a reason to be larger. */
static const png_alloc_size_t largestChunk = 8 << 20;

struct CPNGReader {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    const CPNGRange *ranges;
    size_t rangeCount;
    size_t range;       /* the range being read */
    size_t rangeOffset; /* bytes of it already read */
    int ended;
    CPNGHeader header;
    char message[CPNGMessageCapacity];
};

static void readerFailed(png_structp png, png_const_charp message) {
    CPNGReader *reader = png_get_error_ptr(png);
    snprintf(reader->message, sizeof reader->message, "%s", message);
    png_longjmp(png, 1);
}

/* Only chunks that make the pixels get here, so what libpng would pass over (a wrong checksum of
   the pixels, a transparency that it then drops) is damage. Surplus data after the last pixel and
   surplus bits of a colour key are not. */
static void readerWarned(png_structp png, png_const_charp message) {
    if (strstr(message, "Extra compressed data") == NULL
        && strstr(message, "Too much image data") == NULL
        && strstr(message, "out-of-range samples") == NULL) {
        readerFailed(png, message);
    }
}

static void readBytes(png_structp png, png_bytep destination, size_t count) {
    CPNGReader *reader = png_get_io_ptr(png);
    while (count > 0) {
        if (reader->range == reader->rangeCount) {
            reader->ended = 1;
            png_error(png, "the data end early");
        }
        const CPNGRange *range = &reader->ranges[reader->range];
        size_t step = range->count - reader->rangeOffset;
        if (step > count) {
            step = count;
        }
        memcpy(destination, reader->bytes + range->offset + reader->rangeOffset, step);
        destination += step;
        count -= step;
        reader->rangeOffset += step;
        if (reader->rangeOffset == range->count) {
            reader->range += 1;
            reader->rangeOffset = 0;
        }
    }
}

static int32_t failureStatus(const CPNGReader *reader) {
    if (reader->ended || strstr(reader->message, "Not enough image data") != NULL) {
        return CPNGStatusEnded;
    }
    if (strstr(reader->message, "emory") != NULL) {
        return CPNGStatusMemory;
    }
    return CPNGStatusCorrupt;
}

CPNGReader *CPNGReaderCreate(const uint8_t *bytes, const CPNGRange *ranges, size_t rangeCount) {
    CPNGReader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return NULL;
    }
    reader->bytes = bytes;
    reader->ranges = ranges;
    reader->rangeCount = rangeCount;
    reader->png =
        png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, readerFailed, readerWarned);
    if (reader->png != NULL) {
        reader->info = png_create_info_struct(reader->png);
    }
    if (reader->info == NULL) {
        CPNGReaderDestroy(reader);
        return NULL;
    }
    return reader;
}

void CPNGReaderDestroy(CPNGReader *reader) {
    if (reader == NULL) {
        return;
    }
    png_destroy_read_struct(&reader->png, &reader->info, NULL);
    free(reader);
}

int32_t CPNGReaderReadHeader(CPNGReader *reader, CPNGHeader *out) {
    png_structp png = reader->png;
    png_infop info = reader->info;
    if (setjmp(png_jmpbuf(png))) {
        return failureStatus(reader);
    }
    png_set_read_fn(png, reader, readBytes);
    /* Any size passes here: nothing is allocated by size yet, and Swift refuses with numbers. */
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(png, largestChunk);
    png_set_chunk_cache_max(png, 16);
    /* A damaged tRNS would otherwise be dropped, and with it the transparency, without a word. */
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_benign_errors(png, 1);
    png_read_info(png, info);

    CPNGHeader *header = &reader->header;
    int type = png_get_color_type(png, info);
    header->width = png_get_image_width(png, info);
    header->height = png_get_image_height(png, info);
    header->bitDepth = png_get_bit_depth(png, info);
    header->channelCount = png_get_channels(png, info);
    header->isPalette = type == PNG_COLOR_TYPE_PALETTE;

    png_bytep alphas = NULL;
    png_color_16p key = NULL;
    int alphaCount = 0;
    if (png_get_tRNS(png, info, &alphas, &alphaCount, &key) != 0 && !header->isPalette
        && key != NULL) {
        header->hasColorKey = 1;
        header->colorKey[0] = type == PNG_COLOR_TYPE_GRAY ? key->gray : key->red;
        header->colorKey[1] = key->green;
        header->colorKey[2] = key->blue;
    }
    png_colorp palette = NULL;
    int paletteCount = 0;
    if (header->isPalette && png_get_PLTE(png, info, &palette, &paletteCount) != 0) {
        header->paletteCount = (uint16_t)paletteCount;
    }
    *out = *header;
    return CPNGStatusSuccess;
}

void CPNGReaderCopyPalette(const CPNGReader *reader, uint8_t *rgba) {
    memset(rgba, 0, 256 * 4);
    png_colorp palette = NULL;
    png_bytep alphas = NULL;
    int paletteCount = 0, alphaCount = 0;
    if (png_get_PLTE(reader->png, reader->info, &palette, &paletteCount) == 0) {
        return;
    }
    if (png_get_tRNS(reader->png, reader->info, &alphas, &alphaCount, NULL) == 0
        || alphas == NULL) {
        alphaCount = 0;
    }
    for (int i = 0; i < paletteCount && i < 256; i++) {
        rgba[4 * i] = palette[i].red;
        rgba[4 * i + 1] = palette[i].green;
        rgba[4 * i + 2] = palette[i].blue;
        rgba[4 * i + 3] = i < alphaCount ? alphas[i] : 255;
    }
}

int32_t CPNGReaderReadPixels(CPNGReader *reader, uint16_t *samples, size_t sampleCount) {
    png_structp png = reader->png;
    const CPNGHeader *header = &reader->header;
    const size_t rowSampleCount = (size_t)header->width * header->channelCount;
    if (setjmp(png_jmpbuf(png))) {
        return failureStatus(reader);
    }
    if (rowSampleCount == 0 || sampleCount / rowSampleCount != header->height
        || sampleCount % rowSampleCount != 0) {
        png_error(png, "the buffer does not fit the image");
    }
    if (header->bitDepth < 8) {
        png_set_packing(png); /* one code per byte, not scaled */
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (header->bitDepth == 16) {
        png_set_swap(png);
    }
#endif
    int passCount = png_set_interlace_handling(png);
    png_read_update_info(png, reader->info);
    if (png_get_rowbytes(png, reader->info)
        != rowSampleCount * (header->bitDepth == 16 ? 2 : 1)) {
        png_error(png, "unexpected row size");
    }
    /* An 8-bit row is read into the first half of its 16-bit row, and widened once all passes of an
       interlaced image have left their pixels there: no second copy of the image is needed. */
    for (int pass = 0; pass < passCount; pass++) {
        for (size_t y = 0; y < header->height; y++) {
            png_read_row(png, (png_bytep)(samples + y * rowSampleCount), NULL);
        }
    }
    png_read_end(png, NULL);
    if (header->bitDepth < 16) {
        for (size_t y = 0; y < header->height; y++) {
            uint16_t *row = samples + y * rowSampleCount;
            const uint8_t *narrow = (const uint8_t *)row;
            for (size_t i = rowSampleCount; i-- > 0;) {
                row[i] = narrow[i];
            }
        }
    }
    return CPNGStatusSuccess;
}

const char *CPNGReaderMessage(const CPNGReader *reader) { return reader->message; }

typedef struct Output {
    uint8_t *bytes;
    size_t count;
    size_t capacity;
    uint8_t *row;
    char *message;
} Output;

static void writerFailed(png_structp png, png_const_charp message) {
    Output *output = png_get_error_ptr(png);
    snprintf(output->message, CPNGMessageCapacity, "%s", message);
    png_longjmp(png, 1);
}

static void writerWarned(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static void writeBytes(png_structp png, png_bytep source, size_t count) {
    Output *output = png_get_io_ptr(png);
    if (count > output->capacity - output->count) {
        size_t capacity = 2 * output->capacity + count + 4096;
        uint8_t *bytes = realloc(output->bytes, capacity);
        if (bytes == NULL) {
            png_error(png, "Out of memory");
        }
        output->bytes = bytes;
        output->capacity = capacity;
    }
    memcpy(output->bytes + output->count, source, count);
    output->count += count;
}

static void flushBytes(png_structp png) { (void)png; }

int32_t CPNGEncode(
    const uint16_t *samples, uint32_t width, uint32_t height, int32_t channelCount,
    int32_t bitDepth, int32_t compressionLevel, uint8_t **bytes, size_t *byteCount,
    char *message) {
    static const int colorTypes[] = {
        PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGBA};
    *bytes = NULL;
    *byteCount = 0;
    message[0] = 0;
    /* On the heap, since a local changed after setjmp has no defined value after longjmp. */
    Output *output = calloc(1, sizeof *output);
    if (output == NULL) {
        snprintf(message, CPNGMessageCapacity, "Out of memory");
        return CPNGStatusMemory;
    }
    output->message = message;
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, output, writerFailed, writerWarned);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    if (info == NULL) {
        png_destroy_write_struct(&png, NULL);
        free(output);
        snprintf(message, CPNGMessageCapacity, "Out of memory");
        return CPNGStatusMemory;
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        free(output->row);
        free(output->bytes);
        free(output);
        return strstr(message, "emory") != NULL ? CPNGStatusMemory : CPNGStatusCorrupt;
    }
    const size_t rowSampleCount = (size_t)width * (size_t)channelCount;
    output->row = malloc(rowSampleCount * 2);
    if (output->row == NULL) {
        png_error(png, "Out of memory");
    }
    png_set_write_fn(png, output, writeBytes, flushBytes);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_compression_level(png, compressionLevel);
    png_set_IHDR(
        png, info, width, height, bitDepth, colorTypes[channelCount - 1], PNG_INTERLACE_NONE,
        PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (size_t y = 0; y < height; y++) {
        const uint16_t *source = samples + y * rowSampleCount;
        for (size_t i = 0; i < rowSampleCount; i++) {
            if (bitDepth == 16) {
                output->row[2 * i] = (uint8_t)(source[i] >> 8);
                output->row[2 * i + 1] = (uint8_t)source[i];
            } else {
                output->row[i] = (uint8_t)source[i];
            }
        }
        png_write_row(png, output->row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    *bytes = output->bytes;
    *byteCount = output->count;
    free(output->row);
    free(output);
    return CPNGStatusSuccess;
}

void CPNGFree(uint8_t *bytes) { free(bytes); }
