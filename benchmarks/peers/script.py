"""The script that the READMEs' authors would write: PIL images, a DataLoader, Adam, `.item()` a step."""

from __future__ import annotations

import time

import torch
from common import read_task, tell, torch_model
from pictures import Pictures
from torch import nn
from torch.utils.data import DataLoader

task = read_task()
model, criterion = torch_model(task), nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=task.lr)
losses, started = [], 0.0
model.train()
for step, (images, labels) in enumerate(
    DataLoader(Pictures(task.images_NHW, task.labels_N, task.mean, task.sd), batch_size=task.batch, drop_last=True)
):
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
