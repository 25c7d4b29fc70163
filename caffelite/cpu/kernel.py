"""What all oneDNN kernels share: compiled passes, the layouts of blobs, packed parameters and gradients.

A kernel compiles each pass into a list of calls without arguments. The list is made when arrays are bound,
and made again when the number of threads has changed since, which oneDNN builds into its primitives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np

from caffelite.cpu import onednn_primitives as primitives
from caffelite.cpu import threads
from caffelite.cpu.onednn import Attributes, Memory, MemoryDesc, OneDNNError, PrimitiveDesc, Scratch
from caffelite.cpu.onednn_types import Algorithm, Arg, Query, Status
from caffelite.layers.base import Layer, SavedSpec, plain
from caffelite.params import Param
from caffelite.plan.kernel import CHANNELS_LAST, Kernel, Operand, Site, is_channels_last, operands_of
from caffelite.types import count

Call = Callable[[], object]


class OneDnnKernel(Kernel):
    """A kernel whose passes are lists of calls, most of them ``Primitive.run``."""

    name: ClassVar[str] = "onednn"

    layer: Any

    def __init__(self, site: Site):
        super().__init__(site)
        self.scratch = Scratch()
        self._threads = threads.apply()
        self._forward: list[Call] = []
        self._plain: list[Call] | None = None
        self._backward: list[Call] = []

    @classmethod
    def refuses(cls, site: Site) -> str:
        if any(operand.dtype != "float32" for operand in operands_of(site.operands)):
            return "its arrays are not float32"
        if any(not count(operand.shape) for operand in operands_of(site.operands)):
            return "an empty blob"
        return ""

    @classmethod
    def accepts_post(cls, site: Site, post: Layer) -> bool:
        if post.type == "ReLU6" and (site.backward or layer_slope(post)):
            return False  # clipping makes 0 of NaN, and so hides a run that diverges
        return super().accepts_post(site, post)

    def compile_forward(self, post: Layer | None) -> list[Call]:
        """The calls of a forward pass that applies ``post`` to y at its end."""
        raise NotImplementedError

    def compile_backward(self) -> list[Call]:
        """The calls of a backward pass."""
        raise NotImplementedError

    def bind(
        self, arrays: Mapping[str, Any], params: Mapping[str, Param], rng: Callable[[], np.random.Generator]
    ) -> None:
        super().bind(arrays, params, rng)
        self._compile_forward()

    def bind_backward(self, arrays: Mapping[str, Any]) -> None:
        super().bind_backward(arrays)
        self._threads = threads.apply()
        self._backward = self._compile(self.compile_backward)

    def forward(self) -> None:
        self._follow_threads()
        for call in self._forward:
            call()

    def forward_plain(self) -> None:
        self._follow_threads()
        if self._plain is None:
            self._plain = self._compile(self.compile_forward, None)
        for call in self._plain:
            call()

    def backward(self) -> None:
        """Writes the gradients that are asked for."""
        self._follow_threads()
        for call in self._backward:
            call()

    def _compile_forward(self) -> None:
        self._threads = threads.apply()
        self._plain = None
        self._forward = self._compile(self.compile_forward, self.site.post)

    def _follow_threads(self) -> None:
        if self._threads != threads.num_threads():
            self._compile_forward()
            if self._backward:
                self._backward = self._compile(self.compile_backward)

    @staticmethod
    def _compile(make: Callable[..., list[Call]], *arguments: Layer | None) -> list[Call]:
        """Calls ``make`` with denormal numbers as they are, for the slope that :func:`relu_alpha` gives."""
        with threads.unflushed():
            return make(*arguments)


def layer_of(site: Site) -> Any:
    """The layer with its own attributes, which only the kernels written for it know."""
    return site.layer


# -- blobs --------------------------------------------------------------------------------------------------


def described(operand: Operand, layout: str | None = None) -> MemoryDesc:
    """The memory of a blob, said to be channels-last wherever that is true, which is what kernels look for.

    With ``layout`` (from :func:`common_layout`) it is said to be so.
    """
    if layout == CHANNELS_LAST or (layout is None and is_channels_last(operand)):
        return MemoryDesc.channels_last(operand.shape)
    return MemoryDesc.of(operand.shape)


def flat(site: Site) -> MemoryDesc:
    """All elements of the first bottom in memory order, for work element by element."""
    return MemoryDesc.of((count(site.many(plain(site.layer.bottoms[0]))[0].shape),))


def copy(source: Memory, target: Memory, attributes: Attributes | None = None) -> Call:
    """A call that copies between layouts and element types (or adds, if the attributes say so)."""
    desc = primitives.reorder(source.desc, target.desc, attributes)
    return desc.bind({Arg.SRC: source, Arg.DST: target}).run


def without_kernel(make: Callable[[], PrimitiveDesc]) -> str:
    """Why oneDNN is not the one to compute what ``make`` describes; empty if it is."""
    threads.apply()
    try:
        desc = make()
    except OneDNNError as error:
        if error.status is not Status.UNIMPLEMENTED:
            raise
        return "oneDNN has no kernel for it on this CPU"
    slow = desc.implementation.startswith("ref")  # plain loops, which NumPy beats
    return "oneDNN has only reference loops for it" if slow else ""


def workspace(desc: PrimitiveDesc) -> list[SavedSpec]:
    """The array in which a forward primitive leaves what its backward needs, if it leaves anything."""
    nbytes = desc.desc(Query.WORKSPACE).bytes
    return [SavedSpec("workspace", (nbytes,), "uint8")] if nbytes else []


def workspace_memory(desc: PrimitiveDesc, arrays: Mapping[str, Any]) -> dict[Arg, Memory]:
    """That array as a memory, for the arguments of both passes."""
    if not workspace(desc):
        return {}
    return {Arg.WORKSPACE: Memory(desc.desc(Query.WORKSPACE), arrays["workspace"])}


# -- parameters ---------------------------------------------------------------------------------------------


class PackedParam:
    """A parameter in the layout that a primitive wants, packed again whenever it may have changed."""

    def __init__(self, param: Param, seen: MemoryDesc, wanted: MemoryDesc):
        """``seen`` describes ``param.data`` in the axes that the primitive knows."""
        self._param, self._stamp = param, -1
        master = Memory(seen, param.data)
        self._pack = None if seen == wanted else copy(master, memory := wanted.empty())
        self.memory = master if self._pack is None else memory

    def refresh(self) -> None:
        """Packs if the parameter has been touched."""
        if self._pack is not None and (stamp := self._param.stamp()) != self._stamp:
            self._pack()
            self._stamp = stamp


class PackedGradient:
    """A gradient in the layout in which a primitive leaves it, and the way from there to its parameter."""

    def __init__(self, param: Param, seen: MemoryDesc, left: MemoryDesc):
        self._param = param
        self.memory = left.empty()
        self._target = Memory(seen, param.data)  # moved to the gradient's memory at each delivery
        self._write = copy(self.memory, self._target)
        self._add = copy(self.memory, self._target, Attributes().add_sum())

    def deliver(self) -> None:
        """Writes to the parameter's gradient, or adds if there is one already."""
        gradient, add = self._param.grad_for_write()
        self._target.point_to(gradient)
        (self._add if add else self._write)()


# A net has a plan for each shape that it has met, up to 64 of them, and nets share parameters. A packed form for each
# would be many times the net, so there is one for all: what is packed depends on nothing but the parameter.
_params: WeakValueDictionary[tuple[int, MemoryDesc, MemoryDesc], PackedParam] = WeakValueDictionary()
_gradients: WeakValueDictionary[tuple[int, MemoryDesc, MemoryDesc], PackedGradient] = WeakValueDictionary()


def packed_param(param: Param, seen: MemoryDesc, wanted: MemoryDesc) -> PackedParam:
    """The packed form of a parameter, which all kernels that want the same share."""
    key = (param.identity, seen, wanted)
    if (found := _params.get(key)) is None:
        found = _params[key] = PackedParam(param, seen, wanted)
    return found


def packed_gradient(param: Param, seen: MemoryDesc, left: MemoryDesc) -> PackedGradient:
    """The same for a gradient: it is delivered as soon as it is computed, so kernels share the room for it."""
    key = (param.grad_identity, seen, left)
    if (found := _gradients.get(key)) is None:
        found = _gradients[key] = PackedGradient(param, seen, left)
    return found


class DirectGradient:
    """A primitive that writes to a parameter's gradient itself, or adds to it."""

    def __init__(
        self,
        param: Param,
        make: Callable[[Attributes], PrimitiveDesc],
        name: Arg,
        seen: MemoryDesc,
        memories: Mapping[Any, Memory],
        scratch: Scratch,
    ):
        """``make`` gives the primitive; ``name`` is what it calls the gradient, ``seen`` how it sees it."""
        self._param = param
        self._target = Memory(seen, param.data)  # moved to the gradient's memory at each run
        memories = {**memories, name: self._target}
        self._write = make(Attributes()).bind(memories, scratch).run
        self._add = make(Attributes().add_sum()).bind(memories, scratch).run

    def run(self) -> None:
        """Computes the gradient."""
        gradient, add = self._param.grad_for_write()
        self._target.point_to(gradient)
        (self._add if add else self._write)()


# -- activations at the end of a forward pass ---------------------------------------------------------------

_POSTS = {
    "ReLU": Algorithm.RELU,
    "ReLU6": Algorithm.CLIP_V2,
    "Sigmoid": Algorithm.LOGISTIC,
    "TanH": Algorithm.TANH,
}
ACTIVATIONS = tuple(_POSTS)
_TINY = -1.4e-45  # the denormal float32 next below zero


def relu_alpha(slope: float) -> float:
    """The negative slope to give oneDNN for a ReLU, alone or at the end of a pass, so that NaN stays NaN.

    With slope 0 oneDNN computes max(x, 0), which makes 0 of NaN and so hides a run that diverges. With any
    other slope it multiplies whatever is not above 0. The threads of a plan take a denormal slope for zero:
    numbers below 0 become 0, NaN stays, and -inf becomes NaN (0 * -inf, as in Caffe). oneDNN itself must be
    given the slope in a thread that does not. Where denormals are not flushed, 0 stays 0 and NaN becomes 0.
    """
    return slope or (_TINY if threads.flushes() else 0.0)


def layer_slope(layer: Any) -> float:
    """The negative slope of a ReLU layer."""
    return float(layer.slope)


def post_attributes(post: Layer | None, attributes: Attributes | None = None) -> Attributes:
    """Attributes that apply an activation layer to the result."""
    attributes = attributes or Attributes()
    if post is not None:
        alpha = relu_alpha(layer_slope(post)) if post.type == "ReLU" else 0.0
        attributes.add_eltwise(_POSTS[post.type], alpha, 6.0 if post.type == "ReLU6" else 0.0)
    return attributes
