"""Logits to numbers: scores, calibration, confusion, intervals, paired comparison. NumPy and SciPy only."""
