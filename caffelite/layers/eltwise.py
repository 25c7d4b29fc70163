"""Eltwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape


class Eltwise(Layer):
    """Element by element: the sum of coeff * x (SUM), the product (PROD) or the largest (MAX).

    Bottoms: x, two or more of one shape.
    Tops:    y, as each x.
    Gradient: PROD multiplies by the other bottoms, or divides y by x with ``stable_prod_grad: false``. MAX
             gives all to the largest; of equal ones the second bottom goes before the first, earlier ones
             before the rest.
    Raises:  ShapeError if shapes differ; NetError unless there is no coeff or one a bottom, and for PROD none.
    Example: a [[1, 2]], b [[3, 5]]; eltwise_param { operation: SUM coeff: 1 coeff: -1 }
    Source:  BVLC Caffe, eltwise_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x*",)
    message: ClassVar[str] = "eltwise_param"

    forward: Callable[..., None]
    backward: Callable[..., None]

    def setup(self) -> None:
        self.operation = self.choice("operation", "SUM", "PROD", "MAX")
        bottoms, coeffs = len(self.spec.bottom), list(self.p.coeff)
        if bottoms < 2:
            raise self.error("at least 2 bottoms", bottoms)
        if coeffs and self.operation == "PROD":  # MAX takes them and ignores them, as in Caffe
            raise self.error("coeff only with SUM", self.operation, field="coeff")
        if coeffs and len(coeffs) != bottoms:
            raise self.error(f"one coeff for each of {bottoms} bottoms", f"{len(coeffs)}", field="coeff")
        self.coeffs = coeffs or [1.0] * bottoms
        if self.operation == "SUM":
            self.forward, self.backward = self._forward_sum, self._backward_sum
        elif self.operation == "MAX":
            self.forward, self.backward = self._forward_max, self._backward_max
        else:
            stable = self.p.stable_prod_grad
            self.forward = self._forward_prod
            self.backward = self._backward_prod if stable else self._backward_prod_by_division

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        for i, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise self.shape_error("bottoms of one shape", f"x[0]={shapes[0]}, x[{i}]={shape}")
        if self.operation == "MAX":
            self.save("winner", shapes[0], "uint8" if len(shapes) < 256 else "int32")
        return [shapes[0]]

    def _forward_sum(self, xp: Any, x: Any, y: Any) -> None:
        xp.multiply(x[0], self.coeffs[0], out=y)
        for xi, coeff in zip(x[1:], self.coeffs[1:], strict=True):
            y += xi if coeff == 1 else coeff * xi

    def _backward_sum(self, xp: Any, dy: Any, dx: Any) -> None:
        for dxi, coeff in zip(dx, self.coeffs, strict=True):
            if dxi is not None:
                xp.multiply(dy, coeff, out=dxi)

    def _forward_prod(self, xp: Any, x: Any, y: Any) -> None:
        xp.multiply(x[0], x[1], out=y)
        for xi in x[2:]:
            y *= xi

    def _backward_prod(self, xp: Any, x: Any, dy: Any, dx: Any) -> None:
        for i, dxi in enumerate(dx):
            if dxi is not None:
                dxi[...] = dy
                for j, xj in enumerate(x):
                    if j != i:
                        dxi *= xj

    def _backward_prod_by_division(self, xp: Any, x: Any, y: Any, dy: Any, dx: Any) -> None:
        for xi, dxi in zip(x, dx, strict=True):
            if dxi is not None:
                xp.divide(y, xi, out=dxi)
                dxi *= dy

    def _forward_max(self, xp: Any, x: Any, y: Any, winner: Any) -> None:
        first = x[0] > x[1]
        y[...] = xp.where(first, x[0], x[1])
        winner[...] = ~first
        for i, xi in enumerate(x[2:], start=2):
            better = xi > y
            xp.copyto(y, xi, where=better)
            xp.copyto(winner, i, where=better)

    def _backward_max(self, xp: Any, winner: Any, dy: Any, dx: Any) -> None:
        for i, dxi in enumerate(dx):
            if dxi is not None:
                xp.multiply(dy, winner == i, out=dxi)
