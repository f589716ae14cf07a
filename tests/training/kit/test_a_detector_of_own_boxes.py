"""A table with boxes of one's own becomes a detector, and the service draws such boxes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cxr_contracts import DETECT_PATH, DetectResponse
from cxr_detector.app import create_app
from cxr_detector.settings import DetectorSettings
from cxr_training.cli import main
from cxr_training.detector.run import RESULTS, STATE
from support.own_images import LABELS, write_own_images
from support.waiting import eventually

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


def train(folder: Path, boxes: str, *more: str) -> int:
    """The way through, not a good model: a few small images, once each."""
    return main(words(folder, boxes, "--epochs", "1", *more))


def words(folder: Path, boxes: str, *more: str) -> list[str]:
    line = ["train", "detector", "--data", str(folder / "my.csv"), "--boxes", str(folder / boxes)]
    line += ["--name", "mine", "--out", str(folder / "runs"), "--models", str(folder / "models")]
    return [*line, "--set", "image_px=160", "--set", "threads=1", *more]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boxes")
    write_own_images(folder, 40, seed=2)
    before = Path.cwd()
    os.chdir(ROOT)  # where the published detector lies that it starts from
    try:
        assert train(folder, "boxes.json") == 0
    finally:
        os.chdir(before)
    return folder


async def test_own_boxes_are_learned_measured_and_served(walked: Path) -> None:
    run, model = walked / "runs/mine/detector", walked / "models/detector/mine"
    assert (run / "examples.png").stat().st_size > 0
    manifest = json.loads((model / "manifest.json").read_text())
    assert {label["name"] for label in manifest["labels"]} == {*LABELS}
    measured = {(row["name"], row["split"]) for row in manifest["metrics"]}
    assert {("map50", "validation"), ("map50", "test")} <= measured
    card = (model / "MODEL_CARD.md").read_text()
    assert "This card is a draft" in card
    assert "NIH" not in card
    assert str(walked) not in json.dumps(manifest) + card
    app = create_app(DetectorSettings(model_dir=model, model=None))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client,
    ):
        assert await app.state.service.loaded()
        image = (walked / "images/0000.png").read_bytes()
        # All that it draws, however little it thinks of it.
        answer = await client.post(
            DETECT_PATH, params={"min_score": 0.001}, files={"image": ("0.png", image)}
        )
    boxes = DetectResponse.model_validate(answer.json()).boxes
    assert {box.finding for box in boxes} <= {*LABELS}
    assert all(0 <= box.x_min < box.x_max <= 320 for box in boxes)


def test_its_name_is_taken_then(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(walked, "boxes.csv") == 2
    assert "is there already" in capsys.readouterr().err


def test_a_refused_request_leaves_its_name_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was wrong is mended, and the same line goes as far as it would have gone at first."""
    monkeypatch.chdir(ROOT)
    write_own_images(tmp_path, 40, seed=2)
    for wrong, said in (("image_px=nothing", "image_px"), ("no_such_key=1", "no_such_key")):
        assert train(tmp_path, "boxes.csv", "--set", wrong) == 2
        told = capsys.readouterr().err
        assert said in told
        assert "is there already" not in told
    run = tmp_path / "runs/mine/detector"
    assert [path.name for path in run.iterdir()] == ["examples.png"]
    (run / "metrics.jsonl").write_text("")
    assert train(tmp_path, "boxes.csv") == 2
    assert "is there already" in capsys.readouterr().err


def test_a_killed_training_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    write_own_images(tmp_path, 40, seed=2)
    line = words(tmp_path, "boxes.json", "--epochs", "3")
    run = tmp_path / "runs/mine/detector"
    process = subprocess.Popen([sys.executable, "-m", "cxr_training", *line])
    try:
        eventually((run / STATE).exists, "no epoch came to its end", 240)
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "models/detector/mine").exists()
    assert main(line) == 2
    assert "is there already: give another --name, --resume" in capsys.readouterr().err
    assert main([*line, "--resume"]) == 0
    [done] = json.loads((run / "run.json").read_text())["resumed_after_epochs"]
    assert done in (1, 2)
    epochs = [row.split(",")[0].strip() for row in (run / RESULTS).read_text().splitlines()[1:]]
    assert epochs == ["1", "2", "3"]
    assert (tmp_path / "models/detector/mine/manifest.json").is_file()
