"""HDF5Output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.layers.base import Layer
from caffelite.types import Shape

_AXES = 4  # Caffe writes items as (N, C, H, W), whatever the bottom's axes


class HDF5Output(Layer):
    """Writes its bottoms to the datasets ``data`` and ``label`` of an HDF5 file, pass after pass.

    Bottoms: data and label, each with N items; float32 datasets (items, C, H, W), missing axes 1. Bottoms with more than
             four axes keep them.
    The file is complete, and appears under its name, when the net is closed or gone; until then it grows beside it.
    Raises: ShapeError for different numbers of items; DataError for rows of another shape than before, for a pass after
            the net was closed, and where nothing can be written.
    Compatibility: Caffe dies in the second pass.
    Example: x (2, 3, 1, 1), label (2, 1, 1, 1); hdf5_output_param { file_name: "out.h5" }
    Example: data (2, 3), label [0, 1]; hdf5_output_param { file_name: "out.h5" }
    Source: BVLC Caffe, hdf5_output_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("data", "label")
    tops: ClassVar[tuple[str, ...]] = ()
    message: ClassVar[str] = "hdf5_output_param"
    host: ClassVar[bool] = True

    def setup(self) -> None:
        if not self.p.file_name:
            raise self.error("a file_name", "none", 'file_name: "features.h5"', field="file_name")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        data, label = (_four_axes(shape) for shape in shapes)
        if data[0] != label[0]:
            raise self.shape_error("data and label with as many items", f"{shapes[0]} and {shapes[1]}")
        return []

    def forward(self, xp: Any, data: Any, label: Any) -> None:
        data, label = (array.reshape(_four_axes(array.shape)) for array in (data, label))
        self._writer().append(data=data, label=label)

    def close(self) -> None:
        if "writer" in self.session:
            self.session["writer"].close()
            self.session["closed"] = True

    def _writer(self) -> Any:
        from caffelite.data.hdf5_output import Hdf5Output
        from caffelite.data.owner import Owner

        owner = Owner(self.name, self.type, self.location())
        if "closed" in self.session:
            raise owner.error(
                f"expected no more passes: '{self.p.file_name}' was finished when the net was closed"
            )
        if "writer" not in self.session:
            self.session["writer"] = Hdf5Output(self.p.file_name, owner)
        return self.session["writer"]


def _four_axes(shape: Shape) -> Shape:
    return (*shape, *(1,) * (_AXES - len(shape)))
