"""What somebody probably meant: the nearest of the known names to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def did_you_mean(
    word: str, candidates: Iterable[str], aliases: Mapping[str, str] | None = None
) -> str | None:
    """The candidate that ``word`` was probably meant to be, or None.

    Tried in order: the same letters but for case and separators (``relu`` for ``ReLU``), the ``aliases``
    (looked up the same way; one whose target is no candidate does not count), then the smallest number of
    typing errors (letters added, dropped, changed or swapped). Few errors are forgiven in short words, and of
    equally near candidates the first wins. A ``word`` that is itself a candidate gives None.
    """
    names = list(candidates)
    if word in names:
        return None
    plain = _plain(word)
    same = next((name for name in names if _plain(name) == plain), None)
    if same:
        return same
    meant = {_plain(alias): target for alias, target in (aliases or {}).items()}.get(plain)
    return meant if meant in names else _nearest(plain, names)


def suggestion(word: str, candidates: Iterable[str], aliases: Mapping[str, str] | None = None) -> str:
    """``"; did you mean 'x'?"`` to put behind a message, or nothing."""
    meant = did_you_mean(word, candidates, aliases)
    return f"; did you mean '{meant}'?" if meant else ""


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter not in "_-. ")


def _nearest(plain: str, names: list[str]) -> str | None:
    best, limit = None, _forgiven(len(plain))
    for name in names:
        distance = _typing_errors(plain, _plain(name), limit)
        if distance <= limit:
            best, limit = name, distance - 1
    return best


def _forgiven(length: int) -> int:
    return 0 if length < 3 else 1 if length < 5 else 2 if length < 9 else 3


def _typing_errors(a: str, b: str, limit: int) -> int:
    """Optimal string alignment distance of two words, or ``limit + 1`` where it is larger than ``limit``.

    The distance of Damerau, "A technique for computer detection and correction of spelling errors" (1964):
    insertion, deletion, substitution and swapping of neighbours cost one each.
    """
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before, above = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, above = above, row
    return above[-1]
