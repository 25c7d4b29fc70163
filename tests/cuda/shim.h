// Runs CUDA kernels on the host, one thread after the other. Kernels with barriers run in blocks of one thread.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
using std::max;
using std::min;
struct Dim { unsigned x; };
static Dim threadIdx, blockIdx, blockDim, gridDim;
#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static
inline void __syncthreads() {}
template <class T> T __shfl_xor_sync(unsigned, T value, unsigned) { return value; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
template <class T> T __ldg(const T* p) { return *p; }
inline float __int_as_float(int i) { float f; __builtin_memcpy(&f, &i, 4); return f; }
template <class T> T atomicAdd(T* p, T v) { T old = *p; *p += v; return old; }
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
