/*
 * Binary search in a sorted array of doubles: lower bound, exact match and nearest value.
 *
 * Two mistakes are traditional in this algorithm. The first is computing the middle as
 * (low + high) / 2, which overflows for very large arrays; low + (high - low) / 2 does not. The second
 * is mixing inclusive and exclusive ends. Here the range is always half-open, [low, high), and the
 * loop ends when it is empty.
 *
 * Build: cc -std=c11 -Wall -Wextra -O2 -o binary_search binary_search.c
 */

#include <assert.h>
#include <stddef.h>
#include <stdio.h>

#define NOT_FOUND ((size_t)-1)

/*
 * Return the index of the first element that is not smaller than key, or count if there is none.
 * This is also the place where key would have to be inserted to keep the array sorted.
 */
size_t lower_bound(const double *values, size_t count, double key)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (values[middle] < key) {
            low = middle + 1; /* the middle is too small: discard it and all before it */
        } else {
            high = middle; /* the middle may be the answer: keep it */
        }
    }
    return low;
}

/* Return the index of the first element equal to key, or NOT_FOUND. */
size_t find_exact(const double *values, size_t count, double key)
{
    size_t at = lower_bound(values, count, key);
    return at < count && values[at] == key ? at : NOT_FOUND;
}

/*
 * Return the index of the element closest to key. Of two equally close ones the smaller wins.
 * The array must not be empty.
 */
size_t find_nearest(const double *values, size_t count, double key)
{
    assert(count > 0);
    size_t at = lower_bound(values, count, key);
    if (at == 0) {
        return 0;
    }
    if (at == count) {
        return count - 1;
    }
    return values[at] - key < key - values[at - 1] ? at : at - 1;
}

/* Count the elements in [from, to) with two searches and without looking at each of them. */
size_t count_between(const double *values, size_t count, double from, double to)
{
    if (to <= from) {
        return 0;
    }
    return lower_bound(values, count, to) - lower_bound(values, count, from);
}

int main(void)
{
    const double exposure[] = {0.5, 1.0, 2.0, 2.0, 4.0, 8.0, 15.0, 30.0};
    const size_t n = sizeof exposure / sizeof exposure[0];

    assert(lower_bound(exposure, n, 2.0) == 2);
    assert(lower_bound(exposure, n, 99.0) == n);
    assert(lower_bound(exposure, 0, 1.0) == 0);
    assert(find_exact(exposure, n, 4.0) == 4);
    assert(find_exact(exposure, n, 5.0) == NOT_FOUND);
    assert(find_nearest(exposure, n, 11.0) == 5);
    assert(find_nearest(exposure, n, -3.0) == 0);
    assert(find_nearest(exposure, n, 3.0) == 3);
    assert(count_between(exposure, n, 1.0, 8.0) == 4);

    puts("binary search: ok");
    return 0;
}
