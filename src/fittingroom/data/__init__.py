"""Turns data set names and paths of pictures into arrays: acquire, verify, load, split, inspect. Never augments."""

from fittingroom.data.dataset import Dataset, Images, LockedTest, load, reload
from fittingroom.data.split import carve, not_test, prepare
from fittingroom.data.strata import folds

__all__ = ["Dataset", "Images", "LockedTest", "carve", "folds", "load", "not_test", "prepare", "reload"]
