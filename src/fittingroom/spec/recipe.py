"""The recipe: one frozen, typed, strict description of how a classifier is made.

Everything that decides a result is here or in the run's seed, device kind and thread count. What cannot change a result
(name, description, claims) is kept out of the digest that names a run's content. A field's `description` is its help in forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**15)]
Natural = Annotated[int, Field(ge=0, le=2**63 - 1)]
MOST_SIDE = 8192  # pixels
MOST_LAYERS = 5_000  # of a stack, each as often as it is repeated
Share = Annotated[float, Field(gt=0, le=1)]


class Strict(BaseModel):
    """Frozen, no unknown keys, no silent conversion: `[false]` is not a list of floats."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


# ---------------------------------------------------------------- layers of a sequential model


class Conv(Strict):
    """2-D convolution: `{conv = 32, kernel = 3, padding = "same"}`; `padding = 0` is "valid"."""

    conv: Count = Field(description="channels that come out")
    kernel: Count = Field(default=3, description="side of the kernel in pixels")
    stride: Count = Field(default=1, description="pixels between two places of the kernel")
    padding: Literal["same"] | Natural = Field(default="same", description='zeros at each edge; "same" keeps the size')
    dilation: Count = Field(default=1, description="pixels between two taps of the kernel; 1 = a dense kernel")
    groups: Count = Field(default=1, description="groups of channels that do not mix; 1 = all mix")
    bias: bool = Field(default=True, description="whether each channel has a bias")


class Pool(Strict):
    """Pooling: `{pool = "max", size = 2}`; the global kinds reduce each channel to one number and take no size."""

    pool: Literal["max", "avg", "global_max", "global_avg"] = Field(description="how pixels become one")
    size: Count = Field(default=2, description="side of the window in pixels")
    stride: Count | None = Field(default=None, description="pixels between two windows; not given: as many as `size`")
    padding: Natural = Field(default=0, description="pixels added at each edge, at most half of `size`")


class Norm(Strict):
    """Normalisation over the batch, each image (`layer`) or groups of channels (`group`)."""

    norm: Literal["batch", "layer", "group"] = Field(description="what is normalised together")
    groups: Count = Field(default=8, description="group: how many groups the channels make")


class Act(Strict):
    """Pointwise non-linearity."""

    act: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"] = Field(description="the function")


class Dropout(Strict):
    """Zero each value with this probability while training."""

    dropout: Fraction = Field(description="the probability, 0 to below 1")


class Flatten(Strict):
    """(C, H, W) to one vector of C·H·W values."""

    flatten: Literal[True] = Field(description="always true")


class Dense(Strict):
    """Fully connected layer with this many outputs. The last one, with a logit for each class, is added for you."""

    dense: Count = Field(description="outputs")
    bias: bool = Field(default=True, description="whether each output has a bias")


class Repeat(Strict):
    """The same layers several times over, with weights of their own: `{repeat = 3, layers = [...]}`."""

    repeat: Count = Field(description="how often")
    layers: tuple[Layer, ...] = Field(description="what is repeated, in order")


LAYER_KINDS: dict[str, type[Strict]] = {
    "conv": Conv,
    "pool": Pool,
    "norm": Norm,
    "act": Act,
    "dropout": Dropout,
    "flatten": Flatten,
    "dense": Dense,
    "repeat": Repeat,
}


def _layer_kind(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, Strict) else ()
    return next((kind for kind in LAYER_KINDS if kind in keys), None)


Layer = Annotated[
    Annotated[Conv, Tag("conv")]
    | Annotated[Pool, Tag("pool")]
    | Annotated[Norm, Tag("norm")]
    | Annotated[Act, Tag("act")]
    | Annotated[Dropout, Tag("dropout")]
    | Annotated[Flatten, Tag("flatten")]
    | Annotated[Dense, Tag("dense")]
    | Annotated[Repeat, Tag("repeat")],
    Discriminator(
        _layer_kind,
        custom_error_type="layer_kind",
        custom_error_message="a layer has one of the keys " + ", ".join(LAYER_KINDS),
    ),
]
Repeat.model_rebuild()


# ---------------------------------------------------------------- the parts of a recipe


def _unrolled(layers: Sequence[Any]) -> int:
    """How many layers these are, each as often as it is repeated."""
    return sum(layer.repeat * _unrolled(layer.layers) if isinstance(layer, Repeat) else 1 for layer in layers)


class ModelSpec(Strict):
    """Which network. `kind` is `sequential` (with `layers`), `python` (with `target`) or a name of `fittingroom models`."""

    kind: str = Field(description='"sequential", "python" or a name of `fittingroom models`; with init, what that is')
    layers: tuple[Layer, ...] = Field(default=(), description="sequential: its layers; the one of logits is added")
    target: str = Field(default="", description='python: the "module:function" that makes the network')
    args: dict[str, int | Annotated[float, Field(allow_inf_nan=False)] | bool | str] = Field(
        default={}, description="keyword arguments of a registered or python model"
    )
    sources: dict[str, str] = Field(
        default={}, description="python: the text of each of its modules, by name: what is executed, and nothing else"
    )
    init: str = Field(
        default="",
        description="trained weights to start from: a pretrained network, a run, a bundle, or a .safetensors or .pth file; "
        "other classes get a new last layer",
    )
    freeze: Literal["body"] | Natural = Field(
        default=0, description='how many first layers stay as they are (dropout goes on); "body": all but the last'
    )
    freeze_norm: bool = Field(
        default=False, description="BatchNorm goes on with the statistics of the trained weights: for few pictures"
    )
    head_epochs: Natural = Field(
        default=0, description="epochs in front, in which only the last layer learns, from what the others give"
    )
    neighbours: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0,
        description="the last layer keeps all training pictures' features, and so many of the nearest vote; needs freeze",
    )

    @model_validator(mode="after")
    def _parts_match_kind(self) -> ModelSpec:
        if self.kind == "sequential" and not self.layers:
            raise ValueError('kind = "sequential" needs layers, for example layers = [{flatten = true}]')
        if (n := _unrolled(self.layers)) > MOST_LAYERS:
            raise ValueError(f"layers are {n:,}, each as often as it is repeated; at most {MOST_LAYERS:,}")
        if self.kind != "sequential" and self.layers:
            raise ValueError(f'layers belong to kind = "sequential", not to "{self.kind}"')
        if (self.kind == "python") != bool(self.target):
            raise ValueError('kind = "python" and target = "module:function" come together')
        if self.sources and self.target.partition(":")[0] not in self.sources:
            raise ValueError(f'sources are of a python model and hold the module of target = "{self.target}"')
        if self.freeze and not self.init:
            raise ValueError("freeze keeps trained layers as they are and needs init, the run that trained them")
        if (self.freeze_norm or self.head_epochs) and not self.init:
            raise ValueError("freeze_norm and head_epochs are for trained weights and need init, which names them")
        if self.neighbours and self.freeze != "body":
            raise ValueError('neighbours are looked up by features that stay as they are and need freeze = "body"')
        if self.neighbours and self.head_epochs:
            raise ValueError("head_epochs are for a last layer that learns; neighbours have none: leave it away")
        if self.kind == "sequential" and self.args:
            raise ValueError("args belong to a registered or python model; a sequential one is its layers")
        return self


class ShapeSpec(Strict):
    """How pictures are read: what they are made into, and which belong together. What is not given is chosen, and said."""

    image_size: Count | tuple[Count, Count] | None = Field(
        default=None, description="pixels: a square's side, or [height, width]; not given: chosen from the pictures"
    )
    channels: Literal[1, 3] | None = Field(default=None, description="1 = grey, 3 = colour")
    resize: Literal["pad", "crop", "stretch"] | None = Field(
        default=None, description='another aspect: "pad" keeps all of it, "crop" fills the frame, "stretch" distorts'
    )
    range: tuple[Finite, Finite] | None = Field(
        default=None,
        description="of more than 8 bits: the values that become black and white; not given: those that occur",
    )
    path: str | None = Field(
        default=None, min_length=1, description="a table's column of paths, where it is called otherwise"
    )
    label: str | None = Field(
        default=None, min_length=1, description="a table's column of labels, where it is called otherwise"
    )
    images: str | None = Field(
        default=None, min_length=1, description="the folder that a table's paths are relative to"
    )
    near: NotNegative | None = Field(
        default=None,
        description="grey levels (of 255, RMS) by which near copies differ at most, kept on one side of splits; 0 = exact ones",
    )
    test_fraction: Fraction | None = Field(
        default=None,
        description="share put aside for test where pictures bring no such part; not given: 0.2; 0: all to train on",
    )
    group: str | None = Field(
        default=None,
        min_length=1,
        description='what is never divided (patient, video): a column, "folder" below the class, or "re:PATTERN" of paths',
    )

    @model_validator(mode="after")
    def _can_be_made(self) -> ShapeSpec:
        sides = (self.image_size,) if isinstance(self.image_size, int) else self.image_size or ()
        if any(side > MOST_SIDE for side in sides):
            raise ValueError(f"image_size = {max(sides)}: at most {MOST_SIDE:,} pixels a side")
        if self.range and not self.range[0] < self.range[1]:
            raise ValueError(
                f"range = [{self.range[0]:g}, {self.range[1]:g}]: the first becomes black, and must be the lower"
            )
        return self


class DataSpec(ShapeSpec):
    """Which images, and how much of train is held out for validation."""

    name: str = Field(default="fashion-mnist", description="a data set, or the path of pictures of your own")
    val_fraction: Fraction = Field(
        default=0.1, description="share of train held out to validate on, unless the data bring such images; 0 = none"
    )
    val_is: Literal["train"] | None = Field(
        default=None, description='"train": a validation part that came along is trained on, too'
    )
    split_seed: Natural = Field(
        default=0, description="draws what is held out; the same for every run's seed: runs share one validation set"
    )
    limit: Count | None = Field(
        default=None, description="use only so many images of train (stratified), for quick looks; not given: all"
    )
    folds: Annotated[int, Field(ge=0, le=100)] = Field(
        default=0, description="cross-validation: hold out one of so many parts instead; 0 = off"
    )
    fold: Natural = Field(default=0, description="which of these parts, from 0")
    fold_is: Literal["val", "test"] = Field(
        default="val", description='what the part stands for; "test": validation comes out of the other parts'
    )
    exclude: str | tuple[Natural, ...] = Field(default=(), description="rows of train left out, or a file of decisions")

    @property
    def fold_title(self) -> str:
        """Which fold this is ("fold 2 of 5"); "" of the whole."""
        return f"fold {self.fold + 1} of {self.folds}" if self.folds else ""

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> DataSpec:
        if self.folds == 1 or self.fold >= max(1, self.folds):
            raise ValueError(f"fold = {self.fold} of folds = {self.folds}: give folds ≥ 2 and fold from 0 to folds - 1")
        return self


class AugmentSpec(BaseModel):
    """One step of augmentation: `{kind = "shift", pixels = 2}`. Parameters are checked by the function of that name."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, defer_build=True)
    kind: str = Field(description="a name of `fittingroom augmentations`")

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class OptimizerSpec(Strict):
    """How weights move. Weight decay touches matrices and kernels only, never norms and biases.

    `muon` orthogonalises the update of every matrix and kernel but the last layer's; `rest` with `rest_lr` moves what remains.
    """

    kind: Literal["sgd", "adam", "adamw", "adadelta", "rmsprop", "muon"] = Field(
        default="adam", description="the rule by which weights move"
    )
    lr: Positive = Field(default=1e-3, description="learning rate: the first thing to try changing")
    weight_decay: NotNegative = Field(default=0.0, description="pull of matrices and kernels towards zero; 0 = off")
    momentum: Fraction = Field(
        default=0.0, description="sgd, rmsprop, muon: share of the last step that is kept (muon: 0 means 0.95)"
    )
    nesterov: bool = Field(default=False, description="sgd, muon: look ahead by the momentum")
    beta1: Fraction = Field(default=0.9, description="adam, adamw: decay per step of the mean gradient")
    beta2: Fraction = Field(default=0.999, description="adam, adamw: decay per step of the mean squared gradient")
    rest: Literal["adamw", "sgd"] = Field(default="adamw", description="muon: what moves norms, biases, the last layer")
    rest_lr: Positive = Field(default=1e-3, description="muon: learning rate of the rest")
    layer_decay: Share = Field(default=1.0, description="each layer's rate as a share of the next one's; 1 = all alike")

    @model_validator(mode="after")
    def _parts_match_kind(self) -> OptimizerSpec:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov = true needs momentum > 0")
        if self.momentum and self.kind not in ("sgd", "rmsprop", "muon"):
            raise ValueError(f'momentum belongs to sgd, rmsprop and muon; "{self.kind}" has beta1')
        return self


class ScheduleSpec(Strict):
    """The learning rate over the run, as a factor of `optimizer.lr`.

    `triangular` rises linearly to the peak at `peak` (a fraction of the run) and falls linearly to `final`;
    `one_cycle` does the same with half cosines. `warmup_epochs` is a linear rise in front of the others.
    """

    kind: Literal["constant", "step", "cosine", "triangular", "one_cycle"] = Field(
        default="constant", description="the course of the learning rate over the run"
    )
    warmup_epochs: NotNegative = Field(default=0.0, description="epochs of a linear rise in front; 0 = none")
    peak: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.25, description="triangular, one_cycle: where in the run the rate is highest, as a share of it"
    )
    start: Fraction = Field(default=0.04, description="triangular, one_cycle: factor at the first step")
    final: Fraction = Field(default=0.0, description="cosine, triangular, one_cycle: factor at the end")
    step_epochs: Positive = Field(default=10.0, description="step: epochs between two drops")
    gamma: Share = Field(default=0.1, description="step: factor of each drop")


class TrainSpec(Strict):
    """The loop: how long, how many at once, what is smoothed, what is kept."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(description="passes over the training images")
    batch_size: Count = Field(default=64, description="images per step")
    label_smoothing: Fraction = Field(default=0.0, description="share of each target spread over all classes; 0 = off")
    ema: Fraction = Field(default=0.0, description="decay per step of averaged weights, which are then scored; 0 = off")
    clip_norm: NotNegative = Field(default=0.0, description="a longer gradient is shortened to this norm; 0 = off")
    patience: Natural = Field(default=0, description="epochs without a better validation loss that stop it; 0 = off")
    select: Literal["last", "best_val"] = Field(
        default="last", description='which epoch is scored on test; "best_val": the one of the best validation accuracy'
    )
    balance: Literal["none", "loss", "sampling"] = Field(
        default="none", description='make rare classes count more: in the "loss", or by "sampling" them more often'
    )
    balance_power: Share = Field(
        default=0.5, description="how much more: 1 = all classes count alike; 0.5 is calmer where a class is tiny"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="of training's forward and backward pass; scoring is float32"
    )

    @property
    def by_validation(self) -> bool:
        """Whether validation images choose the epoch that is scored, or the one that is the last."""
        return self.select == "best_val" or self.patience > 0


class ScoreSpec(Strict):
    """Averaging over views at test time, reported apart from the plain score."""

    average: Literal["none", "flip", "shift", "flip_shift"] = Field(default="none", description="over which views")


# each defined, with its reason, in metrics/statistic.py
Statistic = Literal[
    "test_accuracy",
    "val_accuracy",
    "gap",
    "late_val_loss_slope",
    "late_gap_slope",
    "val_loss_fluctuation",
    "val_accuracy_fluctuation",
    "early_train_accuracy",
    "early_val_accuracy",
    "flops",
    "parameters",
]


class Claim(Strict):
    """What a source states about this recipe, to be judged by re-running it: docs/replicate-a-readme.md.

    `statistic` of this recipe, or its difference to the one of `than` (another recipe) or of this recipe `without` a
    part, is `equal` to, `above` or `below` what is `stated` (0 if nothing is). `flops` and `parameters` are compared as a
    ratio. With `than_dataset`, the difference is claimed to be larger on `dataset` than there.
    """

    id: str = Field(description="a short name, unlike those of the recipe's other claims")
    text: str = Field(description="what the source states, in words")
    dataset: str = Field(default="fashion-mnist", description="the data that it is stated of")
    statistic: Statistic = Field(default="test_accuracy", description="what is stated")
    than: str = Field(default="", description="compared with this recipe: a name, or a file beside this one")
    without: str = Field(default="", description="compared with this recipe less a part: `fittingroom ablate`")
    than_dataset: str = Field(default="", description="the difference is larger on `dataset` than on this one")
    relation: Literal["equal", "above", "below"] = Field(default="equal", description="how it stands to `stated`")
    stated: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        default=None, description="the figure; accuracies are fractions"
    )
    rounding: NotNegative | None = Field(
        default=None, description="half a step of the stated figure; not given: half of its last written digit"
    )

    @model_validator(mode="after")
    def _can_be_judged(self) -> Claim:
        if self.than and self.without:
            raise ValueError("than and without are two ways to name what it is compared with; give one")
        if self.relation == "equal" and (self.stated is None or not self.statistic.endswith("_accuracy")):
            raise ValueError(
                'relation = "equal" is for an accuracy and needs stated, the figure; or give relation = "above" or "below"'
            )
        stated = self.stated or 0.0
        if self.statistic.endswith("_accuracy") and abs(stated) > 1:
            raise ValueError(f"stated = {stated:g} is no fraction; for {stated:g} % write stated = {stated / 100:g}")
        if self.than_dataset and (
            not (self.than or self.without) or self.statistic != "test_accuracy" or self.relation == "equal"
        ):
            raise ValueError(
                "than_dataset compares differences of test_accuracy: give than or without, and relation above or below"
            )
        if self.statistic in ("flops", "parameters") and not ((self.than or self.without) and self.stated):
            raise ValueError(f"{self.statistic} is judged as a ratio: give than and stated, say stated = 0.5")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """What the stated figure covers: 0.99 means 0.985 … 0.995. An accuracy has at least whole percents.

        >>> Claim(id="x", text="", stated=0.9165).bounds, Claim(id="x", text="", stated=0.9).bounds
        ((0.91645, 0.91655), (0.895, 0.905))
        """
        stated = self.stated or 0.0
        half = self.rounding
        if half is None:
            half = 0.0 if not stated else 0.5 * 10.0 ** -max(2, len(f"{stated:.10g}".partition(".")[2]))
        return round(stated - half, 10), round(stated + half, 10)


class Measured(Strict):
    """A score that we measured, with its conditions. Fractions; `n` seeds."""

    dataset: str = Field(description="the data that it was measured on")
    test_accuracy: Annotated[float, Field(ge=0, le=1)] = Field(description="mean over the seeds")
    sd: NotNegative = Field(description="standard deviation between seeds")
    n: Count = Field(description="seeds")
    train_s: Positive = Field(description="seconds that a training took")
    hardware: str = Field(description="the machine")
    date: str = Field(description="when, YYYY-MM-DD")


# keys that came after runs were made; with these values a run of before is the same run
LATER: tuple[tuple[str, str, Any], ...] = (
    *(("data", key, None) for key in ShapeSpec.model_fields),
    ("data", "fold_is", "val"),
    ("data", "exclude", []),
    ("data", "val_is", None),
    ("model", "init", ""),
    ("model", "freeze", 0),
    ("model", "freeze_norm", False),
    ("model", "head_epochs", 0),
    ("model", "neighbours", 0),
    ("model", "sources", {}),
    ("optimizer", "layer_decay", 1.0),
    ("train", "balance", "none"),
    ("train", "balance_power", 0.5),
)


class Recipe(Strict):
    """A whole experiment but for its seed and its machine.

    >>> from fittingroom.spec.read import parse_recipe
    >>> r = parse_recipe({"name": "tiny", "model": {"kind": "sequential", "layers": [{"flatten": True}]},
    ...                   "train": {"epochs": 2}})
    >>> r.optimizer.kind, r.data.val_fraction
    ('adam', 0.1)
    """

    name: str = Field(description="what tables and run folders call it")
    description: str = Field(default="", description="what it is, in a sentence")
    source: str = Field(default="", description="where it comes from")
    claims: tuple[Claim, ...] = Field(default=(), description="what the source states, for `fittingroom replicate`")
    measured: tuple[Measured, ...] = Field(default=(), description="what we measured")
    space: dict[str, str] = Field(default={}, description="what `fittingroom tune` may change: spec/space.py")
    data: DataSpec = Field(default=DataSpec(), description="which images")
    model: ModelSpec = Field(description="which network")
    augment: tuple[AugmentSpec, ...] = Field(default=(), description="what training does to images, in order")
    optimizer: OptimizerSpec = Field(default=OptimizerSpec(), description="how weights move")
    schedule: ScheduleSpec = Field(default=ScheduleSpec(), description="the learning rate over the run")
    train: TrainSpec = Field(description="the loop")
    score: ScoreSpec = Field(default=ScoreSpec(), description="what is averaged at test time")

    @model_validator(mode="after")
    def _claims_differ(self) -> Recipe:
        ids = [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f'two claims have the id "{twice[0]}"; give each one of its own')
        return self

    @model_validator(mode="after")
    def _neighbours_are_no_average(self) -> Recipe:
        if self.model.neighbours and self.train.ema:
            raise ValueError(
                "train.ema averages weights that learn, and model.neighbours learns one number: leave it away"
            )
        return self

    @model_validator(mode="after")
    def _selection_has_data(self) -> Recipe:
        fold_to_select_on = self.data.folds and self.data.fold_is == "val"
        if self.data.val_fraction == 0 and not fold_to_select_on and self.train.by_validation:
            raise ValueError(
                "data.val_fraction = 0 leaves nothing to select on; "
                'use train.select = "last" and train.patience = 0, or hold out a part of train'
            )
        return self

    def deciding(self) -> dict[str, Any]:
        """The parts that decide a result, as plain data: what the run's digest is taken of."""
        tree = self.model_dump(mode="json", exclude={"name", "description", "source", "claims", "measured", "space"})
        if not self.data.folds:  # a run of before there were folds is the same run
            del tree["data"]["folds"], tree["data"]["fold"]
        for table, key, default in LATER:
            if tree[table][key] == default:
                del tree[table][key]
        return tree
