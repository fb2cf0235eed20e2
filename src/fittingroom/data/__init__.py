"""Turns data set names into resident arrays: acquire, verify, load, split, inspect. Never augments."""

from fittingroom.data.dataset import Dataset, Images, LockedTest, load
from fittingroom.data.split import carve, folds, prepare

__all__ = ["Dataset", "Images", "LockedTest", "carve", "folds", "load", "prepare"]
