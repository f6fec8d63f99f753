/* The frame of a floor that opens one file per operation. Arguments: root folder, file of relative paths. */
#ifndef AEROTILE_OPENED_PATHS_H
#define AEROTILE_OPENED_PATHS_H

#include "lines.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int open_chosen(struct stat *facts)
{
    int file = openat(root, chosen, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, facts) != 0)
        fail(chosen);
    return file;
}

#endif
