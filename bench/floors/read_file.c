/* P-2, one-shot bytes: open, fstat, pread, close. */
#include "floor.h"
#include "opened_paths.h"

static char *last;

/* The bytes are the caller's to keep, as those of every subject are: they get memory of their own, and those of the
 * read before are still there. */
static void operate(int thread)
{
    (void)thread;
    struct stat facts;
    int file = open_chosen(&facts);
    char *bytes = malloc((size_t)facts.st_size);
    if (bytes == NULL || pread(file, bytes, (size_t)facts.st_size, 0) != facts.st_size)
        fail(chosen);
    close(file);
    free(last);
    last = bytes;
}
