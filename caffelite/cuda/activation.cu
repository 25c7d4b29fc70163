// y = f(x) element by element, in any memory order that x and y share. Either pass may run in place.

extern "C" __global__ void relu_forward(const float* x, float* y, float slope, index_t n) {
  FOR_EACH(i, n) {
    float v = x[i];
    y[i] = v > 0 || v != v ? v : slope != 0 ? slope * v : 0.f;  // NaN stays, and 0 * -inf does not become one
  }
}

// gate: y, or x where the slope is negative.
extern "C" __global__ void relu_backward(const float* gate, const float* dy, float* dx, float slope, index_t n) {
  FOR_EACH(i, n) dx[i] = gate[i] > 0 ? dy[i] : slope * dy[i];
}

extern "C" __global__ void sigmoid_forward(const float* x, float* y, index_t n) {
  FOR_EACH(i, n) y[i] = 0.5f * tanhf(0.5f * x[i]) + 0.5f;
}

extern "C" __global__ void sigmoid_backward(const float* y, const float* dy, float* dx, index_t n) {
  FOR_EACH(i, n) dx[i] = dy[i] * y[i] * (1 - y[i]);
}

extern "C" __global__ void tanh_forward(const float* x, float* y, index_t n) {
  FOR_EACH(i, n) y[i] = tanhf(x[i]);
}

extern "C" __global__ void tanh_backward(const float* y, const float* dy, float* dx, index_t n) {
  FOR_EACH(i, n) dx[i] = dy[i] * (1 - y[i] * y[i]);
}
