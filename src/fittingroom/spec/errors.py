"""The one exception family for users' mistakes: got, nearest, next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec


class FittingroomError(Exception):
    """A mistake that the user can mend. The command line prints it without a traceback and exits with code 2.

    `faults` maps a place in what was given ("optimizer.lr"; "" for what has none) to what is wrong with it, where that is known.

    >>> raise FittingroomError("got this; do that")
    Traceback (most recent call last):
    ...
    fittingroom.spec.errors.FittingroomError: got this; do that
    """

    def __init__(self, message: str, faults: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.faults: Mapping[str, str] = dict(faults or {})

    @staticmethod
    def at(place: str, fault: str) -> FittingroomError:
        """The mistake in one place.

        >>> error = FittingroomError.at("optimizer.lr", "-1 must be > 0")
        >>> str(error), error.faults
        ('optimizer.lr: -1 must be > 0', {'optimizer.lr': '-1 must be > 0'})
        """
        return FittingroomError(f"{place}: {fault}", {place: fault})

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: in a notebook, too, a mistake ends in one sentence, not in our frames."""
        return [f"{type(self).__name__}: {self}"]


class NotFinite(FittingroomError):
    """Training met a NaN or an infinity. The weights of the last whole epoch are untouched."""


class NotFree(FittingroomError):
    """Something else holds what we need: another process trains this very run, say."""


class MissingExtra(FittingroomError):
    """An optional part is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} needs an extra; install it with: pip install "fittingroom[{extra}]"')


def need(module: str, what: str, extra: str) -> None:
    """Raises `MissingExtra` if `module`, which `what` needs, is not installed: before any work, rather than after."""
    if find_spec(module) is None:
        raise MissingExtra(what, extra)


def without_passwords(text: str) -> str:
    """`text` with the passwords of URLs in it blotted out.

    >>> without_passwords("postgresql://ann:secret@host/db?password=x")
    'postgresql://ann:…@host/db?password=…'
    >>> without_passwords("http://ann:se/cr@t@host")  # not well-formed, and not to be shown all the same
    'http://ann:…@host'
    """
    return re.sub(r"(password=)[^&\s\"']+", r"\1…", re.sub(r"(://[^:/@\s]*):[^@\s]+@([^@/\s]*@)*", r"\1:…@", text))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None if nothing is like it.

    >>> nearest("resnet8", ["resnet18", "vgg"])
    'resnet18'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown(kind: str, name: str, known: Iterable[str], see: str) -> FittingroomError:
    """The error for a name that does not exist: what was found, the nearest right thing, where to look.

    >>> str(unknown("model", "resnet8", ["resnet18", "vgg"], "fittingroom models"))
    'unknown model "resnet8"; nearest: "resnet18"; see: fittingroom models'
    """
    like = nearest(name, known)
    hint = f'; nearest: "{like}"' if like else ""
    return FittingroomError(f'unknown {kind} "{name}"{hint}; see: {see}')
