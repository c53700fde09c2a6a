// How well each unit matches each sample: c_bu = gate_u / max(1 - p_bu / (|w_u| |x_b|), 1e-6).
//
// Grid: (samples, units / 128) blocks of 128 threads, a thread a score. Memory: reads the products once and writes the
// scores; the norms, lengths and gates come from the caches.
extern "C" __global__ void overlap_scores(
    const float *products, const float *norms, const float *lengths, const float *gates, float *scores,
    const unsigned units
) {
    const unsigned unit = blockIdx.y * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    const size_t place = (size_t)blockIdx.x * units + unit;
    const float distance =
        1.0f - products[place] * (1.0f / fmaxf(norms[unit], 1e-12f)) * (1.0f / fmaxf(lengths[blockIdx.x], 1e-12f));
    // A NaN stays one: it must reach the update, which leaves it out.
    scores[place] = gates[unit] / (distance < 1e-6f ? 1e-6f : distance);
}
