"""The heat map by its pixels: where, how strong, how transparent."""

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cxr_gateway.rendering import render_heatmap
from cxr_gateway.rendering.heatmap import colour_ramp


def rgba(values: list[list[float]], width: int = 320, height: int = 320) -> npt.NDArray[np.uint8]:
    image = Image.open(io.BytesIO(render_heatmap(values, width, height)))
    assert image.mode == "P"
    return np.asarray(image.convert("RGBA"))


def one_cell(row: int, column: int, value: float, side: int = 10) -> list[list[float]]:
    grid = np.full((side, side), -1.0)
    grid[row, column] = value
    return [list(row) for row in grid]


def test_the_peak_is_where_the_evidence_is() -> None:
    coloured = rgba(one_cell(2, 7, 5.0))
    rows, columns = np.nonzero(coloured[..., 3] == coloured[..., 3].max())
    assert rows.mean() == pytest.approx(2.5 * 32, abs=2)
    assert columns.mean() == pytest.approx(7.5 * 32, abs=2)
    y, x = int(rows.mean()), int(columns.mean())
    # The top of the ramp, at 0.85 of full opacity.
    assert tuple(coloured[y, x]) == (252, 254, 164, 217)


def test_where_there_is_no_evidence_the_radiograph_is_not_touched() -> None:
    coloured = rgba(one_cell(2, 7, 5.0))
    assert coloured[200:, :, 3].max() == 0
    assert rgba([[-3.0, -1.0], [0.0, -0.5]])[..., 3].max() == 0


def test_faint_evidence_looks_faint() -> None:
    faint, strong = (int(rgba([[value] * 4] * 4)[..., 3].max()) for value in (0.2, 2.0))
    assert 0 < faint < 30
    assert strong == 217
    assert np.array_equal(rgba([[9.0] * 4] * 4), rgba([[2.0] * 4] * 4))


def test_colour_and_opacity_rise_with_the_evidence() -> None:
    colour, alpha = colour_ramp()
    assert alpha[0] == 0
    assert alpha.max() == 217
    assert (np.diff(alpha.astype(int)) >= 0).all()
    luminance = colour @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()
    level = np.linspace(0, 4, 24)
    row = rgba([list(level)] * 6, 480, 120)[60]
    assert (np.diff(row[:, 3].astype(int)) >= 0).all()


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((1841, 1955), (1841, 1955)), ((4096, 2048), (2048, 1024)), ((33, 40), (33, 40))],
)
def test_it_has_the_radiographs_size_up_to_a_bound(
    size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    png = render_heatmap([[0.0, 1.0], [2.0, 3.0]], *size)
    assert Image.open(io.BytesIO(png)).size == drawn
    assert len(png) < 1_000_000


def test_the_same_grid_gives_the_same_bytes() -> None:
    grid = np.random.default_rng(1).normal(size=(16, 16)).tolist()
    assert render_heatmap(grid, 500, 400) == render_heatmap(grid, 500, 400)


@pytest.mark.parametrize(
    "values", [[], [[]], [[1.0, 2.0], [3.0]], [[float("nan")]], [[float("inf")]]]
)
def test_what_is_no_grid_of_numbers_is_refused(values: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"grid of finite numbers|inhomogeneous"):
        render_heatmap(values, 100, 100)
