"""What torchrun starts in a test: one process of a training, which writes down what it saw.

Usage: ROOT, a folder that holds `nih/`.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from cxr_training.classifier.loop import Trainer
from cxr_training.classifier.train import cache_of, new_trainer, samples_of
from cxr_training.core.distributed import Processes, processes_of_this_run
from cxr_training.data.cache import canonical_images
from support.quick_training import quick_config

# The same whatever part of a batch a process has: no dropout.
STILL = "architecture.arguments={in_chans: 1}"


def begin(root: Path, folder: Path, processes: Processes, *overrides: str) -> Trainer:
    """A run at its beginning."""
    config = quick_config(*overrides)
    samples = samples_of(config, root / "nih")
    folder.mkdir(parents=True, exist_ok=True)
    images = processes.first_alone(
        lambda: canonical_images(samples.paths, config.canonical_px, cache_of(folder))
    )
    return new_trainer(config, samples, images, folder, processes)


def first_step(trainer: Trainer) -> dict[str, object]:
    """The loss and gradients of the first batch, with batch normalisation held still."""
    trainer.network.train()
    for module in trainer.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    [image, target] = next(iter(trainer.loader))
    loss, norm = trainer.step(image, target).tolist()
    gradients = [p.grad.clone() for p in trainer.network.parameters() if p.grad is not None]
    return {"loss": loss, "norm": norm, "n": len(image), "gradients": gradients}


def main(root: Path) -> None:
    """Write `saw-RANK.pt`."""
    with processes_of_this_run() as processes:
        step = first_step(begin(root, root / "step", processes, STILL))
        trainer = begin(root, root / "run", processes)
        trainer.run()
        seen = []
        for epoch in range(2):
            trainer.batches.start(epoch, 0)
            seen.append(list(trainer.batches))
        saw = {
            "step": step,
            "seen": seen,
            "network": trainer.network.state_dict(),
            "average": trainer.average.state_dict(),
            "next_draw": torch.rand(3),
        }
        torch.save(saw, root / f"saw-{processes.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
