"""Which trained weights a recipe starts from: a pretrained network's or a run's, known by their content from then on."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from fittingroom.models.pretrained import classes_of, kept, kept_file, pretrained_weights, weights_of_file
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.parse import read_toml
from fittingroom.spec.pretrained import pretrained
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import ModelSpec
from fittingroom.store import BundleFolder, Runs
from fittingroom.store.fetch import Say
from fittingroom.training.start import Start

WEIGHTS = (".safetensors", ".pth", ".pt")  # how files of weights end


@dataclass(frozen=True)
class Initial:
    """Trained weights. `sha256` is of their file; it, and not where they are, decides a result."""

    path: Path  # of the file
    name: str  # the run's, or the pretrained network's
    classes: tuple[str, ...]  # that they tell apart; () where they have no names
    sha256: str
    model: ModelSpec  # the network that they are of

    @property
    def label(self) -> str:
        """What a resolved recipe says: the name, and the beginning of the content's digest."""
        return f"{self.name}@{self.sha256[:16]}"

    def network(self, spec: ModelSpec) -> ModelSpec:
        """The network that a recipe asks for: that of these weights, where it does not say."""
        if spec.kind:
            return spec
        if not self.model.kind:
            raise FittingroomError.at(
                "model.init",
                f"which network the weights of {self.name} are of is not written in them; give model.kind and model.args, or the "
                "run or the bundle that they are from",
            )
        if spec.args and self.model.kind == "sequential":
            raise FittingroomError.at("model.args", f"{self.name} is of layers, which take no args; leave them away")
        own = {key: getattr(spec, key) for key in ("init", "freeze", "freeze_norm", "head_epochs")}
        return self.model.model_copy(update={**own, "args": {**self.model.args, **spec.args}})

    def read(self) -> Start:
        """The weights in memory. Raises `FittingroomError` if the file has changed."""
        if _sha256(self.path) != self.sha256:
            raise FittingroomError.at(
                "model.init", f"the weights in {self.path} have changed since this study was planned"
            )
        try:
            return Start(load_file(self.path), self.classes)
        except SafetensorError as error:
            raise FittingroomError.at("model.init", f"{self.path} is not readable ({error})") from None


def initial(init: str, runs: Runs, home_dir: Path, say: Say = lambda line: None) -> Initial | None:
    """What `model.init` names: a pretrained network, a bundle, a file of weights, or a run by path or name; None for "".

    The weights of a pretrained network are brought into the home if they are not there. A label's digest must be that of what is
    found. Raises `FittingroomError`.
    """
    if not init:
        return None
    labelled = re.fullmatch(r"(.+)@([0-9a-f]{16,64})", init)
    name, content = labelled.groups() if labelled else (init, "")
    if content and kept_file(content, home_dir).is_file():
        path = kept_file(content, home_dir)
        found = Initial(path, name, classes_of(path), _sha256(path), ModelSpec(kind=""))
    elif entry := pretrained().get(name):
        path = pretrained_weights(entry, home_dir, say)
        found = Initial(path, name, (), _sha256(path), ModelSpec(kind=entry.kind, args=entry.args))
    elif BundleFolder(Path(name)).there:
        bundle = BundleFolder(Path(name))
        whole = bundle.path / "weights.safetensors"
        if _sha256(whole) != bundle.facts.sha256["weights.safetensors"]:
            raise FittingroomError.at("model.init", f"{whole} is not what the bundle was made with; export it again")
        path = kept(load_file(whole), home_dir, bundle.facts.classes)
        model = parse_recipe(read_toml(bundle.path / "recipe.toml"), where=str(bundle.path)).model
        found = Initial(path, bundle.facts.name, bundle.facts.classes, _sha256(path), model)
    elif Path(name).suffix in WEIGHTS and Path(name).is_file():
        path, known = weights_of_file(Path(name), home_dir)
        found = Initial(path, Path(name).stem, (), _sha256(path), known or ModelSpec(kind=""))
    else:
        run = runs.find(name)
        run.refuse_unfinished()
        run.refuse_damaged()
        folder = run.path.resolve() if run.path == Path() else run.path
        path, model = folder / "weights.safetensors", run.recipe.model
        found = Initial(path, folder.name, run.data.classes, _sha256(path), model)
    if not found.sha256.startswith(content):
        raise FittingroomError.at("model.init", f"{init} is asked for, but the weights of {path} are {found.label}")
    return found


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FittingroomError.at("model.init", f"cannot read {path}: {error.strerror}") from None
