"""Several processes that train one network, as `torchrun` starts them; or one, which is alone.

Messages between CPU tensors go over gloo and between CUDA tensors over NCCL, so what the processes
agree on (the clock, what was counted) never waits for a GPU.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from cxr_training.core.errors import RunError

Result = TypeVar("Result")
# The others wait this long while the first decodes a whole data set; torchrun ends all of them
# much sooner if one of them dies.
_PATIENCE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run, and which of them this is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and speaks."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """CUDA where there is one, for each process of a machine its own."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda") if self.size == 1 else torch.device("cuda", self.local_rank)

    def share(self, batch_size: int) -> int:
        """How many images of a batch this process reads.

        Raises:
            RunError: the batch does not divide.
        """
        if batch_size % self.size:
            raise RunError(
                f"training.batch_size={batch_size} does not divide among {self.size} processes: "
                f"choose a multiple of {self.size}"
            )
        return batch_size // self.size

    def agreed(self, value: float) -> float:
        """What the first process says; no two clocks show the same."""
        if self.size == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(said, src=0)
        return float(said.item())

    def total(self, values: Tensor) -> Tensor:
        """The sum of a CPU tensor over the processes, in all of them."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def gathered(self, value: Result) -> list[Result]:
        """The value of every process, by rank, in all of them."""
        if self.size == 1:
            return [value]
        values: list[Result | None] = [None] * self.size
        distributed.all_gather_object(values, value)
        return [one for one in values if one is not None]

    def first_alone(self, work: Callable[[], Result]) -> Result:
        """Done by the first process, then by the others, who find what the first left on disk.

        An error of the first is raised there; the others then end without a word.
        """
        if self.size == 1:
            return work()
        done: list[Result] = []
        error: Exception | None = None
        if self.is_first:
            try:
                done.append(work())
            except Exception as raised:  # the others must be told of any
                error = raised
        if self.agreed(0.0 if error is None else 1.0):
            self.fail(error)
        return done[0] if done else work()

    def fail(self, error: Exception | None) -> NoReturn:
        """Raise what befell all processes in the first one alone, and end the others after it."""
        if self.is_first and error is not None:
            raise error
        # Whoever goes first makes torchrun end the rest: wait until the first has spoken.
        with suppress(RuntimeError):
            self.agreed(0.0)
        raise SystemExit(1)


@contextmanager
def processes_of_this_run() -> Iterator[Processes]:
    """Join the processes that torchrun started; alone without it.

    Raises:
        RunError: more processes than GPUs on a machine that has some.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Processes()
        return
    processes = Processes(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    cuda, here = torch.cuda.is_available(), processes_on_this_machine()
    if cuda and here > torch.cuda.device_count():
        raise RunError(
            f"{here} processes for {torch.cuda.device_count()} GPU(s): start one for each"
        )
    if cuda:
        torch.cuda.set_device(processes.device)
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    yield processes
    # After an error the end of the process closes the connections, once it has been told.
    distributed.destroy_process_group()


def processes_on_this_machine() -> int:
    """How many share its cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def synchronised(network: nn.Module, processes: Processes) -> nn.Module:
    """The network with batch statistics over the whole batch, where several GPUs share it.

    A share of a batch is small, and its statistics are noise that one GPU would not have; with
    them over all processes, several GPUs train what one would. PyTorch has no such layer for the
    CPU; see `average_statistics`.
    """
    if processes.size == 1 or processes.device.type == "cpu":
        return network
    # PyTorch's own conversion would lose the activation inside timm's normalisation layers.
    from timm.layers.norm_act import convert_sync_batchnorm

    converted: nn.Module = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return converted


def parallel(network: nn.Module, processes: Processes, image: Tensor) -> nn.Module:
    """The network whose gradients are the mean over all processes; itself where there is one.

    `image` is a batch to find out with which parameters the network leaves unused.
    """
    if processes.size == 1:
        return network
    freeze_unused(network, image)
    return DistributedDataParallel(
        network,
        device_ids=[processes.device] if processes.device.type == "cuda" else None,
        # Statistics are equal already, or made so by `average_statistics`.
        broadcast_buffers=False,
    )


def freeze_unused(network: nn.Module, image: Tensor) -> list[str]:
    """Take parameters without a gradient out of training; their names.

    A class activation map goes past the norm in the head of some backbones (ConvNeXt's), and
    DistributedDataParallel would wait for its gradient for ever.
    """
    was_training = network.training
    logits, _ = network.eval()(image)
    logits.sum().backward()
    unused = [name for name, p in network.named_parameters() if p.grad is None]
    for name in unused:
        network.get_parameter(name).requires_grad_(False)
    network.zero_grad(set_to_none=True)
    network.train(was_training)
    return unused


def average_statistics(network: nn.Module, processes: Processes) -> None:
    """Make the running statistics of batch normalisation the mean over the processes.

    On CPUs each process normalises by its own share of a batch; what it keeps for evaluation
    must be the same in all of them. On GPUs it is, see `synchronised`.
    """
    if processes.size == 1 or processes.device.type == "cuda":
        return
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if not buffers:
        return
    mean = processes.total(torch.cat([buffer.flatten() for buffer in buffers])) / processes.size
    parts = torch.split(mean, [buffer.numel() for buffer in buffers])
    for buffer, part in zip(buffers, parts, strict=True):
        buffer.copy_(part.view_as(buffer))
