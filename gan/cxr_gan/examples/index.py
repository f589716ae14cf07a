"""`index.json` of the examples: what the page, and whoever opens the folder, is told of them."""

from pydantic import BaseModel, ConfigDict, Field

INDEX_NAME = "index.json"


class MadeBy(BaseModel):
    """The published generator; with it and an example's seed the film can be made again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    sha256: str = Field(description="Of its weights.")
    side_px: int = Field(gt=0, description="As it makes them, before they are enlarged.")


class Example(BaseModel):
    """A film in the folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(pattern=r"^synthetic-[a-z0-9-]+\.png$")
    labels: list[str] | None = Field(
        description="What was asked for; empty: no finding; null: the generator takes no labels."
    )
    seed: int = Field(ge=0)
    truncation: float | None
    side_px: int = Field(gt=0)


class ExampleIndex(BaseModel):
    """All of them, in the order in which they are shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    generator: MadeBy | None = Field(description="Null while there are no examples.")
    examples: list[Example]
