/* Using a tile's bytes: one byte of every page, as a decoder brings every page into the cache. */
#ifndef AEROTILE_PAGES_H
#define AEROTILE_PAGES_H

#include <stddef.h>

#define PAGE_BYTES 4096

static inline unsigned touch_pages(const unsigned char *bytes, size_t length)
{
    unsigned sum = 0;
    for (size_t place = 0; place < length; place += PAGE_BYTES)
        sum += bytes[place];
    return sum;
}

#endif
