// How many connected synapses of each column an input reaches: bits, and a count of `and`ed words.
#include <stdint.h>

// Sets bit i % 32 of a row's word i / 32 where value i is at least `least`. Grid: (rows, words / 128) blocks of 128
// threads, a thread a word. Memory: reads each value once, writes 1/32 of that.
extern "C" __global__ void pack_bits(
    const float *values, unsigned *bits, const float least, const unsigned columns, const unsigned words
) {
    const unsigned word = blockIdx.y * blockDim.x + threadIdx.x;
    if (word >= words) return;
    const float *row = values + (size_t)blockIdx.x * columns;
    unsigned packed = 0;
    for (unsigned bit = 0; bit < 32 && 32 * word + bit < columns; bit++) {
        packed |= (unsigned)(row[32 * word + bit] >= least) << bit;
    }
    bits[(size_t)blockIdx.x * words + word] = packed;
}

// The counts (inputs, columns) as f32. Grid: (inputs, columns / 128) blocks of 128 threads, a thread a column. Memory:
// the words of all columns, once an input and from the second-level cache after the first: 32 times less than the
// permanences.
extern "C" __global__ void count_overlaps(
    const unsigned *inputs, const unsigned *connected, float *counts, const unsigned units, const unsigned words
) {
    const unsigned unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    const unsigned *input = inputs + (size_t)blockIdx.x * words, *column = connected + (size_t)unit * words;
    int count = 0;
    for (unsigned word = 0; word < words; word++) count += __popc(input[word] & column[word]);
    counts[(size_t)blockIdx.x * units + unit] = (float)count;
}
