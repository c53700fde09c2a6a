// m_t = m_(t-1) + rate (x_t - m_(t-1)) along time.
//
// Grid: a thread a unit, which walks through time; neighbors read neighboring values. Memory: each value is read and
// written once.
extern "C" __global__ void running_average(
    const float *values, const float *before, float *averages, const float rate, const unsigned times,
    const unsigned units
) {
    const unsigned unit = blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    float average = before[unit];
    for (unsigned time = 0; time < times; time++) {
        average += rate * (values[(size_t)time * units + unit] - average);
        averages[(size_t)time * units + unit] = average;
    }
}
