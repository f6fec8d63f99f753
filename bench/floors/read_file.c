/* P-2, one-shot bytes: open, fstat, pread, close. Arguments: root folder, file of relative paths. */
#include "floor.h"

#include <fcntl.h>
#include <sys/stat.h>

static char **paths;
static size_t count, next_place;
static int root;
static const char *chosen;

static void prepare(int argc, char **argv)
{
    if (argc != 3)
        exit(2);
    paths = read_lines(argv[2], &count);
    if ((root = open(argv[1], O_PATH | O_DIRECTORY)) < 0)
        fail(argv[1]);
}

static void choose(int thread)
{
    (void)thread;
    chosen = paths[next_place++ % count];
}

/* The bytes are the caller's to keep, as those of every subject are, so they get memory of their own. */
static void operate(int thread)
{
    (void)thread;
    struct stat facts;
    int file = openat(root, chosen, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &facts) != 0)
        fail(chosen);
    char *bytes = malloc((size_t)facts.st_size);
    if (bytes == NULL || pread(file, bytes, (size_t)facts.st_size, 0) != facts.st_size)
        fail(chosen);
    close(file);
    free(bytes);
}
