/* P-4: many tiles durably in place by several threads: hash and temporaries, syncfs, renames, syncfs.
 *
 * A library with one function. SHA-256 is OpenSSL's, found when the library is loaded, so that no headers are
 * needed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define MOST_THREADS 64

typedef unsigned char *hash_function(const unsigned char *bytes, size_t length, unsigned char *digest);

static hash_function *hash;

struct batch {
    int root;
    size_t count;
    const char *const *temporaries;
    const char *const *names;
    const unsigned char *const *tiles;
    const size_t *lengths;
};

struct share {
    const struct batch *batch;
    size_t first, last;
    int renaming;
    int failure;
};

__attribute__((constructor)) static void find_hash(void)
{
    static const char *const libraries[] = {"libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so"};
    for (size_t place = 0; hash == NULL && place < sizeof libraries / sizeof *libraries; place++) {
        void *library = dlopen(libraries[place], RTLD_NOW);
        if (library != NULL)
            hash = (hash_function *)dlsym(library, "SHA256");
    }
}

/* Whether there is a SHA-256 to be had. */
int can_hash(void)
{
    return hash != NULL;
}

static int write_temporary(const struct batch *batch, size_t place)
{
    unsigned char digest[32];
    const unsigned char *bytes = batch->tiles[place];
    size_t length = batch->lengths[place];
    int file;
    hash(bytes, length, digest);
    file = openat(batch->root, batch->temporaries[place], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0440);
    if (file < 0)
        return errno;
    while (length > 0) {
        ssize_t done = write(file, bytes, length);
        if (done < 0) {
            close(file);
            return errno;
        }
        bytes += done;
        length -= (size_t)done;
    }
    close(file);
    return 0;
}

static void *work(void *argument)
{
    struct share *share = argument;
    const struct batch *batch = share->batch;
    for (size_t place = share->first; place < share->last && share->failure == 0; place++) {
        if (!share->renaming)
            share->failure = write_temporary(batch, place);
        else if (renameat(batch->root, batch->temporaries[place], batch->root, batch->names[place]) != 0)
            share->failure = errno;
    }
    return NULL;
}

static int in_parallel(const struct batch *batch, int threads, int renaming)
{
    pthread_t running[MOST_THREADS];
    struct share shares[MOST_THREADS];
    int failure = 0;
    for (int number = 0; number < threads; number++) {
        size_t first = batch->count * (size_t)number / (size_t)threads;
        size_t last = batch->count * (size_t)(number + 1) / (size_t)threads;
        shares[number] = (struct share){batch, first, last, renaming, 0};
        if (pthread_create(&running[number], NULL, work, &shares[number]) != 0)
            return EAGAIN;
    }
    for (int number = 0; number < threads; number++) {
        pthread_join(running[number], NULL);
        if (failure == 0)
            failure = shares[number].failure;
    }
    return failure;
}

/* Paths are relative to the folder `root`; their folders are there. Returns 0 or an errno. */
int place_many(int root, size_t count, const char *const *temporaries, const char *const *names,
               const unsigned char *const *tiles, const size_t *lengths, int threads)
{
    struct batch batch = {root, count, temporaries, names, tiles, lengths};
    int failure;
    if (threads < 1 || threads > MOST_THREADS)
        return EINVAL;
    failure = in_parallel(&batch, threads, 0);
    if (failure == 0 && syncfs(root) != 0)
        failure = errno;
    if (failure == 0)
        failure = in_parallel(&batch, threads, 1);
    if (failure == 0 && syncfs(root) != 0)
        failure = errno;
    return failure;
}
