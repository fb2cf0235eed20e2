"""Search: Optuna proposes values for parts of a recipe, trainings judge them on validation images. The test set stays locked.

Trials come in batches: a proposal, and the decision to stop a trial early (to prune it), know what earlier batches found and
nothing else. So neither the number of workers nor their speed nor a kill changes what is tried, only when: the same search,
with the same number of threads a trial, gives the same trials on a laptop and on a cluster. The price is that a batch waits
for its slowest trial. Several drivers share a search as it comes: then it matters who asks when.

    search   what is searched, and the recipe of each point
    storage  where trials are kept: a file, or a database that several share
    propose  what to try next
    judge    whether a trial is hopeless
    drivers  whose a trial is, when several processes search together
    loop     the search itself
    results  what was found
    tune     the question: search, then the winner with fresh seeds against the recipe as it was
"""

import warnings

from fittingroom.spec.errors import need

for module in ("optuna", "sklearn"):
    need(module, "fittingroom tune", "tune")

with warnings.catch_warnings():  # in a notebook it asks for widgets, for bars that are not shown
    warnings.filterwarnings("ignore", "IProgress not found")
    import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)

from fittingroom.questions.tune.loop import run_search  # noqa: E402
from fittingroom.questions.tune.results import best, facts, front, importance  # noqa: E402
from fittingroom.questions.tune.search import Search, score  # noqa: E402
from fittingroom.questions.tune.storage import journal, names, open_storage, open_study, refuse_unknown, warm_start  # noqa: E402
from fittingroom.questions.tune.tune import Kept, Settings, spaces_of, tune  # noqa: E402

__all__ = [
    "Kept",
    "Search",
    "Settings",
    "best",
    "facts",
    "front",
    "importance",
    "journal",
    "names",
    "open_storage",
    "open_study",
    "refuse_unknown",
    "run_search",
    "score",
    "spaces_of",
    "tune",
    "warm_start",
]
