/* P-15: the nearest of given rows of a mapped file of float16 vectors, by comparing with each of them.
 *
 * Arguments: the mapped file, a file of questions, the length of a vector, how many nearest are kept. A question
 * is the number of its rows, the query (float32), and where each row's vector begins in the file (int64).
 */
#include "floor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define KERNEL __attribute__((target("avx2,f16c,fma")))
#elif defined(__aarch64__)
#define KERNEL
#else
#error "this floor knows x86-64 and aarch64"
#endif

struct question {
    int64_t rows;
    const float *query;
    const int64_t *begins;
};

static const unsigned char *vectors;
static struct question *questions;
static size_t question_count, next_question;
static const struct question *chosen;
static long dimension, kept;
static float *best;
static volatile float sink;

static const unsigned char *map(const char *path, size_t *length)
{
    struct stat facts;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &facts) != 0)
        fail(path);
    void *mapped = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
    if (mapped == MAP_FAILED)
        fail(path);
    close(file);
    *length = (size_t)facts.st_size;
    return mapped;
}

static void prepare(int argc, char **argv)
{
    size_t length, at = 0, room = 0;
    if (argc != 5)
        exit(2);
    vectors = map(argv[1], &length);
    const unsigned char *asked = map(argv[2], &length);
    dimension = strtol(argv[3], NULL, 10);
    kept = strtol(argv[4], NULL, 10);
    if ((best = malloc((size_t)kept * sizeof *best)) == NULL)
        fail("memory");
    while (at < length) {
        if (question_count == room && (questions = realloc(questions, (room += 256) * sizeof *questions)) == NULL)
            fail("memory");
        struct question *question = &questions[question_count++];
        memcpy(&question->rows, asked + at, sizeof question->rows);
        question->query = (const float *)(asked + at + 8);
        question->begins = (const int64_t *)(asked + at + 8 + 4 * (size_t)dimension);
        at += 8 + 4 * (size_t)dimension + 8 * (size_t)question->rows;
    }
}

static void choose(int thread)
{
    (void)thread;
    chosen = &questions[next_question++ % question_count];
}

KERNEL static float distance(const unsigned char *row, const float *query)
{
#if defined(__x86_64__)
    __m256 first = _mm256_setzero_ps(), second = _mm256_setzero_ps();
    for (long i = 0; i < dimension; i += 16) {
        __m256 a = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(row + 2 * i)));
        __m256 b = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(row + 2 * i + 16)));
        a = _mm256_sub_ps(a, _mm256_loadu_ps(query + i));
        b = _mm256_sub_ps(b, _mm256_loadu_ps(query + i + 8));
        first = _mm256_fmadd_ps(a, a, first);
        second = _mm256_fmadd_ps(b, b, second);
    }
    float parts[8], sum = 0;
    _mm256_storeu_ps(parts, _mm256_add_ps(first, second));
    for (int i = 0; i < 8; i++)
        sum += parts[i];
    return sum;
#else
    const __fp16 *halves = (const __fp16 *)row;
    float sums[16] = {0}, sum = 0;
    for (long i = 0; i < dimension; i += 16)
        for (int j = 0; j < 16; j++) {
            float difference = (float)halves[i + j] - query[i + j];
            sums[j] += difference * difference;
        }
    for (int j = 0; j < 16; j++)
        sum += sums[j];
    return sum;
#endif
}

KERNEL static void operate(int thread)
{
    (void)thread;
    long found = 0;
    for (int64_t number = 0; number < chosen->rows; number++) {
        float far = distance(vectors + chosen->begins[number], chosen->query);
        if (found == kept && far >= best[kept - 1])
            continue;
        long place = found < kept ? found++ : kept - 1;
        for (; place > 0 && best[place - 1] > far; place--)
            best[place] = best[place - 1];
        best[place] = far;
    }
    sink += best[0];
}
