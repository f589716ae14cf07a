"""Training, judging and publishing the detector: YOLOv5n on ChestX-Det and NIH's boxes."""
