"""Train and read every arm; what is done already is left as it is, so a killed run goes on."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from cxr_training.classifier.ablation.plan import OtherReading, Plan
from cxr_training.classifier.config import ClassifierConfig, load_config
from cxr_training.classifier.loop import LAST, LogitArray, infer
from cxr_training.classifier.members import architecture_of_all, trained_network
from cxr_training.classifier.samples import read_samples
from cxr_training.classifier.train import (
    cache_of,
    device_of_this_machine,
    open_images,
    train,
)
from cxr_training.core.errors import RunError
from cxr_training.data.splits import Split, split_sha256

ANSWERS = "answers.npz"
_AS_TRAINED = OtherReading(says="", of="")


def run_ablation(
    plan: Plan, config: Path, data: Path, folder: Path, overrides: tuple[str, ...] = ()
) -> None:
    """Train each arm of `plan` under `folder`, and write `<arm>.npz` with its answers.

    Every arm is read after its last epoch, never after its best: a choice among epochs on
    validation patients would flatter whichever arm swings most.

    Args:
        plan: the arms.
        config: the recipe's YAML file.
        data: folder in NIH's layout.
        folder: a run directory for each arm comes to stand here.
        overrides: last of all, for all arms; `--smoke`'s for instance.

    Raises:
        ConfigError, DataError: before the first step of the first arm.
    """
    configs = {
        name: load_config(config, (*plan.budget, *arm.set, *overrides))
        for name, arm in plan.arms.items()
    }
    for name, resolved in configs.items():
        if not (folder / f"{name}.npz").exists():
            tqdm.write(f"{name}: {plan.arms[name].says}")
            train(resolved, data, folder / name, resume=True)
            _read(resolved, _AS_TRAINED, data, folder / name, folder / f"{name}.npz")
    for name, reading in plan.readings.items():
        if not (folder / f"{name}.npz").exists():
            target = folder / f"{name}.npz"
            _read(configs[reading.of], reading, data, folder / reading.of, target)


def _read(
    config: ClassifierConfig, reading: OtherReading, data: Path, folder: Path, target: Path
) -> None:
    """The validation patients' logits by the last weights of the run in `folder`."""
    samples = read_samples(data)
    images = open_images(config, samples, cache_of(folder), stream=False)
    rows = samples.rows(Split.VALIDATION)
    network, epochs = trained_network(
        folder,
        config,
        architecture_of_all(config),
        checkpoint=LAST,
        weights=reading.weights,
    )
    if min(epochs) < config.training.epochs:
        raise RunError(f"{folder} ended after epoch {min(epochs)} of {config.training.epochs}")
    device = device_of_this_machine()
    network.to(device)
    logits: LogitArray = infer(network, images, rows, config, device=device)
    if reading.mirrored:
        logits += infer(network, images, rows, config, device=device, mirrored=True)
        logits /= 2
    np.savez_compressed(
        target,
        logits=logits.astype(np.float64),
        targets=samples.targets[rows].astype(np.float64),
        patients=samples.patients[rows],
        sources=samples.sources[rows],
        split_sha256=np.array(split_sha256(samples.patient_splits)),
    )
