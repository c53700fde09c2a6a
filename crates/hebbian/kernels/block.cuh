// What the threads of a block do together. All of them must call it; `shared` has room for one value a thread, and a
// block has a power of two of threads.
#pragma once
#include <stdint.h>

template <typename T, typename Combine>
__device__ T block_reduce(T mine, T *shared, Combine combine) {
    __syncthreads();
    shared[threadIdx.x] = mine;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            shared[threadIdx.x] = combine(shared[threadIdx.x], shared[threadIdx.x + half]);
        }
        __syncthreads();
    }
    return shared[0];
}

template <typename T>
__device__ T larger(T a, T b) {
    return a > b ? a : b;
}

template <typename T>
__device__ T sum(T a, T b) {
    return a + b;
}
