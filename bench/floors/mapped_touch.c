/* P-1: touch every page of a tile whose mapping is kept. Arguments: root folder, file of relative paths. */
#include "floor.h"
#include "pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct mapping {
    const unsigned char *bytes;
    size_t length;
};

static struct mapping *mappings;
static size_t count, next_place;
static const struct mapping *chosen;
static volatile unsigned sink;

static void prepare(int argc, char **argv)
{
    if (argc != 3)
        exit(2);
    char **paths = read_lines(argv[2], &count);
    int root = open(argv[1], O_PATH | O_DIRECTORY);
    if (root < 0 || (mappings = calloc(count, sizeof *mappings)) == NULL)
        fail(argv[1]);
    for (size_t place = 0; place < count; place++) {
        struct stat facts;
        int file = openat(root, paths[place], O_RDONLY);
        if (file < 0 || fstat(file, &facts) != 0)
            fail(paths[place]);
        mappings[place].length = (size_t)facts.st_size;
        mappings[place].bytes = mmap(NULL, mappings[place].length, PROT_READ, MAP_SHARED, file, 0);
        if (mappings[place].bytes == MAP_FAILED)
            fail("mmap");
        sink += touch_pages(mappings[place].bytes, mappings[place].length);
        close(file);
    }
}

static void choose(int thread)
{
    (void)thread;
    chosen = &mappings[next_place++ % count];
}

static void operate(int thread)
{
    (void)thread;
    sink += touch_pages(chosen->bytes, chosen->length);
}
