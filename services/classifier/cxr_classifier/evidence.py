"""What a classifier's manifest says of its levels and maps, for `/info`."""

from cxr_contracts import Finding, FindingLevels, LevelsSource, ModelManifest
from cxr_serving.inference_routes import ModelEvidence

_POINTING = "pointing_game"
# Of an imported ONNX file: `extra` says under this name that it has no maps.
MAPS, NO_MAPS = "maps", "none"


def evidence_of(manifest: ModelManifest) -> ModelEvidence:
    """Where the levels come from, what they mean, and whether the maps show anything."""
    lines = [
        FindingLevels(
            finding=Finding(label.name),
            possible=label.levels.possible if label.levels else None,
            likely=label.levels.likely if label.levels else None,
        )
        for label in manifest.labels
    ]
    measured = all(label.levels is not None for label in manifest.labels)
    return ModelEvidence(
        calibrated=manifest.calibrated,
        has_maps=has_maps(manifest),
        levels=LevelsSource.MEASURED if measured else LevelsSource.DERIVED,
        finding_levels=lines,
        maps_are_evidence=maps_are_evidence(manifest),
    )


def has_maps(manifest: ModelManifest) -> bool:
    """Whether the network says where each finding comes from."""
    return bool(manifest.extra.get(MAPS) != NO_MAPS)


def maps_are_evidence(manifest: ModelManifest) -> bool | None:
    """Whether the maps point into drawn boxes more often than a guess without the image.

    The guess is the usual place of each finding. None where one of the two was not measured.
    """
    maps = manifest.metric(_POINTING, "all")
    blind = manifest.metric(_POINTING, "all/baseline=prior")
    if maps is None or blind is None:
        return None
    return maps.value > blind.value
