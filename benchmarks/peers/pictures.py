"""Images as a README's script reads them: like torchvision's data sets, a PIL image an item, to a tensor, normalised."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset


class Pictures(Dataset):
    """uint8 images (N,H,W) and their labels, one at a time."""

    def __init__(self, images_NHW: np.ndarray, labels_N: np.ndarray, mean: float, sd: float) -> None:
        self.images_NHW, self.labels_N, self.mean, self.sd = images_NHW, labels_N, mean, sd

    def __len__(self) -> int:
        return len(self.images_NHW)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.images_NHW[i], mode="L")
        pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(1, *picture.size[::-1])
        return pixels.float().div(255).sub(self.mean).div(self.sd), int(self.labels_N[i])
