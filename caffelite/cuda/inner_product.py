"""InnerProduct on the GPU: matrix products. Of a channels-last bottom the weights are packed to its order."""

from __future__ import annotations

from math import prod

from caffelite.cuda.gemm import Matrix
from caffelite.cuda.kernel import Call
from caffelite.cuda.products import ProductKernel
from caffelite.plan.kernel import Site, is_plain


class CudaInnerProduct(ProductKernel):
    """y = x W^T + b."""

    @classmethod
    def refuses(cls, site: Site) -> str:
        x, layer = site.one("x"), site.layer
        if not is_plain(x) and layer.p.transpose:
            return "transposed weights for a channels-last bottom"
        if not is_plain(x) and layer.axis(layer.p.axis, len(x.shape)) != 1:
            return "a channels-last bottom flattened from another axis than 1"
        return super().refuses(site)

    def compile_forward(self) -> list[Call]:
        bias = self.value("b") if "b" in self.values else None
        return [self.product(self._rows("x"), self._weights().T, self._top("y"), bias=bias)]

    def compile_backward(self) -> list[Call]:
        dy, calls = self._top("dy"), []
        if self.arrays["dx"] is not None:
            calls.append(self.product(dy, self._weights(), self._rows("dx")))
        if self.site.learn.get("W", True):
            calls.append(self.weight_gradient("W", self._weight_products, *self._order[1:]))
        if "b" in self.values and self.site.learn.get("b", True):
            calls.append(self.bias_gradient("b", self.arrays["dy"], self.layer.rows, self._order[0]))
        return calls

    def _weight_products(self, array: object, add: bool) -> list[Call]:
        x, dy = self._rows("x"), self._top("dy")
        if self.layer.p.transpose:
            return [self.product(x.T, dy, Matrix(array, self.layer.inputs, self._order[0]), add=add)]
        return [self.product(dy.T, x, Matrix(array, self._order[0], self.layer.inputs), add=add)]

    @property
    def _order(self) -> tuple[int, int, int]:
        """Outputs, channels and places of the weights; one place where the bottom is in C order."""
        x, outputs = self.site.one("x"), int(self.layer.p.num_output)
        return (outputs, self.layer.inputs, 1) if is_plain(x) else (outputs, x.shape[1], prod(x.shape[2:]))

    def _weights(self) -> Matrix:
        """W (M, K), whatever way it lies."""
        outputs, inputs = self._order[0], self.layer.inputs
        if self.layer.p.transpose:
            return Matrix(self.value("W"), inputs, outputs).T
        return Matrix(self.packed("W", *self._order), outputs, inputs)

    def _rows(self, name: str) -> Matrix:
        return Matrix(self.arrays[name], self.layer.rows, self.layer.inputs)

    def _top(self, name: str) -> Matrix:
        return Matrix(self.arrays[name], self.layer.rows, self._order[0])


KERNELS = (CudaInnerProduct,)
