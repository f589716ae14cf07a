"""Ultralytics' own validator on a run's weights, to hold our figures against."""

import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from cxr_detector.network import network_layout, prepare_ultralytics
from cxr_training.detector.config import DetectorConfig


def ultralytics_map50(config: DetectorConfig, weights: Path, data_file: Path) -> float:
    """mAP50 on the prepared validation images, mean over the classes that have a box.

    Args:
        config: the recipe.
        weights: the run's averaged weights.
        data_file: `data.yaml` of the prepared data set.
    """
    prepare_ultralytics()
    from ultralytics.models.yolo.detect import DetectionValidator
    from ultralytics.nn.tasks import DetectionModel

    from cxr_detector.backbone import replace_backbone

    build: Any = DetectionModel
    model = build(network_layout(config.architecture), nc=len(config.regions), verbose=False)
    if config.trunk is not None:
        replace_backbone(model, config.architecture, config.trunk.network)
    model.load_state_dict(load_file(weights))
    model.names = {index: region.value for index, region in enumerate(config.regions)}
    with tempfile.TemporaryDirectory() as folder:
        arguments = {
            "task": "detect",
            "mode": "val",
            "data": str(data_file),
            "imgsz": config.image_px,
            "batch": 16,
            "iou": config.nms_iou,
            # Rectangular batches would pad our square images to another size than serving does.
            "rect": False,
            "device": "cpu",
            "workers": 0,
            "plots": False,
            "verbose": False,
            "save_dir": folder,
        }
        validator: Any = DetectionValidator(args=arguments, save_dir=Path(folder))
        validator(model=model.eval())
    return float(validator.metrics.box.map50)
