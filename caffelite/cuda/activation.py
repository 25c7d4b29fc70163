"""What ReLU, Sigmoid and TanH share: one launch over all elements, in place if the plan wants."""

from __future__ import annotations

from typing import Any, ClassVar

from caffelite.cuda.kernel import Call, CudaKernel


class CudaActivation(CudaKernel):
    """y = f(x) element by element; the gradient reads y."""

    source = "activation"
    inplace = True
    function: ClassVar[str]  # the kernels are FUNCTION_forward and FUNCTION_backward

    def constants(self) -> tuple[Any, ...]:
        """What the kernels take before the number of elements."""
        return ()

    def reads(self) -> frozenset[str]:
        return frozenset(["y"])

    def compile_forward(self) -> list[Call]:
        x, y = self.arrays["x"], self.arrays["y"]
        return [self.each(f"{self.function}_forward", x.size, x, y, *self.constants())]

    def compile_backward(self) -> list[Call]:
        (read,) = self.reads()
        dx = self.arrays["dx"]
        if dx is None:
            return []
        operands = self.arrays[read], self.arrays["dy"], dx
        return [self.each(f"{self.function}_backward", dx.size, *operands, *self.constants())]
