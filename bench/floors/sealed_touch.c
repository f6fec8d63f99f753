/* P-16: find a tile by its key among sorted keys and touch every page of it in one mapping.
 * Arguments: facts file (rows of 104 bytes: key, offset, ..., length at 56), archive, file of keys. */
#include "floor.h"
#include "pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROW_BYTES 104

static int64_t *keys;
static uint64_t *offsets;
static uint32_t *lengths;
static size_t count, asked, next_place;
static int64_t *questions, chosen;
static const unsigned char *archive;
static volatile unsigned sink;

static const unsigned char *mapped(const char *path, size_t *length)
{
    struct stat facts;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &facts) != 0)
        fail(path);
    *length = (size_t)facts.st_size;
    const unsigned char *bytes = mmap(NULL, *length, PROT_READ, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED)
        fail("mmap");
    close(file);
    return bytes;
}

static void operate(int thread)
{
    (void)thread;
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (keys[middle] < chosen)
            low = middle + 1;
        else
            high = middle;
    }
    sink += touch_pages(archive + offsets[low], lengths[low]);
}

static void prepare(int argc, char **argv)
{
    size_t length;
    if (argc != 4)
        exit(2);
    const unsigned char *rows = mapped(argv[1], &length);
    archive = mapped(argv[2], &count);
    count = length / ROW_BYTES;
    char **lines = read_lines(argv[3], &asked);
    keys = malloc(count * sizeof *keys);
    offsets = malloc(count * sizeof *offsets);
    lengths = malloc(count * sizeof *lengths);
    questions = malloc(asked * sizeof *questions);
    if (keys == NULL || offsets == NULL || lengths == NULL || questions == NULL)
        fail("memory");
    for (size_t row = 0; row < count; row++) {
        memcpy(&keys[row], rows + row * ROW_BYTES, sizeof *keys);
        memcpy(&offsets[row], rows + row * ROW_BYTES + 8, sizeof *offsets);
        memcpy(&lengths[row], rows + row * ROW_BYTES + 56, sizeof *lengths);
    }
    for (size_t place = 0; place < asked; place++) {
        chosen = questions[place] = strtoll(lines[place], NULL, 10);
        operate(0);
    }
}

static void choose(int thread)
{
    (void)thread;
    chosen = questions[next_place++ % asked];
}
