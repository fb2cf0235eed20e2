"""The script that the READMEs' authors would write: PIL images, a DataLoader, Adam, `.item()` a step."""

from __future__ import annotations

import sys
import time

import torch
from common import read_task, tell, torch_model
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

task = read_task(sys.argv[1])


class Pictures(Dataset):
    """Like torchvision's: a PIL image an item, to a tensor, normalised."""

    def __len__(self) -> int:
        return len(task.images_NHW)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(task.images_NHW[i], mode="L")
        pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(1, *picture.size[::-1])
        return pixels.float().div(255).sub(task.mean).div(task.sd), int(task.labels_N[i])


model, criterion = torch_model(task), nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=task.lr)
losses, started = [], 0.0
model.train()
for step, (images, labels) in enumerate(DataLoader(Pictures(), batch_size=task.batch, drop_last=True)):
    if step == task.warm_up:
        started = time.perf_counter()
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=task.precision == "bf16"):
        loss = criterion(model(images), labels)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
seconds = time.perf_counter() - started
tell(
    task, sum(losses[: task.warm_up]) / task.warm_up, sum(losses[task.warm_up :]) / len(losses[task.warm_up :]), seconds
)
