"""torchrun with two real processes over gloo, against one process on the same drawn set."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cxr_training.cli import main
from cxr_training.core.distributed import Processes
from support import one_of_the_processes
from support.one_of_the_processes import STILL, begin, first_step
from support.quick_training import quick_arguments
from support.synthetic_nih import write_nih

pytestmark = pytest.mark.slow

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    # The tests' own path stands in sys.path, which a new process does not inherit.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*TORCHRUN, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    write_nih(folder)
    return folder


@pytest.fixture(scope="module")
def saw(root: Path) -> list[dict[str, Any]]:
    done = torchrun(one_of_the_processes.__file__, str(root))
    assert done.returncode == 0, done.stderr
    return [torch.load(root / f"saw-{rank}.pt", weights_only=True) for rank in range(2)]


def test_the_shares_of_both_are_the_whole_epoch_and_overlap_nowhere(
    saw: list[dict[str, Any]], root: Path
) -> None:
    alone = begin(root, root / "alone", Processes())
    for epoch in range(2):
        alone.batches.start(epoch, 0)
        whole = [[tuple(item) for item in batch] for batch in alone.batches]
        shares = zip(saw[0]["seen"][epoch], saw[1]["seen"][epoch], strict=True)
        rescored = [[tuple(item) for item in one + other] for one, other in shares]
        assert rescored == whole
        items = [item for batch in rescored for item in batch]
        assert len(set(items)) == len(items)
    assert saw[0]["seen"][0] != saw[0]["seen"][1]


def test_both_end_with_the_same_weights_and_draw_other_dropout(saw: list[dict[str, Any]]) -> None:
    for part in ("network", "average"):
        for name, tensor in saw[0][part].items():
            torch.testing.assert_close(tensor, saw[1][part][name], rtol=0, atol=0, msg=name)
    assert not torch.equal(saw[0]["next_draw"], saw[1]["next_draw"])


def test_the_first_step_is_that_of_one_process(saw: list[dict[str, Any]], root: Path) -> None:
    alone = first_step(begin(root, root / "step-alone", Processes(), STILL))
    shares = [one["step"] for one in saw]
    assert [one["n"] for one in shares] == [16, 16]
    assert sum(one["loss"] for one in shares) / 2 == pytest.approx(alone["loss"], rel=1e-5)
    assert shares[0]["loss"] != shares[1]["loss"]
    for one in shares:
        assert one["norm"] == pytest.approx(alone["norm"], rel=1e-4)
        torch.testing.assert_close(one["gradients"], alone["gradients"], rtol=1e-3, atol=1e-6)


def test_a_run_by_torchrun_leaves_the_files_of_a_run_by_one_process(root: Path) -> None:
    data = ["--data", str(root)]
    assert main(["classifier", "train", *quick_arguments(), *data, "--out", str(root / "one")]) == 0
    arguments = ["train", *quick_arguments(), *data, "--out", str(root / "two")]
    done = torchrun("-m", "cxr_training", "classifier", *arguments)
    assert done.returncode == 0, done.stderr
    one, two = root / "one", root / "two"
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    rows = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (one, two)
    ]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    assert [set(row) for row in rows[0]] == [set(row) for row in rows[1]]
    [session] = json.loads((two / "run.json").read_text())["sessions"]
    assert session["processes"] == 2
    assert session["command"].startswith("torchrun --standalone --nproc-per-node 2 -m cxr_training")
    assert done.stderr.count("mean AUROC") + done.stdout.count("mean AUROC") == 2


def test_a_batch_that_does_not_divide_is_refused_once(root: Path) -> None:
    arguments = [*quick_arguments("training.batch_size=9"), "--data", str(root)]
    out = ["--out", str(root / "odd")]
    done = torchrun("-m", "cxr_training", "classifier", "train", *arguments, *out)
    assert done.returncode != 0
    sentence = "training.batch_size=9 does not divide among 2 processes: choose a multiple of 2"
    assert done.stderr.count(sentence) == 1
    assert not (root / "odd").exists()
