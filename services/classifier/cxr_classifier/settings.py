"""Settings of the classifier, `CXR_CLASSIFIER_*` in the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from cxr_serving.settings import InferenceSettings


class ClassifierSettings(InferenceSettings):
    """See `InferenceSettings` for the others."""

    model_config = SettingsConfigDict(env_prefix="CXR_CLASSIFIER_")

    port: int = Field(default=8001, ge=0, le=65535)
    model_dir: Path = Path("models/classifier/lite0-cxr")
