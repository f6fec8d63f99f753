/* P-6: the freshness verdict on a tile from a grid of cells in one array, from four threads.
 *
 * Arguments: a file of sectors ("south west north east active" per line, active 0 or 1), a file of questions
 * ("zoom x y age" per line, age in microseconds), the greatest ages of active and rear sectors in
 * microseconds. The answer is the strictest decision of all sectors that share a point with the tile, and
 * which sector decided.
 */
#define FLOOR_THREADS 4
#include "floor.h"

#include <math.h>

struct sector {
    double south, west, north, east;
    int active;
};

struct question {
    int zoom, x, y;
    int64_t age;
};

static struct sector *sectors;
static struct question *questions;
static size_t sector_count, question_count;
static int64_t greatest_age[2];
static double south, west, cells_per_lat, cells_per_lon;
static int rows, columns;
static uint32_t *cell_starts, *cell_sectors;

struct place {
    size_t next;
    const struct question *chosen;
    unsigned sink;
    char apart[64];
};

static struct place places[FLOOR_THREADS];

static inline int clamped(double value, int count)
{
    int cell = (int)value;
    return value < 0 ? 0 : cell >= count ? count - 1 : cell;
}

struct span {
    int first_row, last_row, first_column, last_column;
};

static inline struct span span_of(double box_south, double box_west, double box_north, double box_east)
{
    return (struct span){
        clamped((box_south - south) * cells_per_lat, rows),
        clamped((box_north - south) * cells_per_lat, rows),
        clamped((box_west - west) * cells_per_lon, columns),
        clamped((box_east - west) * cells_per_lon, columns),
    };
}

static void build_grid(void)
{
    double north = -90, east = -180;
    south = 90;
    west = 180;
    for (size_t place = 0; place < sector_count; place++) {
        south = fmin(south, sectors[place].south);
        west = fmin(west, sectors[place].west);
        north = fmax(north, sectors[place].north);
        east = fmax(east, sectors[place].east);
    }
    rows = columns = (int)ceil(2 * sqrt((double)sector_count));
    cells_per_lat = rows / (north - south);
    cells_per_lon = columns / (east - west);
    cell_starts = calloc((size_t)rows * (size_t)columns + 2, sizeof *cell_starts);
    if (cell_starts == NULL)
        fail("memory");
    for (int filling = 0; filling < 2; filling++) {
        for (size_t place = 0; place < sector_count; place++) {
            const struct sector *s = &sectors[place];
            struct span span = span_of(s->south, s->west, s->north, s->east);
            for (int row = span.first_row; row <= span.last_row; row++)
                for (int column = span.first_column; column <= span.last_column; column++) {
                    size_t cell = (size_t)row * (size_t)columns + (size_t)column;
                    if (filling)
                        cell_sectors[cell_starts[cell + 1]++] = (uint32_t)place;
                    else
                        cell_starts[cell + 2]++;
                }
        }
        if (!filling) {
            size_t cells = (size_t)rows * (size_t)columns;
            for (size_t cell = 2; cell <= cells + 1; cell++)
                cell_starts[cell] += cell_starts[cell - 1];
            if ((cell_sectors = malloc(cell_starts[cells + 1] * sizeof *cell_sectors)) == NULL)
                fail("memory");
        }
    }
}

static void prepare(int argc, char **argv)
{
    char **lines;
    if (argc != 5)
        exit(2);
    lines = read_lines(argv[1], &sector_count);
    sectors = calloc(sector_count, sizeof *sectors);
    for (size_t place = 0; place < sector_count; place++) {
        struct sector *s = &sectors[place];
        if (sscanf(lines[place], "%lf %lf %lf %lf %d", &s->south, &s->west, &s->north, &s->east, &s->active) != 5)
            fail(lines[place]);
    }
    lines = read_lines(argv[2], &question_count);
    questions = calloc(question_count, sizeof *questions);
    for (size_t place = 0; place < question_count; place++) {
        struct question *q = &questions[place];
        long long age;
        if (sscanf(lines[place], "%d %d %d %lld", &q->zoom, &q->x, &q->y, &age) != 4)
            fail(lines[place]);
        q->age = age;
    }
    greatest_age[1] = strtoll(argv[3], NULL, 10);
    greatest_age[0] = strtoll(argv[4], NULL, 10);
    build_grid();
    for (int thread = 0; thread < FLOOR_THREADS; thread++)
        places[thread].next = question_count * (size_t)thread / FLOOR_THREADS;
}

static void choose(int thread)
{
    struct place *place = &places[thread];
    place->chosen = &questions[place->next++ % question_count];
}

static inline double latitude(int y, double tiles)
{
    return atan(sinh(M_PI * (1 - 2 * y / tiles))) * (180 / M_PI);
}

static void operate(int thread)
{
    const struct question *q = places[thread].chosen;
    double tiles = (double)(1u << q->zoom);
    double box_west = q->x / tiles * 360 - 180, box_east = (q->x + 1) / tiles * 360 - 180;
    double box_north = latitude(q->y, tiles), box_south = latitude(q->y + 1, tiles);
    struct span span = span_of(box_south, box_west, box_north, box_east);
    unsigned strictest = 0, deciding = UINT32_MAX;
    for (int row = span.first_row; row <= span.last_row; row++)
        for (int column = span.first_column; column <= span.last_column; column++) {
            size_t cell = (size_t)row * (size_t)columns + (size_t)column;
            for (uint32_t place = cell_starts[cell]; place < cell_starts[cell + 1]; place++) {
                const struct sector *s = &sectors[cell_sectors[place]];
                if (s->south > box_north || s->north < box_south || s->west > box_east || s->east < box_west)
                    continue;
                /* Too old for a conflict is stricter than too old for the rear, is stricter than fresh. */
                unsigned decision = q->age <= greatest_age[s->active] ? 0 : s->active ? 2 : 1;
                unsigned strictness = 1 + decision * 2 + (unsigned)s->active;
                if (strictness > strictest) {
                    strictest = strictness;
                    deciding = cell_sectors[place];
                }
            }
        }
    places[thread].sink += strictest ^ deciding;
}
