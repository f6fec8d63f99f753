/* P-2: open, fstat, mmap, close; the mapping stays. */
#include "floor.h"
#include "opened_paths.h"

#include <sys/mman.h>

static void operate(int thread)
{
    (void)thread;
    struct stat facts;
    int file = open_chosen(&facts);
    if (mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_SHARED, file, 0) == MAP_FAILED)
        fail("mmap");
    close(file);
}
