"""Settings of the detector, `CXR_DETECTOR_*` in the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from cxr_serving.model_folder import MODEL_NAME
from cxr_serving.settings import InferenceSettings


class DetectorSettings(InferenceSettings):
    """See `InferenceSettings` for the others."""

    model_config = SettingsConfigDict(env_prefix="CXR_DETECTOR_")

    port: int = Field(default=8002, ge=0, le=65535)
    model_dir: Path = Field(
        default=Path("models/detector"),
        description="A published model's folder, or that of several: `model` says which, or the "
        "file DEFAULT in it.",
    )
    model: str | None = Field(
        default=None, pattern=MODEL_NAME, description="The name of one in `model_dir`."
    )
