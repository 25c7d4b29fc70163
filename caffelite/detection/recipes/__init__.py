"""Prototxts of R-CNN, Fast R-CNN and Faster R-CNN for a set of classes: ``det init``."""

from __future__ import annotations

from caffelite.detection.recipes.backbones import ARCHS
from caffelite.detection.recipes.files import recipe, write_recipe
from caffelite.detection.recipes.init import choose, init
from caffelite.detection.recipes.plan import PRESETS

__all__ = ["ARCHS", "PRESETS", "choose", "init", "recipe", "write_recipe"]
