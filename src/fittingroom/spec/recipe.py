"""The recipe: one frozen, typed, strict description of how a classifier is made.

Everything that decides a result is here or in the run's seed, device kind and thread count. What cannot change a result
(name, description, claims) is kept out of the digest that names a run's content.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Strict(BaseModel):
    """Frozen, no unknown keys, no silent conversion: `[false]` is not a list of floats."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# ---------------------------------------------------------------- layers of a sequential model


class Conv(Strict):
    """2-D convolution: `{conv = 32, kernel = 3, padding = "same"}`; `padding = 0` is "valid"."""

    conv: Count
    kernel: Count = 3
    stride: Count = 1
    padding: Literal["same"] | Annotated[int, Field(ge=0)] = "same"
    dilation: Count = 1
    groups: Count = 1
    bias: bool = True


class Pool(Strict):
    """Pooling: `{pool = "max", size = 2}`; the global kinds reduce each channel to one number and take no size."""

    pool: Literal["max", "avg", "global_max", "global_avg"]
    size: Count = 2
    stride: Count | None = None
    padding: Annotated[int, Field(ge=0)] = 0


class Norm(Strict):
    """Normalisation over the batch, each image (`layer`) or groups of channels (`group`)."""

    norm: Literal["batch", "layer", "group"]
    groups: Count = 8


class Act(Strict):
    """Pointwise non-linearity."""

    act: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]


class Dropout(Strict):
    """Zero each value with this probability while training."""

    dropout: Fraction


class Flatten(Strict):
    """(C, H, W) to one vector of C·H·W values."""

    flatten: Literal[True]


class Dense(Strict):
    """Fully connected layer with this many outputs. The last one, with a logit for each class, is added for you."""

    dense: Count
    bias: bool = True


class Repeat(Strict):
    """The same layers several times over, with weights of their own: `{repeat = 3, layers = [...]}`."""

    repeat: Count
    layers: tuple[Layer, ...]


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


class ModelSpec(Strict):
    """Which network. `kind` is `sequential` (with `layers`), `python` (with `target`) or a name of `fittingroom models`."""

    kind: str
    layers: tuple[Layer, ...] = ()
    target: str = ""  # "module:function" for kind = "python"
    args: dict[
        str, int | Annotated[float, Field(allow_inf_nan=False)] | bool | str
    ] = {}  # keyword arguments of a registered or python model
    sources: dict[
        str, str
    ] = {}  # the text of each module of a python model, by name: what is executed, and nothing else
    init: str = ""  # a run whose trained weights to start from; the last layer is new if the classes differ
    freeze: Literal["body"] | Annotated[int, Field(ge=0)] = (
        0  # so many first layers stay as they are (dropout goes on); "body": all but the last
    )

    @model_validator(mode="after")
    def _parts_match_kind(self) -> ModelSpec:
        if self.kind == "sequential" and not self.layers:
            raise ValueError('kind = "sequential" needs layers, for example layers = [{flatten = true}]')
        if self.kind != "sequential" and self.layers:
            raise ValueError(f'layers belong to kind = "sequential", not to "{self.kind}"')
        if (self.kind == "python") != bool(self.target):
            raise ValueError('kind = "python" and target = "module:function" come together')
        if self.sources and self.target.partition(":")[0] not in self.sources:
            raise ValueError(f'sources are of a python model and hold the module of target = "{self.target}"')
        if self.freeze and not self.init:
            raise ValueError("freeze keeps trained layers as they are and needs init, the run that trained them")
        if self.kind == "sequential" and self.args:
            raise ValueError("args belong to a registered or python model; a sequential one is its layers")
        return self


class ShapeSpec(Strict):
    """What pictures are made into; what is not given is chosen from the pictures, and said."""

    image_size: Count | tuple[Count, Count] | None = None  # the side of a square, or [height, width]
    channels: Literal[1, 3] | None = None  # grey or colour
    resize: Literal["pad", "crop", "stretch"] | None = None  # how a picture of another aspect comes to that size


class DataSpec(ShapeSpec):
    """Which images, and how much of train is held out for validation."""

    name: str = "fashion-mnist"  # of a data set, or the path of pictures of your own
    val_fraction: Fraction = 0.1
    split_seed: Annotated[int, Field(ge=0)] = 0  # the same for every run seed, so that runs share one validation set
    limit: Count | None = None  # use only so many training images (stratified), for quick looks
    folds: Annotated[int, Field(ge=0, le=100)] = 0  # cross-validation: hold out part `fold` of so many instead; 0 = off
    fold: Annotated[int, Field(ge=0)] = 0
    fold_is: Literal["val", "test"] = "val"  # what the part stands for; "test": validation comes out of the other parts
    exclude: (
        str | tuple[Annotated[int, Field(ge=0)], ...]
    ) = ()  # rows of train that are left out, or a file of decisions

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> DataSpec:
        if self.folds == 1 or self.fold >= max(1, self.folds):
            raise ValueError(f"fold = {self.fold} of folds = {self.folds}: give folds ≥ 2 and fold from 0 to folds - 1")
        return self


class AugmentSpec(BaseModel):
    """One step of augmentation: `{kind = "shift", pixels = 2}`. Parameters are checked by the function of that name."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    kind: str

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class OptimizerSpec(Strict):
    """How weights move. Weight decay touches matrices and kernels only, never norms and biases.

    `muon` orthogonalises the update of every matrix and kernel but the last layer's; `rest` with `rest_lr` moves what remains.
    """

    kind: Literal["sgd", "adam", "adamw", "adadelta", "rmsprop", "muon"] = "adam"
    lr: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    momentum: Fraction = 0.0  # sgd, rmsprop, muon
    nesterov: bool = False  # sgd, muon
    beta1: Fraction = 0.9  # adam, adamw
    beta2: Fraction = 0.999  # adam, adamw
    rest: Literal["adamw", "sgd"] = "adamw"  # muon
    rest_lr: Positive = 1e-3  # muon
    layer_decay: Annotated[float, Field(gt=0, le=1)] = (
        1.0  # each layer learns with so much of the rate of the one behind it
    )

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

    kind: Literal["constant", "step", "cosine", "triangular", "one_cycle"] = "constant"
    warmup_epochs: NotNegative = 0.0
    peak: Annotated[float, Field(gt=0, lt=1)] = 0.25
    start: Fraction = 0.04  # triangular, one_cycle: factor at the first step
    final: Fraction = 0.0  # cosine, triangular, one_cycle: factor at the end
    step_epochs: Positive = 10.0  # step
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1  # step


class TrainSpec(Strict):
    """The loop: how long, how many at once, what is smoothed, what is kept."""

    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Count = 64
    label_smoothing: Fraction = 0.0
    ema: Fraction = 0.0  # decay a step of the averaged weights, which are then the ones scored; 0 = off
    clip_norm: NotNegative = 0.0  # 0 = off
    patience: Annotated[int, Field(ge=0)] = 0  # stop after so many epochs without a better validation loss; 0 = off
    select: Literal["last", "best_val"] = "last"  # which epoch's weights are scored on test
    balance: Literal["none", "loss", "sampling"] = (
        "none"  # rare classes count as much as frequent ones: in the loss, or by
    )
    # drawing each epoch's images so that all classes come equally often
    balance_power: Annotated[float, Field(gt=0, le=1)] = (
        0.5  # 1: fully; ½ (by the square root) is calmer where a class is tiny
    )
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of the training forward and backward; scoring is float32


class ScoreSpec(Strict):
    """Averaging over views at test time, reported apart from the plain score."""

    average: Literal["none", "flip", "shift", "flip_shift"] = "none"


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
]  # each defined, with its reason, in metrics/statistic.py


class Claim(Strict):
    """What a source states about this recipe, to be judged by re-running it: docs/replicate-a-readme.md.

    `statistic` of this recipe, or its difference to the one of `than` (another recipe) or of this recipe `without` a
    part, is `equal` to, `above` or `below` what is `stated` (0 if nothing is). `flops` and `parameters` are compared as a
    ratio. With `than_dataset`, the difference is claimed to be larger on `dataset` than there.
    """

    id: str
    text: str
    dataset: str = "fashion-mnist"
    statistic: Statistic = "test_accuracy"
    than: str = ""  # a recipe's name, or a file beside this one
    without: str = ""  # a part of this recipe, as in `fittingroom ablate --drop`
    than_dataset: str = ""
    relation: Literal["equal", "above", "below"] = "equal"
    stated: Annotated[float, Field(allow_inf_nan=False)] | None = None  # accuracies are fractions
    rounding: NotNegative | None = None  # half a step of the stated figure; default: half of its last written digit

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

    dataset: str
    test_accuracy: Annotated[float, Field(ge=0, le=1)]
    sd: NotNegative
    n: Count
    train_s: Positive
    hardware: str
    date: str


LATER: tuple[tuple[str, str, Any], ...] = (
    *(("data", key, None) for key in ShapeSpec.model_fields),
    ("data", "fold_is", "val"),
    ("data", "exclude", []),
    ("model", "init", ""),
    ("model", "freeze", 0),
    ("model", "sources", {}),
    ("optimizer", "layer_decay", 1.0),
    ("train", "balance", "none"),
    ("train", "balance_power", 0.5),
)
# keys that came after runs were made; with these values a run of before is the same run


class Recipe(Strict):
    """A whole experiment but for its seed and its machine.

    >>> from fittingroom.spec.read import parse_recipe
    >>> r = parse_recipe({"name": "tiny", "model": {"kind": "sequential", "layers": [{"flatten": True}]},
    ...                   "train": {"epochs": 2}})
    >>> r.optimizer.kind, r.data.val_fraction
    ('adam', 0.1)
    """

    name: str
    description: str = ""
    source: str = ""
    claims: tuple[Claim, ...] = ()
    measured: tuple[Measured, ...] = ()
    space: dict[str, str] = {}  # what `fittingroom tune` may change, and to what: spec/space.py
    data: DataSpec = DataSpec()
    model: ModelSpec
    augment: tuple[AugmentSpec, ...] = ()
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    train: TrainSpec
    score: ScoreSpec = ScoreSpec()

    @model_validator(mode="after")
    def _claims_differ(self) -> Recipe:
        ids = [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f'two claims have the id "{twice[0]}"; give each one of its own')
        return self

    @model_validator(mode="after")
    def _selection_has_data(self) -> Recipe:
        fold_to_select_on = self.data.folds and self.data.fold_is == "val"
        if (
            self.data.val_fraction == 0
            and not fold_to_select_on
            and (self.train.select == "best_val" or self.train.patience)
        ):
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
