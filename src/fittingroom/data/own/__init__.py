"""Pictures of one's own: whatever a path holds becomes one verified tensor file in the cache."""

from fittingroom.data.own.bring import (
    RESIDENT_BYTES,
    Own,
    bring,
    by_reason,
    files_of,
    known,
    pixels,
    reopen,
    source_words,
)
from fittingroom.data.own.listing import Listing
from fittingroom.data.own.sources import exists, list_pictures

__all__ = [
    "RESIDENT_BYTES",
    "Listing",
    "Own",
    "bring",
    "by_reason",
    "exists",
    "files_of",
    "known",
    "list_pictures",
    "pixels",
    "reopen",
    "source_words",
]
