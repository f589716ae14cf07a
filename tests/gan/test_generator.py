"""Images from seeds: the same from the same, whatever the company."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cxr_gan.errors import GanError
from cxr_gan.folders import RUN_SPEC, RUN_WEIGHTS
from cxr_gan.generator import Synthesizer, open_generator
from support.gan.runs import LABELS, SIDE_PX, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module")
def synthesizer(run: Path) -> Synthesizer:
    return open_generator(run)


def test_a_seed_gives_the_same_image_in_any_batch(synthesizer: Synthesizer) -> None:
    together = synthesizer.images([5, 6, 7, 8, 9])
    assert together.shape == (5, SIDE_PX, SIDE_PX)
    assert together.dtype == np.uint8
    np.testing.assert_array_equal(synthesizer.images([8])[0], together[3])
    np.testing.assert_array_equal(synthesizer.images([9, 5]), together[[4, 0]])
    assert not np.array_equal(together[0], together[1])


def test_a_seed_gives_the_same_image_in_another_process_and_on_more_threads(
    run: Path, synthesizer: Synthesizer
) -> None:
    script = (
        "import sys, torch\nfrom pathlib import Path\n"
        "from cxr_gan.generator import open_generator\n"
        "torch.set_num_threads(4)\n"
        "images = open_generator(Path(sys.argv[1])).images([3, 4])\n"
        "sys.stdout.write(images.tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(run)],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == synthesizer.images([3, 4]).tobytes().hex()


def test_making_images_leaves_the_number_of_threads_alone(synthesizer: Synthesizer) -> None:
    before = torch.get_num_threads()
    synthesizer.images([1])
    assert torch.get_num_threads() == before


def test_latents_are_standard_normal_and_truncation_bounds_them(synthesizer: Synthesizer) -> None:
    latents = synthesizer.latents(range(4000))
    assert abs(latents.mean()) < 0.03
    assert abs(latents.std() - 1) < 0.03
    assert np.abs(latents).max() > 3
    bounded = synthesizer.latents(range(4000), 0.8)
    assert 0.79 < np.abs(bounded).max() <= 0.8
    np.testing.assert_array_equal(np.sign(bounded), np.sign(latents))


def test_a_label_changes_the_image(synthesizer: Synthesizer) -> None:
    healthy, mass, both = synthesizer.label_input(
        [frozenset(), frozenset({"Mass"}), frozenset({"Mass", "Pneumonia"})]
    )
    assert both.tolist() == [1, 1]
    images = [synthesizer.images([1], labels[None]) for labels in (healthy, mass, both)]
    np.testing.assert_array_equal(images[0], synthesizer.images([1]))
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[1], images[2])


def test_what_a_generator_does_not_take_is_a_sentence(synthesizer: Synthesizer) -> None:
    with pytest.raises(GanError, match="tiny has no label 'Hernia'; it takes: Mass, Pneumonia"):
        synthesizer.label_input([frozenset({"Hernia"})])
    with pytest.raises(GanError, match=r"takes labels \(1, 2\), but was given \(2, 2\)"):
        synthesizer.images([1], np.zeros((2, 2), np.float32))
    with pytest.raises(GanError, match="truncation 0 is no number above 0"):
        synthesizer.images([1], truncation=0)
    with pytest.raises(GanError, match="seed -1 is not within"):
        synthesizer.images([-1])


def test_weights_that_are_no_numbers_are_a_sentence(tmp_path: Path) -> None:
    run = write_run(tmp_path / "broken")
    weights = load_file(run / RUN_WEIGHTS)
    save_file({name: tensor * float("nan") for name, tensor in weights.items()}, run / RUN_WEIGHTS)
    with pytest.raises(GanError, match="broken weights"):
        open_generator(run).images([1])


def test_a_folder_without_a_generator_or_with_anothers_weights_is_a_sentence(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        GanError, match=r"holds no generator: neither manifest\.json nor spec\.json"
    ):
        open_generator(tmp_path)
    run = write_run(tmp_path / "run")
    other = write_run(tmp_path / "other", labels=())
    (run / RUN_WEIGHTS).write_bytes((other / RUN_WEIGHTS).read_bytes())
    with pytest.raises(GanError, match=r"do not fill its network: .*size mismatch"):
        open_generator(run)
    (run / RUN_WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(GanError, match="do not fill its network"):
        open_generator(run)
    spec = json.loads((run / RUN_SPEC).read_text()) | {"side_px": 17}
    (run / RUN_SPEC).write_text(json.dumps(spec))
    with pytest.raises(GanError, match=r"spec\.json: side_px: .*power of two"):
        open_generator(run)
    assert tuple(spec["labels"]) == LABELS
