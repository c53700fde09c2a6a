// The products of cuBLAS that candle uses, on the CPU. The emulated device's memory is the host's.
#include <cstdio>
#include <cstdlib>

namespace {
template <typename T>
void multiply(
    int transa, int transb, int m, int n, int k, T alpha, const T *a, int lda, long long step_a, const T *b, int ldb,
    long long step_b, T beta, T *c, int ldc, long long step_c, int batch
) {
    for (int i = 0; i < batch; i++, a += step_a, b += step_b, c += step_c) {
        for (int column = 0; column < n; column++) {
            for (int row = 0; row < m; row++) {
                double sum = 0.0;
                const T *left = transa ? a + (long long)row * lda : a + row;
                const T *right = transb ? b + column : b + (long long)column * ldb;
                const long long left_step = transa ? 1 : lda, right_step = transb ? ldb : 1;
                for (int inner = 0; inner < k; inner++) {
                    sum += (double)left[inner * left_step] * (double)right[inner * right_step];
                }
                T &entry = c[row + (long long)column * ldc];
                entry = (T)(alpha * sum + (beta == 0 ? 0 : beta * entry));
            }
        }
    }
}

void note() {
    static FILE *log = getenv("EMULATED_CUDA_LOG") ? fopen(getenv("EMULATED_CUDA_LOG"), "a") : nullptr;
    if (!log) return;
    fputs("launch gemm\n", log);
    fflush(log);
}
}

extern "C" int cublasGemmStridedBatchedEx(
    void *, int transa, int transb, int m, int n, int k, const void *alpha, const void *a, int type, int lda,
    long long step_a, const void *b, int, int ldb, long long step_b, const void *beta, void *c, int, int ldc,
    long long step_c, int batch, int, int
) {
    if (type != 0) return 15;  // CUBLAS_STATUS_NOT_SUPPORTED, for all but CUDA_R_32F
    note();
    multiply(
        transa, transb, m, n, k, *(const float *)alpha, (const float *)a, lda, step_a, (const float *)b, ldb, step_b,
        *(const float *)beta, (float *)c, ldc, step_c, batch
    );
    return 0;
}

extern "C" int cublasDgemmStridedBatched(
    void *, int transa, int transb, int m, int n, int k, const double *alpha, const double *a, int lda,
    long long step_a, const double *b, int ldb, long long step_b, const double *beta, double *c, int ldc,
    long long step_c, int batch
) {
    note();
    multiply(transa, transb, m, n, k, *alpha, a, lda, step_a, b, ldb, step_b, *beta, c, ldc, step_c, batch);
    return 0;
}
