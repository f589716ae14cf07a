"""A service that is told to use a GPU where there is none: a sentence, exit code 1."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_a_gpu_that_is_not_there_ends_the_start_with_a_sentence(detector_folder: Path) -> None:
    settings = {"RUNTIME": "torch", "DEVICE": "cuda:0", "PORT": "0", "MODEL_DIR": detector_folder}
    given = {f"CXR_DETECTOR_{name}": str(value) for name, value in settings.items()}
    finished = subprocess.run(
        [sys.executable, "-m", "cxr_detector"],
        # Hidden, so that the test says the same on a machine that has one.
        env={
            **os.environ,
            **given,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "CUDA_VISIBLE_DEVICES": "",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 1
    lines = [json.loads(line) for line in finished.stderr.splitlines()]
    [critical] = [line for line in lines if line["level"] == "critical"]
    assert critical["message"] == (
        "The detector cannot start: "
        "the device is set to cuda:0, and PyTorch sees no NVIDIA GPU here."
    )
    assert "exception" not in critical
