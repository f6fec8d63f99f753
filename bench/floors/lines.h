/* What every floor program needs: to end with an error, and to read the lines of a file. */
#ifndef AEROTILE_LINES_H
#define AEROTILE_LINES_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

__attribute__((noreturn, unused)) static void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The lines of a file, without their ends. */
__attribute__((unused)) static char **read_lines(const char *path, size_t *count)
{
    FILE *file = fopen(path, "r");
    size_t room = 1024, length = 0;
    char **lines = malloc(room * sizeof *lines);
    char *line = NULL;
    size_t line_room = 0;
    ssize_t got;
    if (file == NULL || lines == NULL)
        fail(path);
    while ((got = getline(&line, &line_room, file)) > 0) {
        if (line[got - 1] == '\n')
            line[got - 1] = '\0';
        if (length == room && (lines = realloc(lines, (room *= 2) * sizeof *lines)) == NULL)
            fail("memory");
        if ((lines[length++] = strdup(line)) == NULL)
            fail("memory");
    }
    free(line);
    fclose(file);
    *count = length;
    return lines;
}

#endif
