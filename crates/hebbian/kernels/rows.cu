// What is derived from rows of weights.
#include "block.cuh"

#define THREADS 256

// sign(w) |w|^e of every weight; 0 where the weight is 0, whatever the exponent. Grid: a thread a weight, and on from
// there by the size of the grid. Memory: reads and writes each once.
extern "C" __global__ void signed_power(
    const float *weights, float *powers, const float exponent, const size_t count
) {
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
        const float w = weights[i];
        float power = 0.0f;
        if (exponent == 2.0f) power = w * fabsf(w);
        else if (exponent == 3.0f) power = w * w * w;
        else if (w != 0.0f) power = copysignf(powf(fabsf(w), exponent), w);
        powers[i] = power;
    }
}

// The norm of each row, the Euclidean one or the largest magnitude. Grid: a block of 256 threads per row. Memory: reads
// each weight once and writes a number a row.
extern "C" __global__ void row_norms(const float *weights, float *norms, const unsigned columns, const bool euclidean) {
    __shared__ float shared[THREADS];
    const float *row = weights + (size_t)blockIdx.x * columns;
    float mine = 0.0f;
    for (unsigned i = threadIdx.x; i < columns; i += blockDim.x) {
        mine = euclidean ? mine + row[i] * row[i] : larger(mine, fabsf(row[i]));
    }
    mine = euclidean ? block_reduce(mine, shared, sum<float>) : block_reduce(mine, shared, larger<float>);
    if (threadIdx.x == 0) norms[blockIdx.x] = euclidean ? sqrtf(mine) : mine;
}
