"""Why a trained model says what it says: filters, feature maps, attributions, neighbours, prototypes, an embedding.

Writes arrays into the run folder; the pages read them. Needs the extra `explain` (Captum, openTSNE).
"""

from fittingroom.explain.run import explain

__all__ = ["explain"]
