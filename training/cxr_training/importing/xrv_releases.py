"""torchxrayvision's published weights: where each lies, what its outputs mean, and its thresholds.

The facts are those of its `model_urls` (torchxrayvision 1.5.7, Cohen et al. 2022, Apache-2.0);
a test holds this table against the library itself.
"""

from dataclasses import dataclass

LICENCE = "Apache-2.0"
_FOLDER = "https://github.com/mlmed/torchxrayvision/releases/download/v1/"
_DENSENET = "densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt"
# The order of the outputs wherever the library itself says nothing else.
DEFAULT_OUTPUTS = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema"),
    *("Fibrosis", "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule"),
    *("Mass", "Hernia", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"),
)


@dataclass(frozen=True, slots=True)
class Release:
    """One file of weights.

    `names` and `thresholds` go by output; an output that was not trained has an empty name, or
    no threshold, or neither.
    """

    file: str
    data: str
    thresholds: tuple[float | None, ...]
    names: tuple[str, ...]
    network: str = "densenet121"
    size_px: int = 224

    @property
    def url(self) -> str:
        """Where the library itself downloads it from."""
        return _FOLDER + self.file


def _densenet(prefix: str, data: str, *thresholds: float | None) -> Release:
    named = zip(DEFAULT_OUTPUTS, thresholds, strict=True)
    return Release(
        file=prefix + "-" + _DENSENET,
        data=data,
        thresholds=thresholds,
        names=tuple("" if threshold is None else name for name, threshold in named),
    )


_NIH = "NIH ChestX-ray14"
# fmt: off
RELEASES = {
    "densenet121-res224-all": _densenet(
        "nih-pc-chex-mimic_ch-google-openi-kaggle",
        f"{_NIH}, PadChest, CheXpert, MIMIC-CXR, Google's relabelled NIH, OpenI, RSNA Pneumonia",
        0.07422872, 0.038290843, 0.09814756, 0.0098118475, 0.023601074, 0.0022490358,
        0.010060724, 0.103246614, 0.056810737, 0.026791653, 0.050318155, 0.023985857,
        0.01939503, 0.042889766, 0.053369623, 0.035975814, 0.20204692, 0.05015312,
    ),
    "densenet121-res224-nih": _densenet(
        "nih", _NIH,
        0.039117552, 0.0034529066, 0.11396341, 0.0057298196, 0.00045666535, 0.0018880932,
        0.012037827, 0.038744126, 0.0037213727, 0.014730946, 0.016149804, 0.054241467,
        0.037198864, 0.0004403434, None, None, None, None,
    ),
    "densenet121-res224-pc": _densenet(
        "pc", "PadChest",
        0.031012505, 0.013347598, 0.081435576, 0.001262615, 0.002587246, 0.0035944257,
        0.0023071, 0.055412333, 0.044385884, 0.042766232, 0.043258056, 0.037629247,
        0.005658899, 0.0091741895, None, 0.026507627, None, None,
    ),
    "densenet121-res224-chex": _densenet(
        "chex", "CheXpert",
        0.1988969, 0.05710573, None, 0.0531293, 0.1435217, None,
        None, 0.27212676, 0.07749717, None, 0.19712369, None,
        None, None, 0.09932402, 0.09273402, 0.3270967, 0.10888247,
    ),
    "densenet121-res224-rsna": _densenet(
        "kaggle", "RSNA Pneumonia",
        None, None, None, None, None, None, None, None, 0.13486601,
        None, None, None, None, None, None, None, 0.13511065, None,
    ),
    "densenet121-res224-mimic_nb": _densenet(
        "mimic_nb", "MIMIC-CXR",
        0.08558747, 0.011884617, None, 0.0040595434, 0.010733786, None,
        None, 0.118761964, 0.022924708, None, 0.06358637, None,
        None, None, 0.022143636, 0.017476924, 0.1258702, 0.014020768,
    ),
    "densenet121-res224-mimic_ch": _densenet(
        "mimic_ch", "MIMIC-CXR",
        0.09121389, 0.010573786, None, 0.005023008, 0.003698257, None,
        None, 0.08001232, 0.037242252, None, 0.05006329, None,
        None, None, 0.019866971, 0.03823637, 0.11303808, 0.0069147074,
    ),
    "resnet50-res512-all": Release(
        file="pc-nih-rsna-siim-vin-resnet50-test512-e400-state.pt",
        data=f"PadChest, {_NIH}, RSNA Pneumonia, SIIM-ACR Pneumothorax, VinDr-CXR",
        thresholds=(
            0.51570356, 0.50444704, 0.53787947, 0.50723547, 0.5025118, 0.5035252,
            0.5038076, 0.51862943, 0.5078151, 0.50724894, 0.5056339, 0.510706,
            0.5053923, 0.5020846, None, 0.5080557, 0.5138526, None,
        ),
        names=DEFAULT_OUTPUTS,
        network="resnet50",
        size_px=512,
    ),
}
# fmt: on
