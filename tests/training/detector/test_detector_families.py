"""Each family of networks, with random weights, from PyTorch to ONNX to boxes, and behind HTTP."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import pytest
import torch
from PIL import Image

from cxr_contracts import DETECT_PATH, Architecture, DetectResponse, InputSpec, Region
from cxr_detector.app import create_app
from cxr_detector.network import build_network, prepare_ultralytics
from cxr_detector.placement import stretched
from cxr_detector.postprocessing import Detections, postprocess
from cxr_detector.preprocessing import preprocess
from cxr_detector.settings import DetectorSettings
from cxr_training.data.annotations import regions_of
from cxr_training.detector.publish import export_detector
from support.images import encoded, radiograph_like
from support.model_folders import DETECTOR_PX, settle, write_detector_folder

SIDE = 128
SPEC = InputSpec(width_px=SIDE, height_px=SIDE, channels=3, canonical_px=None, mean=0.0, std=1.0)
NIH_ALONE = regions_of(["nih"])
NMS_IOU = 0.5


def settle_on_noise(network: Any) -> None:
    """Random weights whose activations stay small on radiographs and noise, which export tries."""
    settle(network, SPEC)
    radiograph = preprocess(radiograph_like(150, 200), SPEC, "stretch")[0]
    noise = np.random.default_rng(0).random((3, 3, SIDE, SIDE), dtype=np.float32)
    with torch.no_grad():
        network.train()(torch.from_numpy(np.concatenate([radiograph[None], noise])))
    network.eval()


def ultralytics_boxes(
    name: str, backbone: str | None, state: dict[str, Any], image: np.ndarray, limit: float
) -> Any:
    """What Ultralytics' own network and suppression make of an input, [n, 6]."""
    prepare_ultralytics()
    from ultralytics.nn.autobackend import AutoBackend
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils.nms import non_max_suppression

    from cxr_detector.backbone import replace_backbone

    # As Ultralytics builds it: YOLO26 with its second head, of which its answer takes nothing.
    whole = DetectionModel(f"{name}.yaml", nc=len(NIH_ALONE), verbose=False)
    if backbone is not None:
        replace_backbone(whole, name, backbone)
    assert not whole.load_state_dict(state, strict=False).unexpected_keys
    whole.args = {}
    backend = AutoBackend(model=whole.eval(), device=torch.device("cpu"), fuse=False, end2end=False)
    with torch.no_grad():
        predictions = backend(torch.from_numpy(image)[None])
    return non_max_suppression(
        predictions, limit, NMS_IOU, multi_label=True, max_det=50, max_wh=1024
    )[0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backbone"),
    # YOLOv5s is YOLOv5n, wider.
    [("yolo26n", None), ("yolov5n", None), ("yolov5n", "tf_efficientnet_lite0")],
)
def test_the_boxes_of_onnx_are_those_of_ultralytics(
    name: str, backbone: str | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    arguments = {} if backbone is None else {"backbone": backbone}
    architecture = Architecture(library="ultralytics", name=name, arguments=arguments)
    network: Any = build_network(architecture, len(NIH_ALONE))
    settle_on_noise(network)
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    radiograph = radiograph_like(150, 200)
    image, placement = preprocess(radiograph, SPEC, "stretch")
    network.fuse(verbose=False)
    export_detector(network, SPEC, tmp_path / "model.onnx")
    session = ort.InferenceSession(tmp_path / "model.onnx")
    (predictions,) = session.run(["predictions"], {"image": image[None]})[0]
    limit = float(np.sort(predictions[4:].ravel())[-60])
    theirs = ultralytics_boxes(name, backbone, state, image, limit)
    ours: Detections = postprocess(
        predictions,
        stretched(SIDE, SIDE, SPEC),
        # Ultralytics shows what lies above its threshold, we also what lies on it.
        np.full(len(NIH_ALONE), np.nextafter(np.float32(limit), np.float32(1)), np.float32),
        nms_iou=NMS_IOU,
        max_boxes=50,
    )
    assert len(ours.scores) == len(theirs) > 3
    np.testing.assert_allclose(ours.scores, theirs[:, 4], atol=1e-3)
    np.testing.assert_allclose(ours.boxes, theirs[:, :4].clip(0, SIDE), atol=0.5)
    assert (ours.labels == theirs[:, 5]).all()
    assert placement.scaled_width == placement.scaled_height == SIDE


async def detect(folder: Path, radiograph: np.ndarray) -> DetectResponse:
    app = create_app(DetectorSettings(model_dir=folder, runtime="onnxruntime", threads=1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://service", timeout=60
        ) as client,
    ):
        assert await app.state.service.loaded()
        response = await client.post(
            DETECT_PATH, files={"image": ("radiograph.png", encoded(radiograph))}
        )
    assert response.status_code == 200, response.text
    return DetectResponse.model_validate_json(response.content)


async def test_a_stretching_model_of_one_sets_classes_is_served_and_its_boxes_follow_the_radiograph(
    tmp_path: Path,
) -> None:
    folder = write_detector_folder(
        tmp_path / "yolo26n-nih", name="yolo26n", regions=NIH_ALONE, resize="stretch"
    )
    wide = radiograph_like(480, 320)
    size = (DETECTOR_PX, DETECTOR_PX)
    # The network's input itself: the same image, without the stretching.
    square = np.asarray(Image.fromarray(wide).resize(size, Image.Resampling.BILINEAR))
    on_wide, on_square = await detect(folder, wide), await detect(folder, square)
    assert len(on_wide.boxes) == len(on_square.boxes) > 1
    scale = (480 / DETECTOR_PX, 320 / DETECTOR_PX)
    for one, other in zip(on_wide.boxes, on_square.boxes, strict=True):
        assert Region(one.finding) in NIH_ALONE
        assert one.finding == other.finding
        assert one.score == pytest.approx(other.score, abs=1e-3)
        expected = np.array([other.x_min, other.y_min, other.x_max, other.y_max])
        got = [one.x_min, one.y_min, one.x_max, one.y_max]
        np.testing.assert_allclose(got, expected * np.tile(scale, 2), atol=0.5)


@pytest.mark.slow
async def test_a_folder_that_says_nothing_of_resizing_letterboxes(tmp_path: Path) -> None:
    folders = {
        resize: write_detector_folder(tmp_path / str(resize), resize=resize)
        for resize in (None, "letterbox", "stretch")
    }
    radiograph = radiograph_like(320, 160)
    answers = {resize: await detect(folder, radiograph) for resize, folder in folders.items()}
    assert answers[None].boxes == answers["letterbox"].boxes
    assert answers[None].boxes != answers["stretch"].boxes
