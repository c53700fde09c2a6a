// Where units that inhibit each other settle: all Euler steps of a pattern in one launch.
//
// Grid: a block a pattern, 32 to 512 threads, a thread a unit or several; the outputs lie in shared memory, 8 bytes a
// unit and 8 a thread. Memory: the lateral weights once an iteration, from the caches after the first. In f64, since
// the iterations feed rounding errors back through a steep function.
#include "block.cuh"

__device__ double squash(double value) {
    return 1.0 / (1.0 + exp(-value));
}

extern "C" __global__ void settle(
    const double *excess, const float *outgoing, double *settled,
    const double slope, const double time_step, const double tolerance, const unsigned iterations, const unsigned units
) {
    extern __shared__ double outputs[];
    double *moved = outputs + units;
    const double *drive = excess + (size_t)blockIdx.x * units;
    double *next = settled + (size_t)blockIdx.x * units;
    for (unsigned unit = threadIdx.x; unit < units; unit += blockDim.x) outputs[unit] = 0.0;
    for (unsigned iteration = 0; iteration < iterations; iteration++) {
        __syncthreads();
        double largest = 0.0;
        for (unsigned unit = threadIdx.x; unit < units; unit += blockDim.x) {
            double received = 0.0;
            for (unsigned other = 0; other < units; other++) {
                received += outputs[other] * (double)outgoing[(size_t)other * units + unit];
            }
            const double change = squash(slope * (drive[unit] + received)) - outputs[unit];
            next[unit] = outputs[unit] + time_step * change;
            largest = larger(largest, fabs(change));
        }
        // Which also keeps the new outputs apart from the old ones until all have read them.
        largest = block_reduce(largest, moved, larger<double>);
        for (unsigned unit = threadIdx.x; unit < units; unit += blockDim.x) outputs[unit] = next[unit];
        if (largest < tolerance) break;
    }
}
