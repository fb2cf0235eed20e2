"""What others call the tensors of networks that we have, too: each one's name here, by its name in their files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fittingroom.models.efficientnet_lite import blocks

Args = Mapping[str, Any]


def _same(name: str, args: Args) -> str:
    """timm's names of this family are ours."""
    return name


def _of_efficientnet_pytorch(name: str, args: Args) -> str:
    """The package efficientnet_pytorch numbers blocks through.

    >>> _of_efficientnet_pytorch("_blocks.1._depthwise_conv.weight", {"depth": 1.0})
    'blocks.1.0.conv_dw.weight'
    """
    places = [f"{stage}.{i}" for stage, n in enumerate(blocks(float(args.get("depth", 1.0)))) for i in range(n)]
    block = re.fullmatch(r"_blocks\.(\d+)\._(\w+)\.(\w+)", name)
    if block and int(block[1]) < len(places):
        number, module, tensor = block.groups()
        first = number == "0"  # which does not expand, so its norms and its last convolution are called otherwise
        known = {
            "expand_conv": "conv_pw",
            "depthwise_conv": "conv_dw",
            "project_conv": "conv_pw" if first else "conv_pwl",
        }
        known |= {f"bn{i}": f"bn{i if first else i + 1}" for i in range(3)}
        return f"blocks.{places[int(number)]}.{known.get(module, module)}.{tensor}"
    module, _, tensor = name.partition(".")
    known = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    return f"{known.get(module, module)}.{tensor}"


def _of_torchvision(name: str, args: Args) -> str:
    """torchvision, and timm, number the stages of a residual network from one.

    >>> _of_torchvision("layer2.0.downsample.1.running_mean", {})
    'stages.1.0.shortcut.1.running_mean'
    """
    name = re.sub(r"^layer(\d)", lambda found: f"stages.{int(found[1]) - 1}", name)
    return name.replace("downsample.", "shortcut.").replace("bn", "norm").replace("fc.", "classifier.")


def _of_dinov2(name: str, args: Args) -> str:
    """DINOv2's own files, and timm's.

    >>> _of_dinov2("blocks.3.attn.qkv.weight", {}), _of_dinov2("blocks.3.ls1.gamma", {})
    ('blocks.3.qkv.weight', 'blocks.3.scale1.gamma')
    """
    known = {"cls_token": "tokens.summary", "pos_embed": "positions.weight"}
    plain = re.sub(r"\.(attn|mlp)\.", ".", name).replace(".ls", ".scale").replace("patch_embed.proj", "patches")
    return known.get(name, plain)


NAMES: Mapping[str, Callable[[str, Args], str]] = {
    "timm": _same,
    "efficientnet_pytorch": _of_efficientnet_pytorch,
    "torchvision": _of_torchvision,
    "dinov2": _of_dinov2,
}
OF_KIND = {  # whose files there are of each network
    "efficientnet_lite": ("timm", "efficientnet_pytorch"),
    "resnet18_photos": ("torchvision",),
    "vit": ("dinov2",),
}
UNUSED = ("mask_token",)  # of a pretraining by masked patches
