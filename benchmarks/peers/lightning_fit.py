"""Lightning: a LightningModule and a Trainer without logger, bars and checkpoints."""

from __future__ import annotations

import time
import warnings

import lightning as L
import torch
from common import quiet_trainer, read_task, tell, torch_device, torch_model
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
task = read_task()
wait = torch.cuda.synchronize if torch_device() == "cuda" else lambda: None


class Net(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model, self.criterion = torch_model(task), nn.CrossEntropyLoss()
        self.losses: list[torch.Tensor] = []
        self.started = 0.0

    def training_step(self, batch: list[torch.Tensor], step: int) -> torch.Tensor:
        if step == task.warm_up:
            wait()
            self.started = time.perf_counter()
        loss = self.criterion(self.model(batch[0]), batch[1])
        self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=task.lr)


net = Net()
data = TensorDataset(torch.from_numpy(task.standardised()[:, None]), torch.from_numpy(task.labels_N))
trainer = quiet_trainer(
    max_epochs=1, accelerator=torch_device(), precision="bf16-mixed" if task.precision == "bf16" else "32-true"
)
trainer.fit(net, DataLoader(data, batch_size=task.batch, drop_last=True))
wait()
seconds = time.perf_counter() - net.started
losses = torch.stack(net.losses).float()
tell(task, losses[: task.warm_up].mean().item(), losses[task.warm_up :].mean().item(), seconds)
