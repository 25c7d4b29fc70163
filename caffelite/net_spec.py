"""Nets written in Python: pycaffe's ``layers``, ``params``, ``NetSpec`` and ``to_proto``.

    from caffelite import NetSpec, layers as L, params as P

    n = NetSpec()
    n.data, n.label = L.Data(source="train_lmdb", backend=P.Data.LMDB, batch_size=64, ntop=2)
    n.ip = L.InnerProduct(n.data, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    print(n.to_proto())

Source of the names, the order of layers and the automatic names: ``net_spec.py`` of BVLC Caffe.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from caffelite.errors import ArgumentTypeError, FieldError, layer_message
from caffelite.prototxt.hints import Frame, fix_for_unknown, nearest_field
from caffelite.prototxt.layer_names import type_suggestion
from caffelite.prototxt.schema import Message, message, message_names, message_type
from caffelite.prototxt.suggest import did_you_mean, suggestion
from caffelite.types import Location

__all__ = [
    "Function",
    "Layers",
    "NetSpec",
    "Parameters",
    "Top",
    "assign_proto",
    "layers",
    "param_name_dict",
    "params",
    "to_proto",
]


class Top:
    """One output blob of a layer: the ``n``-th top of the Function ``fn``."""

    def __init__(self, fn: Function, n: int):
        self.fn = fn
        self.n = n

    def to_proto(self) -> Message:
        """A NetParameter of all layers that this top needs."""
        return to_proto(self)


class Function:
    """A layer to be: its type, the Tops that it reads, and its parameters.

    ``ntop`` (1) and ``in_place`` (False) are taken out of ``params``; the rest are fields of LayerParameter or of
    the type's own message. Raises TypeError for an input that is no Top.
    """

    def __init__(self, type_name: str, inputs: Sequence[Top], params: Mapping[str, Any]):
        self.type_name = type_name
        self.inputs = tuple(inputs)
        self.params = dict(params)
        self.ntop: int = self.params.pop("ntop", 1)
        self.in_place: bool = self.params.pop("in_place", False)
        self.location = _callers_line()
        self._check_inputs()
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _check_inputs(self) -> None:
        for index, given in enumerate(self.inputs):
            if not isinstance(given, Top):
                error = ArgumentTypeError(
                    f"{self.type_name} input {index} is not a Top (type is {type(given)})"
                )
                if isinstance(given, tuple | list):
                    error.add_note(
                        "  Fix: a layer with several tops gives a tuple; pass one of it, or all by *"
                    )
                raise error
        if self.in_place and len(self.inputs) < self.ntop:
            raise ArgumentTypeError(
                f"{self.type_name} in place has {self.ntop} tops and {len(self.inputs)} inputs to write over"
            )

    def to_layer(self, names: _Names, written: Mapping[Function, Message]) -> Message:
        """The LayerParameter, once those of the inputs are written.

        Raises FieldError for a parameter that neither LayerParameter nor the type's message has, or that cannot
        take its value.
        """
        layer = message("LayerParameter")()
        layer.type = self.type_name
        layer.bottom.extend(written[top.fn].top[top.n] for top in self.inputs)
        layer.top.extend(layer.bottom if self.in_place else [names.of(t, self.type_name) for t in self.tops])
        layer.name = names.of(self.tops[0] if self.tops else self, self.type_name)
        for name, value in self.params.items():
            try:
                assign_proto(self._owner(layer, name), name, value)
            except FieldError as error:
                text = layer_message(layer.name, self.type_name, self.location, str(error))
                raise FieldError(text) from error
        return layer

    def _owner(self, layer: Message, name: str) -> Message:
        """The message that a parameter belongs to: ``..._param`` to the layer, others to the type's own first."""
        own = _own_message(self.type_name)
        places = [getattr(layer, own), layer] if own else [layer]
        if name.endswith("param"):
            places.reverse()
        for place in places:
            if name in place.DESCRIPTOR.fields_by_name:
                return place
        cure = type_suggestion(self.type_name) or _cure(name, self.type_name, own)
        raise FieldError(f"there is no parameter '{name}'{cure}")


class NetSpec:
    """Tops by name: ``n.conv1 = L.Convolution(n.data, ...)`` names the top and, by its first top, the layer.

    ``n["conv1"]`` is the same as ``n.conv1``. A layer without tops (``ntop=0``) may be given a name likewise.
    """

    tops: OrderedDict[str, Top | Function]

    def __init__(self) -> None:
        self.__dict__["tops"] = OrderedDict()

    def __setattr__(self, name: str, value: Top | Function) -> None:
        if not isinstance(value, Top | Function):
            error = ArgumentTypeError(f"NetSpec '{name}' is not a Top (type is {type(value)})")
            if isinstance(value, tuple):
                error.add_note(f"  Fix: a name for each top: n.{name}, n.other = L.Some(..., ntop=2)")
            raise error
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__.get("tops", {})
        if name not in found:
            raise FieldError(f"the NetSpec has no top '{name}'{suggestion(name, found)}")
        return found[name]

    def __setitem__(self, name: str, value: Top | Function) -> None:
        setattr(self, name, value)

    def __getitem__(self, name: str) -> Any:
        if name not in self.tops:
            raise KeyError(f"the NetSpec has no top '{name}'{suggestion(name, self.tops)}")
        return self.tops[name]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def __contains__(self, name: object) -> bool:
        return name in self.tops

    def keys(self) -> list[str]:
        """Names of the tops, in the order in which they were given."""
        return list(self.tops)

    def vals(self) -> list[Top | Function]:
        """The tops, in the same order."""
        return list(self.tops.values())

    def update(self, name: str, params: Mapping[str, Any]) -> None:
        """Sets parameters of the layer that makes a top."""
        _function(self[name]).params.update(params)

    def to_proto(self) -> Message:
        """A NetParameter of all layers that the tops need, in the order in which the tops were named."""
        return _write(self.tops.values(), {top: name for name, top in self.tops.items()})


def to_proto(*tops: Top | Function) -> Message:
    """A NetParameter of all layers that the tops need; layers and tops are called ``Convolution1`` and so on."""
    return _write(tops, {})


def assign_proto(proto: Message, name: str, val: Any) -> None:
    """Sets a field of a message from plain Python values.

    A dict fills a message, a list or tuple a repeated field; a single value is one entry of a repeated field.
    Arrays and scalars of NumPy count as lists and numbers. Raises FieldError.
    """
    field = proto.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        near = did_you_mean(name, proto.DESCRIPTOR.fields_by_name)
        raise FieldError(
            f"{proto.DESCRIPTOR.name} has no field '{name}'" + (f"; did you mean '{near}'?" if near else "")
        )
    val = val.tolist() if hasattr(val, "tolist") else val
    place = getattr(proto, name)
    try:
        if hasattr(place, "extend"):
            _extend(place, field, val if isinstance(val, list | tuple) else [val])
        elif isinstance(val, dict):
            _fill(place, val)
        elif field.message_type is not None:
            place.CopyFrom(val)
        else:
            setattr(proto, name, _scalar(field, val))
    except FieldError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise FieldError(f"{proto.DESCRIPTOR.name} field '{name}' cannot be {val!r}: {error}") from error


def _extend(place: Any, field: Any, items: Iterable[Any]) -> None:
    for item in items:
        if isinstance(item, dict):
            _fill(place.add(), item)
        else:
            place.extend([_scalar(field, item)])


def _fill(place: Message, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        assign_proto(place, name, value)


def _scalar(field: Any, value: Any) -> Any:
    """Whole floats are integers where the field is one: ``stride=8 / 2`` was one when / divided integers."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, float) and value.is_integer() and field.cpp_type <= field.CPPTYPE_UINT64:
        return int(value)
    return value


# -- the pseudo-modules --------------------------------------------------------------------------------------


class Layers:
    """``Layers().Convolution(bottom, kernel_size=3)`` is a Top of such a layer.

    With ``ntop=2`` and more the call gives a tuple of Tops, with ``ntop=0`` the Function itself.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def layer_fn(*args: Top, **kwargs: Any) -> Any:
            fn = Function(name, args, kwargs)
            return fn if fn.ntop == 0 else fn.tops[0] if fn.ntop == 1 else fn.tops

        layer_fn.__name__ = layer_fn.__qualname__ = name
        return layer_fn


class Parameters:
    """``Parameters().Pooling.MAX`` is the value MAX of PoolingParameter's enum. Raises FieldError for others."""

    def __getattr__(self, name: str) -> _Constants:
        return _Constants(name)


class _Constants:
    """The enum values of one message."""

    def __init__(self, name: str):
        messages = [type_ for type_ in message_names() if type_.endswith("Parameter")]
        if f"{name}Parameter" not in messages:
            near = suggestion(name, [type_.removesuffix("Parameter") for type_ in messages])
            raise FieldError(f"there is no message {name}Parameter{near}")
        self._message = message(f"{name}Parameter")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(self._message, name):
            values = self._message.DESCRIPTOR.enum_values_by_name
            near = suggestion(name, values)
            raise FieldError(
                f"{self._message.DESCRIPTOR.name} has no value '{name}'{near} ({', '.join(values)})"
            )
        return getattr(self._message, name)


layers = Layers()
params = Parameters()

_BY_HAND = {"Normalize": "norm"}  # two fields hold this message; SSD's is the one that its layer reads


def param_name_dict() -> dict[str, str]:
    """From types to their parameters' fields, both without ending: ``{"InnerProduct": "inner_product", ...}``."""
    names = dict(_BY_HAND)
    for field in message_type("LayerParameter").fields.values():
        if field.name.endswith("_param") and field.kind == "message":
            names.setdefault(field.type.removesuffix("Parameter"), field.name.removesuffix("_param"))
    return names


# -- underneath ----------------------------------------------------------------------------------------------


class _Names:
    """Names of tops and layers: the given ones, and a type with its number for the others."""

    def __init__(self, given: Mapping[Top | Function, str]):
        self._names = dict(given)
        self._used: Counter[str] = Counter()

    def of(self, item: Top | Function, type_name: str) -> str:
        if item not in self._names:
            self._used[type_name] += 1
            self._names[item] = f"{type_name}{self._used[type_name]}"
        return self._names[item]


def _write(tops: Iterable[Top | Function], given: Mapping[Top | Function, str]) -> Message:
    names = _Names(given)
    written: dict[Function, Message] = {}
    for fn in _in_order(_function(top) for top in tops):
        written[fn] = fn.to_layer(names, written)
    net = message("NetParameter")()
    net.layer.extend(written.values())
    return net


def _in_order(roots: Iterable[Function]) -> list[Function]:
    """Each function after those that it reads, depth first; without recursion, as nets are deep."""
    order: dict[Function, None] = {}
    for root in roots:
        stack = [root]
        while stack:
            waiting = next((top.fn for top in stack[-1].inputs if top.fn not in order), None)
            if waiting is not None:
                stack.append(waiting)
            else:
                order.setdefault(stack.pop())
    return list(order)


def _function(top: Top | Function) -> Function:
    return top.fn if isinstance(top, Top) else top


def _callers_line() -> Location:
    """Where the user's program made the layer."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return Location(frame.f_code.co_filename, frame.f_lineno)


@cache
def _own_message(type_name: str) -> str:
    """The field of LayerParameter that holds a type's parameters; empty if it has none."""
    fields = message_type("LayerParameter").fields
    field = f"{param_name_dict().get(type_name)}_param"
    if field in fields:
        return field
    plain = f"{type_name.lower()}param"
    return next((name for name, f in fields.items() if name.replace("_", "") == plain and not f.repeated), "")


def _cure(name: str, type_name: str, own: str) -> str:
    """What a parameter that is not there was meant to be, or where it belongs."""
    layer = message_type("LayerParameter")
    type_ = message_type(layer.fields[own].type) if own else layer
    near = nearest_field(name, type_) or nearest_field(name, layer)
    if near:
        return f"; did you mean '{near}'?"
    fix = fix_for_unknown(name, [Frame(layer, "layer", 0)], type_name)
    return f"\n  Fix: {fix.replace(' { ... }', '=dict(...)')}" if fix else ""
