"""Training, evaluating and publishing the detector: networks by name, on the boxes of two sets."""
