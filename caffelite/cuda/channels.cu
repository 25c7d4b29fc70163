// Normalization, scale, shift and slopes along some axes of a blob, in any memory order in which these lie together.
//
// Memory is (items, outer, C, inner): of a channels-last (N, C, H, W), parameters of axis 1 see (1, N * H * W, C, 1); in
// C order they see (1, N, C, H * W). A parameter has items * C numbers, here called channels, of outer * inner values each.
//
// Sums over the values of a channel take two launches. In the first, thread i adds up one part: every lanes-th value of a
// chunk of them, part (chunk, channel, lane) in C order. In the second, a block adds up the parts of one channel.

// The channel of the element i.
template <class T>
__device__ __forceinline__ T channel_of(T i, T items, T outer, T C, T inner) {
  T rest = inner == 1 ? i : i / inner;
  if (items == 1) return rest % C;
  return rest / C / outer * C + rest % C;
}

// The same, with the cheaper division by 32 bits where n elements allow it.
__device__ __forceinline__ index_t channel_at(index_t i, int items, index_t outer, int C, index_t inner, index_t n) {
  if (n >> 32) return channel_of<index_t>(i, items, outer, C, inner);
  return channel_of<unsigned>(i, items, outer, C, inner);
}

// How many values a part has: those of values [chunk * size, (chunk + 1) * size) that are lane, lane + lanes ...
__device__ __forceinline__ index_t part_size(index_t chunk, int lane, index_t values, int lanes, index_t size) {
  index_t left = min(values - chunk * size, size) - lane;
  return left > 0 ? (left + lanes - 1) / lanes : 0;
}

// A walk over the values of one part. lanes is at most inner, so that a step enters the next row at most once.
struct Walk {
  index_t channel, at, column, left;

  __device__ __forceinline__ Walk(index_t i, int items, index_t outer, int C, index_t inner, int lanes, index_t size) {
    int lane = i % lanes;
    index_t rest = i / lanes, channels = (index_t)items * C, chunk = rest / channels;
    channel = rest % channels;
    left = part_size(chunk, lane, outer * inner, lanes, size);
    index_t first = chunk * size + lane;
    column = first % inner;
    at = ((channel / C * outer + first / inner) * C + channel % C) * inner + column;
  }

  __device__ __forceinline__ void step(int C, index_t inner, int lanes) {
    --left;
    column += lanes;
    at += lanes;
    if (column >= inner) {
      column -= inner;
      at += (C - 1) * inner;
    }
  }
};

// (x - center) * inverse * scale + shift; what is null is left out.
extern "C" __global__ void affine(const float* x, const float* center, const float* inverse, const float* scale, const float* shift, float* y, int items, index_t outer, int C, index_t inner, index_t n) {
  FOR_EACH(i, n) {
    index_t c = channel_at(i, items, outer, C, inner, n);
    float value = x[i];
    if (center) value -= center[c];
    if (inverse) value *= inverse[c];
    if (scale) value *= scale[c];
    if (shift) value += shift[c];
    y[i] = value;
  }
}

// The parts of dots, the sums of dy * (x - center) * inverse, and of sums, those of dy; either may be null. x is taken as
// it is if center is null, and only where it is negative if negative is not 0.
extern "C" __global__ void sum_parts(const float* x, const float* center, const float* inverse, const float* dy, float* dots, float* sums, int negative, int items, index_t outer, int C, index_t inner, int lanes, index_t size, index_t n) {
  FOR_EACH(i, n) {
    Walk walk(i, items, outer, C, inner, lanes, size);
    float mean = center ? center[walk.channel] : 0.f, factor = center ? inverse[walk.channel] : 1.f;
    float dot = 0, sum = 0;
    for (; walk.left; walk.step(C, inner, lanes)) {
      float gradient = dy[walk.at];
      sum += gradient;
      if (!dots) continue;
      float value = x[walk.at];
      if (center) value = (value - mean) * factor;
      if (negative && value > 0) value = 0;
      dot += gradient * value;
    }
    if (dots) dots[i] = dot;
    if (sums) sums[i] = sum;
  }
}

// A block adds up the parts of its channel: sums = factor * total, or that is added to them.
extern "C" __global__ void add_parts(const float* parts, float* sums, int add, float factor, int lanes, index_t chunks) {
  double own = 0;
  for (index_t k = threadIdx.x; k < chunks * lanes; k += blockDim.x)
    own += parts[(k / lanes * gridDim.x + blockIdx.x) * lanes + k % lanes];
  float total = factor * block_sum((float)own);
  if (threadIdx.x == 0) sums[blockIdx.x] = add ? sums[blockIdx.x] + total : total;
}

// The same by one thread a channel, for few parts.
extern "C" __global__ void add_few_parts(const float* parts, float* sums, int add, float factor, int lanes, index_t chunks, index_t n) {
  FOR_EACH(c, n) {
    double total = 0;
    for (index_t k = 0; k < chunks * lanes; ++k) total += parts[(k / lanes * n + c) * lanes + k % lanes];
    sums[c] = add ? sums[c] + factor * (float)total : factor * (float)total;
  }
}

// -- BatchNorm ---------------------------------------------------------------------------------------------------------

// Each part's mean, and sum of squared differences from it. Both are taken of differences from the part's first value:
// what cancels is then at most as large as the part's own spread, times its size.
extern "C" __global__ void moment_parts(const float* x, float* means, float* squares, int items, index_t outer, int C, index_t inner, int lanes, index_t size, index_t n) {
  FOR_EACH(i, n) {
    Walk walk(i, items, outer, C, inner, lanes, size);
    float number = walk.left, origin = walk.left ? x[walk.at] : 0.f, sum = 0, square = 0;
    for (; walk.left; walk.step(C, inner, lanes)) {
      float difference = x[walk.at] - origin;
      sum += difference;
      square += difference * difference;
    }
    float shift = number > 0 ? sum / number : 0.f;
    means[i] = origin + shift;
    square -= shift * sum;
    squares[i] = square < 0 ? 0.f : square;  // NaN stays
  }
}

// A block puts the parts of its channel together: mean and 1 / deviation, and both statistics into the stored ones.
// averages: keep * stored + (1 - keep) * new, the first batch's alone at first; otherwise sums, keep * stored + new.
extern "C" __global__ void batch_statistics(const float* means, const float* squares, float* center, float* inverse, float* mean, float* variance, const float* factor, float eps, float unbiased, float keep, int averages, int lanes, index_t size, index_t chunks, index_t values) {
  index_t c = blockIdx.x, channels = gridDim.x;
  float origin = means[c * lanes];
  double own = 0;
  for (index_t k = threadIdx.x; k < chunks * lanes; k += blockDim.x) {
    float number = part_size(k / lanes, k % lanes, values, lanes, size);
    own += (double)number * (means[(k / lanes * channels + c) * lanes + k % lanes] - origin);
  }
  float average = origin + block_sum((float)own) / values;
  own = 0;
  double rest = 0;  // what rounding has left out of the average
  for (index_t k = threadIdx.x; k < chunks * lanes; k += blockDim.x) {
    index_t part = (k / lanes * channels + c) * lanes + k % lanes;
    float number = part_size(k / lanes, k % lanes, values, lanes, size), away = means[part] - average;
    if (number > 0) own += squares[part] + (double)number * away * away, rest += (double)number * away;
  }
  float shift = block_sum((float)rest) / values;
  float spread = block_sum((float)own) / values - shift * shift;
  average += shift;
  if (threadIdx.x) return;
  center[c] = average;
  inverse[c] = 1 / sqrtf(spread + eps);
  float old = !averages ? keep : *factor != 0 ? keep / *factor : 0.f;
  float share = averages && *factor != 0 ? 1 - keep : 1.f;
  mean[c] = old * mean[c] + share * average;
  variance[c] = old * variance[c] + share * unbiased * spread;
}

// Runs behind batch_statistics, whose blocks all read the old one.
extern "C" __global__ void next_factor(float* factor, float keep, int averages, index_t n) {
  FOR_EACH(i, n) factor[i] = averages ? 1.f : keep * factor[i] + 1;
}

extern "C" __global__ void stored_statistics(const float* mean, const float* variance, const float* factor, float* center, float* inverse, float eps, index_t n) {
  FOR_EACH(i, n) {
    float share = *factor == 0 ? 0.f : 1 / *factor;
    center[i] = mean[i] * share;
    inverse[i] = 1 / sqrtf(variance[i] * share + eps);
  }
}

// x is normalized already if center is null; scale may be null. dots and sums are means here: of dy * x, and of dy.
extern "C" __global__ void batch_backward(const float* x, const float* center, const float* inverse, const float* scale, const float* dy, const float* dots, const float* sums, float* dx, int items, index_t outer, int C, index_t inner, index_t n) {
  FOR_EACH(i, n) {
    index_t c = channel_at(i, items, outer, C, inner, n);
    float value = center ? (x[i] - center[c]) * inverse[c] : x[i];
    float factor = scale ? scale[c] * inverse[c] : inverse[c];
    dx[i] = (dy[i] - (sums[c] + value * dots[c])) * factor;
  }
}

// -- PReLU -------------------------------------------------------------------------------------------------------------

// values where x is positive, and W times that elsewhere: of x itself forward, of dy backward. NaN is not positive.
extern "C" __global__ void prelu(const float* x, const float* values, const float* W, float* result, int items, index_t outer, int C, index_t inner, index_t n) {
  FOR_EACH(i, n) {
    float value = values[i];
    result[i] = x[i] > 0 ? value : W[channel_at(i, items, outer, C, inner, n)] * value;
  }
}
