"""Any ONNX file with a table of its labels is imported and served as it answers by itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from cxr_classifier.app import create_app
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import CLASSIFY_PATH, ClassifyResponse, Finding, ModelManifest, ServiceInfo
from cxr_training.cli import main
from support.images import encoded, radiograph_like

SIDE = 64
NAMES = ["Fracture", *reversed([finding.value for finding in Finding])]
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
IMAGES = [radiograph_like(SIDE, SIDE, seed=seed) for seed in range(3)]


def write_graph(
    path: Path,
    *,
    batch: int | str = "n",
    channels: int = 3,
    side: int | str = SIDE,
    activation: str | None = None,
    second_output: bool = False,
) -> Path:
    """A network of somebody else's: one convolution, its mean, a linear layer; `path`."""
    rng = np.random.default_rng(0)
    weights: dict[str, npt.NDArray[Any]] = {
        "kernel": rng.normal(size=(8, channels, 8, 8)).astype(np.float32) / 8,
        "head": rng.normal(size=(8, len(NAMES))).astype(np.float32),
        "shift": rng.normal(size=len(NAMES)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["cells"], strides=[8, 8]),
        helper.make_node("Relu", ["cells"], ["lit"]),
        helper.make_node("GlobalAveragePool", ["lit"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head", "shift"], ["z" if activation else "logits"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, len(NAMES)])]
    if activation:
        nodes.append(helper.make_node(activation, ["z"], ["logits"]))
    if second_output:
        # A map for each label, as a linear layer over cells.
        nodes += [
            helper.make_node("Transpose", ["lit"], ["last"], perm=[0, 2, 3, 1]),
            helper.make_node("MatMul", ["last", "head"], ["shares"]),
            helper.make_node("Add", ["shares", "shift"], ["shifted"]),
            helper.make_node("Transpose", ["shifted"], ["where"], perm=[0, 3, 1, 2]),
        ]
        shape = [batch, len(NAMES), SIDE // 8, SIDE // 8]
        outputs.append(helper.make_tensor_value_info("where", TensorProto.FLOAT, shape))
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, channels, side, side])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def labels(folder: Path, names: list[str] = NAMES) -> Path:
    path = folder / "labels.csv"
    path.write_text("label,threshold\n" + "".join(f"{name},0.3\n" for name in names))
    return path


def by_itself(path: Path, channels: int = 3) -> npt.NDArray[np.float32]:
    """What the file says of the images, the fourteen findings in our order."""
    mean, std = (
        np.array(x, np.float32).reshape(1, -1, 1, 1) for x in (MEAN[:channels], STD[:channels])
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = []
    for image in IMAGES:
        grey = image[None, None].astype(np.float32) / 255
        rows.append(session.run(["logits"], {"image": ((grey - mean) / std)})[0][0])
    columns = [NAMES.index(finding.value) for finding in Finding]
    found: npt.NDArray[np.float32] = np.stack(rows)[:, columns]
    return found


def imported(folder: Path, path: Path, *more: object) -> Path:
    line = ["models", "import", "onnx", "--weights", path, "--labels", labels(folder)]
    line += ["--name", "theirs", "--models", folder / "models", "--licence", "CC-BY-NC-4.0"]
    given = [] if "--mean" in more else ["--mean", *MEAN, "--std", *STD]
    assert main([*map(str, line), *map(str, given), *map(str, more)]) == 0
    return folder / "models/classifier/theirs"


async def answers(folder: Path) -> tuple[ServiceInfo, list[ClassifyResponse]]:
    """What the classifier service says of itself and of the images, two of them at once."""
    app = create_app(ClassifierSettings(model_dir=folder))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://service", timeout=60
        ) as client,
    ):
        assert await app.state.service.loaded()
        info = ServiceInfo.model_validate((await client.get("/info")).json())
        found = []
        for image in IMAGES:
            answer = await client.post(
                CLASSIFY_PATH,
                params={"explain": 14},
                files={"image": ("image.png", encoded(image))},
            )
            assert answer.status_code == 200, answer.text
            found.append(ClassifyResponse.model_validate(answer.json()))
    return info, found


def probabilities(found: list[ClassifyResponse]) -> npt.NDArray[np.float64]:
    by_finding = [{one.finding: one.probability for one in x.findings} for x in found]
    return np.array([[row[finding] for finding in Finding] for row in by_finding])


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


@pytest.mark.parametrize("batch", ["n", 1])
async def test_a_plain_file_is_served_as_it_answers_and_says_that_it_has_no_maps(
    tmp_path: Path, batch: int | str
) -> None:
    path = write_graph(tmp_path / "net.onnx", batch=batch)
    folder = imported(tmp_path, path)
    info, found = await answers(folder)
    assert (info.licence, info.calibrated, info.has_maps) == ("CC-BY-NC-4.0", False, False)
    assert all(response.cams == [] for response in found)
    np.testing.assert_allclose(probabilities(found), sigmoid(by_itself(path)), atol=1e-4)
    manifest = ModelManifest.model_validate_json((folder / "manifest.json").read_text())
    assert manifest.extra["dropped"] == ["Fracture"]
    assert manifest.weights == manifest.onnx
    assert {one.name for one in folder.iterdir()} == {
        *("model.onnx", "manifest.json", "MODEL_CARD.md")
    }
    assert str(tmp_path) not in (folder / "manifest.json").read_text()
    assert "Maps: none." in (folder / "MODEL_CARD.md").read_text()


async def test_probabilities_come_out_as_they_went_in(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "net.onnx", activation="Sigmoid", channels=1, side="side")
    folder = imported(
        tmp_path, path, "--probabilities", "--size", SIDE, "--mean", MEAN[0], "--std", STD[0]
    )
    _, found = await answers(folder)
    np.testing.assert_allclose(probabilities(found), by_itself(path, 1), atol=1e-4)


async def test_maps_of_the_file_are_served(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "net.onnx", second_output=True)
    info, found = await answers(imported(tmp_path, path, "--maps", "where"))
    assert info.has_maps is True
    for response in found:
        assert len(response.cams) == 14
        for one, cam in zip(response.findings, response.cams, strict=True):
            assert one.finding is cam.finding
            logit = np.float32(np.mean(cam.values))
            assert float(sigmoid(np.array(logit))) == pytest.approx(one.probability, abs=1e-3)


def test_a_file_alone_does_not_run_on_pytorch(tmp_path: Path) -> None:
    from cxr_classifier.predictor import load_predictor
    from cxr_serving.model_folder import ModelFolderError

    folder = imported(tmp_path, write_graph(tmp_path / "net.onnx"))
    with pytest.raises(ModelFolderError, match="an ONNX file alone"):
        load_predictor(ClassifierSettings(model_dir=folder, runtime="torch"))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("write", "more", "reason"),
    [
        (lambda path: _cut(write_graph(path)), [], "is not an ONNX file"),
        (lambda path: path.write_bytes(b"not a network"), [], "is not an ONNX file"),
        (lambda _: None, [], "cannot be read"),
        (lambda path: write_graph(path, batch=4), [], "takes 4 images at once"),
        (lambda path: write_graph(path, channels=2), [], "takes images of 2 channels"),
        (lambda path: write_graph(path, side="side"), [], "give --size"),
        (write_graph, ["--size", "32"], "takes images of 64 x 64 px, not 32"),
        (write_graph, ["--output", "other"], "has no output 'other': logits"),
        (write_graph, ["--maps", "cams"], "has no output 'cams': logits"),
        (write_graph, ["--probabilities"], "logits are no probabilities"),
        (write_graph, ["--std", "0"], "a standard deviation is above zero"),
    ],
)
def test_what_cannot_be_served_is_a_sentence_and_leaves_nothing(
    tmp_path: Path,
    write: Callable[[Path], Any],
    more: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "net.onnx"
    write(path)
    line = ["models", "import", "onnx", "--weights", path, "--labels", labels(tmp_path)]
    line += ["--name", "x", "--models", tmp_path / "models", "--licence", "MIT", *more]
    assert main([*map(str, line)]) == 2
    message = capsys.readouterr().err
    assert reason in message
    assert message.count("\n") == 1
    assert not (tmp_path / "models").exists()


def test_too_few_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_graph(tmp_path / "net.onnx")
    line = ["models", "import", "onnx", "--weights", path, "--labels", labels(tmp_path, NAMES[1:])]
    line += ["--name", "x", "--models", tmp_path / "models", "--licence", "MIT"]
    assert main([*map(str, line)]) == 2
    assert "has a figure for each of the 14 labels is not clear" in capsys.readouterr().err
    assert main([*map(str, line), "--output", "logits"]) == 2
    assert "is of shape (6, 15), and 14 labels are named" in capsys.readouterr().err


def test_without_a_licence_nothing_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_graph(tmp_path / "net.onnx")
    line = ["models", "import", "onnx", "--weights", path, "--labels", labels(tmp_path)]
    assert main([*map(str, line), "--name", "x", "--models", str(tmp_path / "models")]) == 2
    assert "say it with --licence" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()
