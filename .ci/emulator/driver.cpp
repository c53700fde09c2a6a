// A CUDA driver that keeps its memory on the host and runs kernels on the CPU, thread by thread: what candle's CUDA
// backend and our kernels do can then be executed, and every transfer and launch counted, where there is no GPU. It says
// nothing about time.
//
// EMULATED_CUDA_LOG names a file that gets a line for each transfer and launch. EMULATED_CUDA_ORDER=reversed runs blocks
// and threads from the last to the first: a kernel whose result then differs depends on who comes first.
#include "cuda.h"

#include <csetjmp>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <ucontext.h>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {
struct Kernel {
    std::string name;
    emulator::Launcher launcher;
};

std::map<std::string, Kernel> &kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

std::mutex one_at_a_time;

void note(const char *format, ...) {
    static FILE *log = getenv("EMULATED_CUDA_LOG") ? fopen(getenv("EMULATED_CUDA_LOG"), "a") : nullptr;
    if (!log) return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(log, format, arguments);
    va_end(arguments);
    fflush(log);
}

bool reversed() {
    static const bool is = getenv("EMULATED_CUDA_ORDER") && !strcmp(getenv("EMULATED_CUDA_ORDER"), "reversed");
    return is;
}

// A stack on which threads of a block run, one after the other until one has to wait.
struct Fiber {
    enum State { Idle, AtBlock, AtWarp } state = Idle;
    dim3 thread;
    jmp_buf at;
    ucontext_t begin;
    bool begun = false;
    std::vector<char> stack = std::vector<char>(128 << 10);
};

std::vector<Fiber *> fibers;
Fiber *running;
jmp_buf scheduler;
unsigned next_thread, threads;
emulator::Launcher launcher;
void **arguments;
std::vector<char> shared_memory;
std::vector<unsigned long long> slots;

dim3 at(unsigned place, const dim3 &size, unsigned count) {
    if (reversed()) place = count - 1 - place;
    return {place % size.x, place / size.x % size.y, place / size.x / size.y};
}

void run_threads() {
    for (;;) {
        while (next_thread < threads) {
            running->thread = threadIdx = at(next_thread++, blockDim, threads);
            launcher(arguments);
        }
        running->state = Fiber::Idle;
        if (!_setjmp(running->at)) _longjmp(scheduler, 1);
    }
}

void resume(Fiber *fiber) {
    running = fiber;
    threadIdx = fiber->thread;
    if (_setjmp(scheduler)) return;
    if (fiber->begun) _longjmp(fiber->at, 1);
    fiber->begun = true;
    getcontext(&fiber->begin);
    fiber->begin.uc_stack = {fiber->stack.data(), 0, fiber->stack.size()};
    fiber->begin.uc_link = nullptr;
    makecontext(&fiber->begin, run_threads, 0);
    setcontext(&fiber->begin);
}

Fiber *idle() {
    for (Fiber *fiber : fibers) {
        if (fiber->state == Fiber::Idle) return fiber;
    }
    fibers.push_back(new Fiber);
    return fibers.back();
}

bool resume_all(Fiber::State state) {
    std::vector<Fiber *> waiting;
    for (Fiber *fiber : fibers) {
        if (fiber->state == state) waiting.push_back(fiber);
    }
    for (Fiber *fiber : waiting) resume(fiber);
    return !waiting.empty();
}

void run_block() {
    next_thread = 0;
    while (next_thread < threads) resume(idle());
    while (resume_all(Fiber::AtWarp) || resume_all(Fiber::AtBlock)) {
    }
}
}

namespace emulator {
void wait(Wait kind) {
    Fiber *fiber = running;
    fiber->state = kind == Warp ? Fiber::AtWarp : Fiber::AtBlock;
    if (!_setjmp(fiber->at)) _longjmp(scheduler, 1);
}
void *shared() {
    return shared_memory.data();
}
unsigned long long &slot(unsigned thread) {
    return slots[thread];
}
Registered::Registered(const char *name, Launcher launcher) {
    kernels()[name] = {name, launcher};
}
}

extern "C" {
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal == 0 ? 0 : 101;  // CUDA_ERROR_INVALID_DEVICE
}
int cuDeviceGetAttribute(int *value, int, int) { *value = 1; return 0; }
int cuGetErrorName(int, const char **text) { *text = "an error of the emulated driver"; return 0; }
int cuGetErrorString(int, const char **text) { *text = "an error of the emulated driver"; return 0; }

int cuMemAlloc_v2(void **address, size_t bytes) {
    // What a program does not write before it reads must not be 0 by chance.
    *address = aligned_alloc(256, (bytes + 511) / 256 * 256);
    memset(*address, 0xff, bytes);
    return 0;
}
int cuMemAllocAsync(void **address, size_t bytes, void *) { return cuMemAlloc_v2(address, bytes); }
int cuMemFree_v2(void *address) { free(address); return 0; }
int cuMemFreeAsync(void *address, void *) { free(address); return 0; }
int cuMemsetD8Async(void *address, unsigned char value, size_t bytes, void *) {
    note("memset %zu\n", bytes);
    memset(address, value, bytes);
    return 0;
}
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *) {
    note("to-device %zu\n", bytes);
    memcpy(to, from, bytes);
    return 0;
}
int cuMemcpyHtoD_v2(void *to, const void *from, size_t bytes) { return cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr); }
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, void *) {
    note("to-host %zu\n", bytes);
    memcpy(to, from, bytes);
    return 0;
}
int cuMemcpyDtoH_v2(void *to, const void *from, size_t bytes) { return cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr); }
int cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t bytes, void *) {
    note("on-device %zu\n", bytes);
    memmove(to, from, bytes);
    return 0;
}

int cuModuleGetFunction(void **function, void *, const char *name) {
    const auto found = kernels().find(name);
    if (found == kernels().end()) {
        fprintf(stderr, "emulated CUDA: there is no kernel %s\n", name);
        return 500;  // CUDA_ERROR_NOT_FOUND
    }
    *function = &found->second;
    return 0;
}

int cuLaunchKernel(
    Kernel *kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
    unsigned block_z, unsigned shared_bytes, void *, void **kernel_arguments, void **
) {
    const std::lock_guard<std::mutex> guard(one_at_a_time);
    note("launch %s\n", kernel->name.c_str());
    gridDim = {grid_x, grid_y, grid_z};
    blockDim = {block_x, block_y, block_z};
    threads = block_x * block_y * block_z;
    const unsigned blocks = grid_x * grid_y * grid_z;
    // What a GPU refuses is refused here too.
    if (blocks == 0 || threads == 0 || threads > 1024 || shared_bytes > 48 << 10 || grid_y > 65535 || grid_z > 65535) {
        fprintf(stderr, "emulated CUDA: %s cannot be launched as it is\n", kernel->name.c_str());
        return 1;  // CUDA_ERROR_INVALID_VALUE
    }
    launcher = kernel->launcher;
    arguments = kernel_arguments;
    shared_memory.assign(shared_bytes, -1);
    slots.resize(1024);
    for (unsigned block = 0; block < blocks; block++) {
        blockIdx = at(block, gridDim, blocks);
        run_block();
    }
    return 0;
}
}
