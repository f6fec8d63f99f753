/* The frame of a floor program. The program defines three functions and includes this file:
 *
 *     static void prepare(int argc, char **argv);   once, at the start
 *     static void choose(int thread);               before each operation, not timed
 *     static void operate(int thread);              timed, one by one
 *
 * FLOOR_THREADS threads, by default one, share the operations. For each line "N" on standard input, N
 * operations are run and N little-endian 64-bit counts of nanoseconds are written to standard output.
 *
 * The program is a library too, for a path whose system calls depend on the process that makes them: its memory
 * mappings, its threads and its open files. `floor_prepare` and `floor_sample` are what `main` is made of.
 */
#ifndef AEROTILE_FLOOR_H
#define AEROTILE_FLOOR_H

#ifndef FLOOR_THREADS
#define FLOOR_THREADS 1
#endif

#include "lines.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void prepare(int argc, char **argv);
static void choose(int thread);
static void operate(int thread);

static inline int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct worker {
    int number;
    long rounds;
    int64_t *taken;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (long round = 0; round < worker->rounds; round++) {
        choose(worker->number);
        int64_t before = nanoseconds();
        operate(worker->number);
        worker->taken[round] = nanoseconds() - before;
    }
    return NULL;
}

void floor_prepare(int argc, char **argv)
{
    prepare(argc, argv);
}

/* Run so many operations and store the nanoseconds of each. */
void floor_sample(long rounds, int64_t *taken)
{
    pthread_t threads[FLOOR_THREADS];
    struct worker workers[FLOOR_THREADS];
    long begun = 0;
    for (int number = 0; number < FLOOR_THREADS; number++) {
        long share = (rounds - begun) / (FLOOR_THREADS - number);
        workers[number] = (struct worker){number, share, taken + begun};
        begun += share;
    }
    for (int number = 1; number < FLOOR_THREADS; number++)
        if (pthread_create(&threads[number], NULL, work, &workers[number]) != 0)
            fail("threads");
    work(&workers[0]);
    for (int number = 1; number < FLOOR_THREADS; number++)
        pthread_join(threads[number], NULL);
}

int main(int argc, char **argv)
{
    char line[64];
    floor_prepare(argc, argv);
    while (fgets(line, sizeof line, stdin) != NULL) {
        long rounds = strtol(line, NULL, 10);
        int64_t *taken = malloc((size_t)rounds * sizeof *taken);
        if (taken == NULL)
            fail("memory");
        floor_sample(rounds, taken);
        if (fwrite(taken, sizeof *taken, (size_t)rounds, stdout) != (size_t)rounds || fflush(stdout) != 0)
            fail("writing the times");
        free(taken);
    }
    return 0;
}

#endif
