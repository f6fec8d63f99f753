/* P-19: read each tile's file, hash it, and write its bytes into one file, durable at the end.
 * Arguments: file of paths, the file to write. SHA-256 is OpenSSL's, found at the start. */
#include "floor.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef unsigned char *hash_function(const unsigned char *bytes, size_t length, unsigned char *digest);

static hash_function *hash;
static char **paths;
static size_t count;
static const char *target;
static unsigned char *buffer;
static size_t room = 1 << 20;

static void prepare(int argc, char **argv)
{
    static const char *const libraries[] = {"libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so"};
    if (argc != 3)
        exit(2);
    paths = read_lines(argv[1], &count);
    target = argv[2];
    buffer = malloc(room);
    for (size_t place = 0; hash == NULL && place < sizeof libraries / sizeof *libraries; place++) {
        void *library = dlopen(libraries[place], RTLD_NOW);
        if (library != NULL)
            hash = (hash_function *)dlsym(library, "SHA256");
    }
    if (buffer == NULL || hash == NULL)
        fail("no memory, or no libcrypto");
}

static void choose(int thread)
{
    (void)thread;
    unlink(target);
}

static void copy_of(const char *path, int output)
{
    struct stat facts;
    unsigned char digest[32];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &facts) != 0)
        fail(path);
    size_t length = (size_t)facts.st_size;
    if (length > room && (buffer = realloc(buffer, room = length)) == NULL)
        fail("memory");
    if (read(file, buffer, length) != (ssize_t)length)
        fail(path);
    close(file);
    hash(buffer, length, digest);
    if (write(output, buffer, length) != (ssize_t)length)
        fail(target);
}

static void operate(int thread)
{
    (void)thread;
    int output = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0440);
    if (output < 0)
        fail(target);
    for (size_t place = 0; place < count; place++)
        copy_of(paths[place], output);
    if (fsync(output) != 0)
        fail(target);
    close(output);
}
