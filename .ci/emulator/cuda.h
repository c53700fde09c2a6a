// Enough of CUDA's C++ for g++ to compile kernels as plain functions, which driver.cpp runs on the CPU.
#pragma once
#include <algorithm>
#include <assert.h>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <math.h>
#include <stdint.h>
#include <type_traits>
#include <utility>

#define __device__
#define __host__
#ifndef KEEP_GLOBAL
#define __global__
#endif
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block runs at a time, so what its threads share can be static.
#define __shared__ static

struct dim3 {
    unsigned x, y, z;
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {
enum Wait { Block, Warp };
void wait(Wait);
// Shared memory of the size that a launch asks for.
void *shared();
// Room for one value a thread, for a warp to exchange.
unsigned long long &slot(unsigned thread);
}

inline void __syncthreads() {
    emulator::wait(emulator::Block);
}

template <typename T>
T __shfl_xor_sync(unsigned, T value, int lanes, int = 32) {
    static_assert(sizeof(T) <= 8);
    std::memcpy(&emulator::slot(threadIdx.x), &value, sizeof(T));
    emulator::wait(emulator::Warp);
    std::memcpy(&value, &emulator::slot(threadIdx.x ^ lanes), sizeof(T));
    emulator::wait(emulator::Warp);
    return value;
}

template <typename T, typename V>
T atomicAdd(T *address, V value) {
    T before = *address;
    *address += value;
    return before;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
inline int __popc(unsigned bits) {
    return __builtin_popcount(bits);
}

template <typename A, typename B>
auto max(A a, B b) -> std::common_type_t<A, B> {
    return a < b ? b : a;
}
template <typename A, typename B>
auto min(A a, B b) -> std::common_type_t<A, B> {
    return b < a ? b : a;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float normcdff(float x) { return 0.5f * std::erfc(-x * 0.70710678f); }
inline double normcdf(double x) { return 0.5 * std::erfc(-x * 0.7071067811865476); }

struct float2 {
    float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
struct alignas(16) float4 {
    float x, y, z, w;
};

// Named in signatures of templates that nobody calls.
struct __nv_fp8_e4m3 {
    unsigned char __x;
    explicit __nv_fp8_e4m3(float) : __x(0) {}
};
constexpr int __NV_E4M3 = 0;
inline float __nv_cvt_fp8_to_halfraw(unsigned char, int) { return 0.0f; }
inline float __half2float(float value) { return value; }

namespace cuda::std {
using ::std::numeric_limits;
}

// A kernel by its name, to be called with the addresses of its arguments.
namespace emulator {
using Launcher = void (*)(void **);

template <auto Kernel>
struct Call;
template <typename... Arguments, void (*Kernel)(Arguments...)>
struct Call<Kernel> {
    template <size_t... Index>
    static void with(void **arguments, std::index_sequence<Index...>) {
        Kernel(*static_cast<std::remove_cv_t<Arguments> *>(arguments[Index])...);
    }
    static void launch(void **arguments) { with(arguments, std::index_sequence_for<Arguments...>{}); }
};

struct Registered {
    Registered(const char *name, Launcher launcher);
};
}
