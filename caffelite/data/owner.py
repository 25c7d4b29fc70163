"""Who asks for data: the layer that messages name."""

from __future__ import annotations

from dataclasses import dataclass

from caffelite.errors import DataError, layer_message
from caffelite.types import NOWHERE, Location


@dataclass(frozen=True)
class Owner:
    """A layer, or nobody (a script that reads a database): then messages start with the matter itself.

    ``name`` also keys the layer's random draws.
    """

    name: str = ""
    type: str = "Data"
    location: Location = NOWHERE

    def message(self, text: str, got: object = "", fix: str = "") -> str:
        """One message in the form that all messages about layers have."""
        if self.name:
            return layer_message(self.name, self.type, self.location, text, str(got), fix)
        text = f"{text}, got {got}" if got != "" else text
        return f"{text}\n  Fix: {fix}" if fix else text

    def error(self, text: str, got: object = "", fix: str = "") -> DataError:
        """The same as an error: ``raise owner.error("expected ...", got, "...")``."""
        return DataError(self.message(text, got, fix))


NOBODY = Owner()
