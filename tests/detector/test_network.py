import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cxr_contracts import Architecture
from cxr_detector.network import build_network

YOLO = Architecture(library="ultralytics", name="yolov5n", arguments={})


def test_the_network_answers_decoded_predictions() -> None:
    network = build_network(YOLO, 15)
    with torch.no_grad():
        output = network(torch.rand(2, 3, 320, 320))
    assert output.shape == (2, 19, 2100)
    assert output[:, 4:].min() >= 0
    assert output[:, 4:].max() <= 1
    assert next(iter(network.state_dict())) == "model.0.conv.weight"


def test_another_librarys_architecture_is_refused() -> None:
    other = YOLO.model_copy(update={"library": "timm"})
    with pytest.raises(ValueError, match="expected an Ultralytics architecture"):
        build_network(other, 15)


@pytest.mark.parametrize("name", ["../yolov5n", "https://host/yolov5n", "yolov5q", "yolov5n.yaml"])
def test_a_name_that_is_no_network_of_ultralytics_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Ultralytics has no network named"):
        build_network(YOLO.model_copy(update={"name": name}), 15)


def test_yolo26_is_built_with_the_head_that_needs_suppression_alone() -> None:
    network = build_network(YOLO.model_copy(update={"name": "yolo26n"}), 8)
    assert not [name for name in network.state_dict() if "one2one" in name]


def test_importing_the_package_loads_neither_torch_nor_ultralytics() -> None:
    code = (
        "import sys, cxr_detector.network, cxr_detector.preprocessing, cxr_detector.postprocessing;"
        "print([m for m in ('torch', 'ultralytics', 'cv2') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert output.stdout.strip() == "[]"


def test_building_writes_nothing_outside_its_own_folder(tmp_path: Path) -> None:
    home, config = tmp_path / "home", tmp_path / "config"
    home.mkdir()
    code = (
        "from cxr_contracts import Architecture;"
        "from cxr_detector.network import build_network;"
        "build_network(Architecture(library='ultralytics', name='yolov5n', arguments={}), 2);"
        "from ultralytics.utils import ONLINE; print(ONLINE)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "YOLO_CONFIG_DIR": str(config),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
    )
    assert output.stdout.split()[-1] == "False"
    assert list(home.rglob("*")) == []
