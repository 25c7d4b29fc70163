"""The methods by name, and all pictures of a set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from caffelite.cpu.cores import usable_cores
from caffelite.detection.dataset import Picture
from caffelite.detection.pictures import load_picture
from caffelite.detection.proposals.bing import bing
from caffelite.detection.proposals.edge_boxes import edge_boxes
from caffelite.detection.proposals.selective_search import selective_search
from caffelite.detection.proposals.sliding import sliding
from caffelite.detection.proposals.tidy import Boxes
from caffelite.errors import UsageError
from caffelite.prototxt.suggest import suggestion

METHODS: dict[str, Callable[..., Boxes]] = {
    "ss": selective_search,
    "edgeboxes": edge_boxes,
    "bing": bing,
    "sliding": sliding,
}


def propose(image: np.ndarray, method: str = "ss", *, limit: int = 2000, **options: object) -> Boxes:
    """Boxes float32 (K, 4), best first, and their scores (K,), of an image (H, W, 3) uint8.

    ``options``: the method's own. Raises UsageError for an unknown method.
    """
    if method not in METHODS:
        raise UsageError(
            f"method: expected one of {', '.join(METHODS)}, got '{method}'{suggestion(method, METHODS)}"
        )
    return METHODS[method](image, limit=limit, **options)


def propose_all(
    pictures: Sequence[Picture], method: str = "ss", *, limit: int = 2000, threads: int = 0, **options: object
) -> Iterator[tuple[str, Boxes]]:
    """Keys and proposals of pictures, in their order; ``threads`` 0: as many as there are cores.

    OpenCV lets go of the interpreter while it computes. Raises what ``load_picture`` and the method do.
    """

    def one(picture: Picture) -> tuple[str, Boxes]:
        return picture.key, propose(load_picture(picture.path), method, limit=limit, **options)

    workers = threads or usable_cores()
    rest = iter(pictures)
    with ThreadPoolExecutor(workers) as pool:
        while some := list(islice(rest, 8 * workers)):
            yield from pool.map(one, some)
