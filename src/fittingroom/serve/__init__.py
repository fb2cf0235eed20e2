"""A bundle behind HTTP: the Open Inference Protocol, a plain endpoint, metrics and pages. No torch."""
