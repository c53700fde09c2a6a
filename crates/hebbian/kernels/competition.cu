// The update of competing units: each assignment of a sample to a unit moves the unit's row, the assignments to one unit
// in the order of the samples. No atomics: the first assignment to a unit computes for all of them, so that the bits are
// the same each time.
//
// Assignment 2b is sample b's winner, 2b + 1 its repelled unit. With R distinct units among C assignments, a step reads R
// rows of weights twice and writes them once, reads C rows of inputs, and writes and reads R rows of changes. All other
// rows of the weights are left alone. A number that is not below `units` moves nothing.
#include "block.cuh"

#define THREADS 128

// The unit of an assignment that does not exist, since nothing is repelled: not below any number of units.
#define NO_UNIT 0xffffffffu

__device__ unsigned unit_of(const unsigned *winners, const unsigned *repelled, unsigned assignment) {
    if (assignment % 2 == 0) return winners[assignment / 2];
    return repelled ? repelled[assignment / 2] : NO_UNIT;
}

// The changes (assignments, columns + tiles) of the units whose first assignment this is: behind them lies the largest
// magnitude in each tile of columns, and only 0 in the rows of other assignments. Grid: (assignments, tiles) blocks of 128
// threads, one per column.
extern "C" __global__ void competition_change(
    const float *weights, const float *inputs, const float *currents, const unsigned *winners,
    const unsigned *repelled, const float *attraction, const float *repulsion, const float each_attraction,
    const float each_repulsion, float *changes, const unsigned units, const unsigned columns
) {
    __shared__ unsigned shared[THREADS];
    const unsigned first = blockIdx.x, assignments = gridDim.x, tile = blockIdx.y, tiles = gridDim.y;
    const unsigned unit = unit_of(winners, repelled, first), column = tile * blockDim.x + threadIdx.x;
    float *mine = changes + (size_t)first * (columns + tiles);
    bool is_first = unit < units;
    for (unsigned assignment = 0; is_first && assignment < first; assignment++) {
        is_first = unit_of(winners, repelled, assignment) != unit;
    }
    if (!is_first) {
        if (threadIdx.x == 0) mine[columns + tile] = 0.0f;
        return;
    }
    unsigned attracted = 0, repulsed = 0;
    for (unsigned assignment = first; assignment < assignments; assignment++) {
        const bool is_mine = unit_of(winners, repelled, assignment) == unit;
        attracted += is_mine && assignment % 2 == 0;
        repulsed += is_mine && assignment % 2 == 1;
    }
    const float towards = attraction ? attraction[unit] / (float)(attracted ? attracted : 1) : each_attraction;
    const float away = repulsion ? repulsion[unit] / (float)(repulsed ? repulsed : 1) : each_repulsion;
    float pull = 0.0f, change = 0.0f;
    for (unsigned assignment = first; assignment < assignments; assignment++) {
        if (unit_of(winners, repelled, assignment) != unit) continue;
        const float g = assignment % 2 == 0 ? towards : -away;
        const size_t sample = assignment / 2;
        pull += g * currents[sample * units + unit];
        if (column < columns) change += g * inputs[sample * columns + column];
    }
    unsigned bits = 0;
    if (column < columns) {
        change -= pull * weights[(size_t)unit * columns + column];
        mine[column] = change;
        bits = __float_as_uint(fabsf(change));
    }
    // Compared as integers, a NaN is larger than infinity and never lost.
    bits = block_reduce(bits, shared, larger<unsigned>);
    if (threadIdx.x == 0) mine[columns + tile] = __uint_as_float(bits);
}

// The largest entry of all changes, at least 1e-30; NaN if it, or the one of the step before, is not finite. Grid: one
// block of 128 threads. Memory: reads assignments x tiles numbers.
extern "C" __global__ void competition_size(
    const float *changes, const float *before, float *size, const unsigned assignments, const unsigned columns,
    const unsigned tiles
) {
    __shared__ unsigned shared[THREADS];
    unsigned bits = 0;
    for (unsigned i = threadIdx.x; i < assignments * tiles; i += blockDim.x) {
        const float *magnitudes = changes + (size_t)(i / tiles) * (columns + tiles) + columns;
        bits = larger(bits, __float_as_uint(magnitudes[i % tiles]));
    }
    bits = block_reduce(bits, shared, larger<unsigned>);
    if (threadIdx.x == 0) {
        const bool sound = bits < 0x7f800000u && fabsf(*before) < INFINITY;
        *size = sound ? fmaxf(__uint_as_float(bits), 1e-30f) : NAN;
    }
}

// Adds the changes, scaled so that the largest entry becomes `rate` (as they are, where the rate is negative), unless
// `size` is NaN. Grid: as that of the changes. Memory: reads and writes R rows of weights, reads R rows of changes.
extern "C" __global__ void competition_apply(
    float *weights, const float *changes, const float *size, const unsigned *winners, const unsigned *repelled,
    const double rate, const unsigned columns
) {
    const unsigned assignment = blockIdx.x, tile = blockIdx.y, tiles = gridDim.y;
    const unsigned column = tile * blockDim.x + threadIdx.x;
    const float *mine = changes + (size_t)assignment * (columns + tiles);
    const float largest = *size;
    if (column >= columns || mine[columns + tile] == 0.0f || largest != largest) return;
    const float scale = rate < 0.0 ? 1.0f : (float)(rate / (double)largest);
    weights[(size_t)unit_of(winners, repelled, assignment) * columns + column] += scale * mine[column];
}
