// The k largest of each row in rank order, ties to the lowest index, a NaN below every number.
//
// Grid: a block of 256 threads per row. Memory: the row is read from global memory once and then from the caches: k times
// for the few, about 30 times for the many; k indices are written. No order of arrival matters: every entry has a place
// of its own in the order, which its value and its index decide.
#include "block.cuh"

#define THREADS 256

// Larger is better, and no two entries of a row are equal. Adding 0 makes -0 the 0 that it equals.
__device__ unsigned long long place(float value, unsigned index) {
    unsigned bits = __float_as_uint(value != value ? -INFINITY : value + 0.0f);
    unsigned ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (unsigned long long)ordered << 32 | (0xffffffffu - index);
}

// Up to some thirty of them: k times the best of those behind the last one.
extern "C" __global__ void top_few(
    const float *values, unsigned *ranked, const unsigned columns, const unsigned k
) {
    __shared__ unsigned long long shared[THREADS];
    const float *row = values + (size_t)blockIdx.x * columns;
    unsigned long long last = ~0ull;
    for (unsigned rank = 0; rank < k; rank++) {
        unsigned long long best = 0;
        for (unsigned i = threadIdx.x; i < columns; i += blockDim.x) {
            unsigned long long candidate = place(row[i], i);
            if (candidate < last && candidate > best) best = candidate;
        }
        last = block_reduce(best, shared, larger<unsigned long long>);
        if (threadIdx.x == 0) ranked[(size_t)blockIdx.x * k + rank] = 0xffffffffu - (unsigned)last;
    }
}

// Any number: bisects for the place of the last that is among them, collects them in `chosen` (rows, k) in whatever
// order they come, and counts for each how many are before it.
extern "C" __global__ void top_many(
    const float *values, unsigned long long *chosen, unsigned *ranked, const unsigned columns, const unsigned k
) {
    __shared__ unsigned shared[THREADS];
    __shared__ unsigned found;
    const float *row = values + (size_t)blockIdx.x * columns;
    unsigned long long *mine = chosen + (size_t)blockIdx.x * k;
    unsigned long long least = 0;
    for (int bit = 63; bit >= 0; bit--) {
        unsigned long long middle = least | 1ull << bit;
        unsigned count = 0;
        for (unsigned i = threadIdx.x; i < columns; i += blockDim.x) count += place(row[i], i) >= middle;
        count = block_reduce(count, shared, sum<unsigned>);
        if (count >= k) least = middle;
        if (count == k) break;
    }
    if (threadIdx.x == 0) found = 0;
    __syncthreads();
    for (unsigned i = threadIdx.x; i < columns; i += blockDim.x) {
        unsigned long long candidate = place(row[i], i);
        if (candidate >= least) mine[atomicAdd(&found, 1u)] = candidate;
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < k; i += blockDim.x) {
        unsigned rank = 0;
        for (unsigned j = 0; j < k; j++) rank += mine[j] > mine[i];
        ranked[(size_t)blockIdx.x * k + rank] = 0xffffffffu - (unsigned)mine[i];
    }
}
