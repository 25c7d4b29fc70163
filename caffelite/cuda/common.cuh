// What the kernels share. A kernel is emulated on a CPU thread by thread, so it must not need a barrier, except inside
// the block_* helpers: kernels that use them are emulated with blocks of one thread.
//
// Blobs of four axes are channels-last: element (n, c, h, w) of (N, C, H, W) lies at ((n * H + h) * W + w) * C + c.

typedef long long index_t;

// One thread an element, in strides of the whole grid: any number of blocks covers any n.
#define FOR_EACH(i, n) \
  for (index_t i = blockIdx.x * (index_t)blockDim.x + threadIdx.x; i < (n); i += (index_t)gridDim.x * blockDim.x)

// The sum over the threads of a block, which all of them get.
__device__ __forceinline__ float block_sum(float value) {
  __shared__ float parts[32];
  for (unsigned step = min(32u, blockDim.x) / 2; step > 0; step /= 2) value += __shfl_xor_sync(~0u, value, step);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  float total = 0;
  for (unsigned i = 0; i < (blockDim.x + 31) / 32; ++i) total += parts[i];
  __syncthreads();
  return total;
}

// The maximum over the threads of a block, which all of them get; NaN loses.
__device__ __forceinline__ float block_max(float value) {
  __shared__ float parts[32];
  for (unsigned step = min(32u, blockDim.x) / 2; step > 0; step /= 2)
    value = fmaxf(value, __shfl_xor_sync(~0u, value, step));
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  float best = parts[0];
  for (unsigned i = 1; i < (blockDim.x + 31) / 32; ++i) best = fmaxf(best, parts[i]);
  __syncthreads();
  return best;
}
