"""How a picture from outside comes to the form of the training images: facts that travel with a model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fittingroom.spec.recipe import Count, Strict


class Subject(Strict):
    """How the training images show the one thing that each of them shows, light on black.

    MNIST's digits are 20 pixels long in 28, centred by mass, the ink white; Fashion-MNIST's articles fill the image,
    centred by their box, in their own shades.
    """

    box: Annotated[float, Field(gt=0, le=1)]  # the longer side of the thing, as a share of the image's shorter side
    centre: Literal["mass", "box"]
    ink: bool  # it is drawn in one shade: shadows go, and the darkest ink becomes white


class Framing(Strict):
    """What a picture becomes: (C,H,W) uint8. Done by `data.framing.frame`, and alike by `framing.js` in a browser."""

    channels: Literal[1, 3]
    height: Count
    width: Count
    resize: Literal["pad", "crop", "stretch"]  # how a picture of another aspect comes to that size …
    subject: Subject | None = None  # … unless the images show one thing on an empty ground
    range: tuple[float, float] | None = None  # of pictures with more than eight bits: the values that become 0 and 255

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width
