"""The script that the READMEs' authors would write: PIL images, a DataLoader, Adam, `.item()` a step."""

from __future__ import annotations

import time

import torch
from common import read_task, tell, torch_device, torch_model
from pictures import Pictures
from torch import nn
from torch.utils.data import DataLoader

task, device = read_task(), torch_device()
model, criterion = torch_model(task).to(device), nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=task.lr)
losses, started = [], 0.0
model.train()
for step, (images, labels) in enumerate(
    DataLoader(Pictures(task.images_NHW, task.labels_N, task.mean, task.sd), batch_size=task.batch, drop_last=True)
):
    if step == task.warm_up:
        started = time.perf_counter()
    x, y = images.to(device), labels.to(device)
    optimizer.zero_grad()
    with torch.autocast(device, torch.bfloat16, enabled=task.precision == "bf16"):
        loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
seconds = time.perf_counter() - started
tell(
    task, sum(losses[: task.warm_up]) / task.warm_up, sum(losses[task.warm_up :]) / len(losses[task.warm_up :]), seconds
)
