"""Turns data set names and paths of pictures into arrays: acquire, verify, load, split, inspect. Never augments."""

from fittingroom.data.dataset import Dataset, Images, LockedTest, load, reload, remember
from fittingroom.data.split import carve, fold_numbers, fold_of, not_test, prepare
from fittingroom.data.strata import folds

__all__ = [
    "Dataset",
    "Images",
    "LockedTest",
    "carve",
    "fold_numbers",
    "fold_of",
    "folds",
    "load",
    "not_test",
    "prepare",
    "reload",
    "remember",
]
