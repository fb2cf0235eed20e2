"""What a bundle says of itself: the files of a model that is ready for use."""

from __future__ import annotations

from fittingroom.spec.framing import Framing
from fittingroom.spec.records import Finding, Record, Scores

FORMAT = 2  # raised when older readers would misread a bundle: before 2 none had an operating point


class TensorFacts(Record):
    """An input or output of the ONNX graph. "N" is any number of images."""

    name: str
    dtype: str  # NumPy's
    shape: tuple[int | str, ...]
    meaning: str


class Measured(Scores):
    """Scores, with the 95 % interval of the accuracy (Wilson's, over other images) and scaled confidence's error."""

    low: float
    high: float
    on: str = "test"  # the test images; "held-out": of a cross-validation, answered by models that had not seen them
    ece_scaled: float  # calibration error of the probabilities that the bundle gives

    @property
    def images(self) -> str:
        """What was scored, in words."""
        return "pictures held out" if self.on == "held-out" else "test images"


class Confidence(Record):
    """What the bundle's probabilities are worth. `temperature` 1 means that they are as the network gives them."""

    temperature: float
    fitted_on: int  # validation images; 0: they were too few, or none
    sure_at: float  # below it an answer is "not sure"
    unsure_share: float  # of the test images …
    sure_accuracy: float  # … and how many of the others were right


class Operating(Record):
    """From which score on a picture is taken for the class that is looked for, whether or not it is the likeliest."""

    positive: str  # the class
    aim: str  # what the threshold was chosen for, in words
    threshold: float  # log odds of the class by the logits; from here on a picture is taken for it
    probability: float | None  # the same as the bundle's probability; None for more than two classes, where it is none
    chosen_on: int  # validation images …
    chosen_on_class: int  # … and those of them that are of the class
    found: Finding  # of the test images


class BundleFacts(Record):
    """`bundle.json`: all that a server, a page or a command needs beside the graph."""

    format: int
    name: str  # the recipe's
    run: str  # the run folder's name
    run_digest: str
    seed: int
    dataset: str
    data_title: str
    data_digest: str
    classes: tuple[str, ...]
    framing: Framing
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    measured: Measured
    confidence: Confidence
    operating: Operating | None = None  # None: the likeliest class is the answer
    quantized: str  # "no" or "int8"
    sha256: dict[str, str]  # of the files that decide what the bundle says
    made_with: str  # fittingroom's version
    made: str  # ISO 8601, UTC


class Parity(Record):
    """The graph in ONNX Runtime against the network in torch, on the same images."""

    images: int  # all test images
    max_logit_difference: float
    changed_predictions: int
    accuracy_torch: float
    accuracy_onnx: float
    quantized: str
    torch: str  # versions
    onnxruntime: str
