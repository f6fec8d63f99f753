/* P-3: one tile durably in place, no hash, no sidecar, no row. A library; each function returns 0 or an errno.
 *
 * `temporary` and `name` are in the folder `folder`, which is there and durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int written(int file, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t done = write(file, bytes, length);
        if (done < 0)
            return errno;
        bytes += done;
        length -= (size_t)done;
    }
    return 0;
}

/* Temporary file, fdatasync, rename, fsync of the folder: holds on every file system. */
int place_with_two_syncs(int folder, const char *temporary, const char *name, const char *bytes, size_t length)
{
    int file = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0440);
    int failure;
    if (file < 0)
        return errno;
    failure = written(file, bytes, length);
    if (failure == 0 && fdatasync(file) != 0)
        failure = errno;
    close(file);
    if (failure == 0 && (renameat(folder, temporary, folder, name) != 0 || fsync(folder) != 0))
        failure = errno;
    return failure;
}

/* A file without a name, linked, then one fsync: the commit of a journal (ext4, XFS) carries the new name too. */
int place_with_one_sync(int folder, const char *temporary, const char *name, const char *bytes, size_t length)
{
    char path[64];
    int file = openat(folder, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0440);
    int failure;
    (void)temporary;
    if (file < 0)
        return errno;
    failure = written(file, bytes, length);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (failure == 0 && linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW) != 0)
        failure = errno;
    if (failure == 0 && fsync(file) != 0)
        failure = errno;
    close(file);
    return failure;
}
