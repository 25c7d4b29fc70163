// Convolution as matrix products: patches under the kernel as rows of a matrix, and weights in the order that goes with them.
//
// An image has C channels (of one group), H x W places and the strides sn, sc, sh, sw; a kernel of KH x KW lands on OH x OW
// places with strides SH, SW, padding PH, PW and dilation DH, DW. Row (n, oh, ow) of the patches has KH x KW x C columns.

extern "C" __global__ void im2col(const float* x, float* patches, index_t offset, int C, int H, int W, int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW, index_t sn, index_t sc, index_t sh, index_t sw, index_t n) {
  FOR_EACH(i, n) {
    int c = i % C;
    index_t rest = i / C;
    int kw = rest % KW;
    rest /= KW;
    int kh = rest % KH;
    rest /= KH;
    int ow = rest % OW;
    rest /= OW;
    int h = int(rest % OH) * SH - PH + kh * DH, w = ow * SW - PW + kw * DW;
    bool inside = h >= 0 && h < H && w >= 0 && w < W;
    patches[i] = inside ? x[offset + rest / OH * sn + c * sc + h * sh + w * sw] : 0.f;
  }
}

// Each place of the image gathers what patches say of it, in a fixed order.
extern "C" __global__ void col2im(const float* patches, float* x, index_t offset, int C, int H, int W, int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW, index_t sn, index_t sc, index_t sh, index_t sw, index_t n) {
  FOR_EACH(i, n) {
    int c = i % C;
    index_t rest = i / C;
    int w = rest % W;
    rest /= W;
    int h = rest % H;
    index_t item = rest / H;
    float total = 0;
    for (int kh = 0; kh < KH; ++kh) {
      int up = h + PH - kh * DH, oh = up / SH;
      if (up < 0 || up % SH || oh >= OH) continue;
      for (int kw = 0; kw < KW; ++kw) {
        int left = w + PW - kw * DW, ow = left / SW;
        if (left < 0 || left % SW || ow >= OW) continue;
        total += patches[((((item * OH + oh) * OW + ow) * KH + kh) * KW + kw) * C + c];
      }
    }
    x[offset + item * sn + c * sc + h * sh + w * sw] = total;
  }
}

// W (O, I, S) as packed (O, S, I).
extern "C" __global__ void pack(const float* W, float* packed, int I, int S, index_t n) {
  FOR_EACH(i, n) {
    index_t rest = i / I;
    packed[i] = W[(rest / S * I + i % I) * S + rest % S];
  }
}

extern "C" __global__ void unpack(const float* packed, float* W, int add, int I, int S, index_t n) {
  FOR_EACH(i, n) {
    index_t rest = i / S;
    float value = packed[(rest / I * S + i % S) * I + rest % I];
    W[i] = add ? W[i] + value : value;
  }
}

// partial (chunks, columns): the sums of each column over chunks of rows.
extern "C" __global__ void column_sums(const float* x, float* partial, int columns, index_t rows, index_t chunk, index_t n) {
  FOR_EACH(i, n) {
    index_t first = i / columns * chunk, end = min(first + chunk, rows);
    float total = 0;
    for (index_t row = first; row < end; ++row) total += x[row * columns + i % columns];
    partial[i] = total;
  }
}

extern "C" __global__ void add_partials(const float* partial, float* sums, int add, index_t chunks, index_t n) {
  FOR_EACH(i, n) {
    double total = add ? sums[i] : 0.f;
    for (index_t chunk = 0; chunk < chunks; ++chunk) total += partial[chunk * n + i];
    sums[i] = total;
  }
}

extern "C" __global__ void add_columns(float* y, const float* b, int columns, index_t n) {
  FOR_EACH(i, n) y[i] += b[i % columns];
}
