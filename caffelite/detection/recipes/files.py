"""The files of a recipe: nets, solvers and the card."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from caffelite.atomic import atomic_write, make_folder
from caffelite.detection.card import Card
from caffelite.detection.recipes import nets
from caffelite.detection.recipes.plan import Numbers, Plan, Schedule, arch_of, numbers
from caffelite.errors import UsageError
from caffelite.prototxt.compose import field_lines

Schedules = Mapping[str, Schedule]


def write_recipe(folder: str | os.PathLike[str], card: Card, **options: Any) -> list[Path]:
    """Writes the nets and solvers of a detector, and its card.

    ``options``: ``preset`` (classic or modern), ``iterations`` of the longest stage, and fields of
    :class:`~caffelite.detection.recipes.plan.Numbers`.

    Raises:
        UsageError: no such backbone, preset or option; a card without anchors for a net that needs them.
        SnapshotError: the folder or a file cannot be written.
    """
    texts = recipe(card, **options)
    folder = make_folder(folder)
    for name, text in texts.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    return [*(folder / name for name in texts), card.write(folder)]


def recipe(card: Card, *, preset: str = "classic", iterations: int = 0, **options: Any) -> dict[str, str]:
    """The text of each file but the card, by name. Raises the UsageErrors of :func:`write_recipe`."""
    base = numbers(card.arch, preset)
    if unknown := options.keys() - vars(base).keys():
        raise UsageError(f"recipe: expected options of {', '.join(vars(base))}, got {min(unknown)}")
    if iterations < 0:
        raise UsageError(f"iterations: expected 1 or more, or 0 for the usual number, got {iterations}")
    missing = [name for name in ("base_size", "scales", "ratios") if name not in card.anchors]
    if card.has_rpn and missing:
        raise UsageError(
            f"anchors: expected base_size, scales and ratios, got no {' and no '.join(missing)}\n"
            "  Fix: caffelite.detection.recipes.choose(...).card has those that suit a data set"
        )
    chosen = replace(base, **options)
    plan = Plan(arch_of(card.arch), len(card.classes) + 1, card.anchors, chosen, min(card.scales), card.means)
    return _METHODS[card.method](plan, card, _Solvers(chosen, iterations))


class _Solvers:
    """The solvers of a recipe; all are shortened alike if ``iterations`` asks for it."""

    def __init__(self, numbers: Numbers, iterations: int):
        self.numbers = numbers
        self.iterations = iterations

    def text(self, kind: str, net: str, prefix: str, longest: str = "") -> str:
        """``longest``: the kind whose iterations are ``self.iterations``; by default ``kind``."""
        n, schedules = self.numbers, dict(self.numbers.schedules)
        schedule = schedules[kind]
        factor = self.iterations / schedules[longest or kind].iterations if self.iterations else 1
        fields: dict[str, Any] = {
            "train_net": net,
            "base_lr": schedule.rate,
            "lr_policy": "step",
            "gamma": 0.1,
        }
        fields |= {"stepsize": max(1, round(schedule.step * factor))}
        fields |= {"max_iter": max(1, round(schedule.iterations * factor))}
        if n.warm_up[0]:
            fields |= {"rampup_interval": n.warm_up[0], "rampup_lr": n.warm_up[1]}
        fields |= {"momentum": 0.9, "weight_decay": n.decay}
        if n.clip:
            fields |= {"clip_gradients": n.clip}
        if schedule.iter_size > 1:
            fields |= {"iter_size": schedule.iter_size}
        fields |= {"display": n.display, "average_loss": 100, "snapshot": max(1, fields["max_iter"] // 4)}
        fields |= {"snapshot_prefix": prefix}
        return "".join(f"{line}\n" for key, value in fields.items() for line in field_lines(key, value))


def _rcnn(plan: Plan, card: Card, solvers: _Solvers) -> dict[str, str]:
    return {
        "train.prototxt": nets.rcnn_train(plan),
        "test.prototxt": nets.rcnn_test(plan),
        "solver.prototxt": solvers.text("rcnn", "train.prototxt", f"{card.arch}_rcnn"),
    }


def _fast(plan: Plan, card: Card, solvers: _Solvers) -> dict[str, str]:
    return {
        "train.prototxt": nets.fast_train(plan),
        "test.prototxt": nets.fast_test(plan),
        "solver.prototxt": solvers.text("fast", "train.prototxt", f"{card.arch}_fast_rcnn"),
    }


def _faster(plan: Plan, card: Card, solvers: _Solvers) -> dict[str, str]:
    return {
        "train.prototxt": nets.faster_train(plan),
        "test.prototxt": nets.faster_test(plan),
        "solver.prototxt": solvers.text("faster", "train.prototxt", f"{card.arch}_faster_rcnn"),
    }


def _faster_4step(plan: Plan, card: Card, solvers: _Solvers) -> dict[str, str]:
    texts = {"rpn_test.prototxt": nets.rpn_test(plan), "test.prototxt": nets.faster_test(plan)}
    longest = max(("rpn", "fast"), key=lambda kind: dict(plan.numbers.schedules)[kind].iterations)
    for stage in (1, 2):
        for kind, write in (("rpn", nets.rpn_train), ("fast", nets.fast_train)):
            name = f"stage{stage}_{kind}"
            about = f": stage {stage}" + (", the body as it is" if stage == 2 else "")
            texts[f"{name}_train.prototxt"] = write(plan, stage=about, frozen=stage == 2)
            net, prefix = f"{name}_train.prototxt", f"{card.arch}_{name}"
            texts[f"{name}_solver.prototxt"] = solvers.text(kind, net, prefix, longest)
    return texts


_METHODS = {"rcnn": _rcnn, "fast": _fast, "faster": _faster, "faster-4step": _faster_4step}
