"""How alike two images of one set are: MS-SSIM (Wang, Simoncelli and Bovik 2003).

As Odena, Olah and Shlens (ICML 2017) use it: near 1 where a generator makes one image again and
again. A set is compared with another of the same size, for the figure depends on it.
"""

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

from cxr_gan.judging.distances import Numbers
from cxr_gan.judging.extractor import Images

KERNEL_PX = 11
# Of the five scales, finest first; a small image has room for fewer.
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_AT_ONCE = 50


def pair_similarities(
    images: Images, pairs: int, seed: int, groups: npt.NDArray[np.str_]
) -> Numbers:
    """MS-SSIM of random pairs of different `groups` (patients), each image in at most one pair."""
    order = np.random.default_rng(seed).permutation(len(images))
    half = len(order) // 2
    first, second = order[:half], order[half : 2 * half]
    apart = groups[first] != groups[second]
    first, second = first[apart][:pairs], second[apart][:pairs]
    exponents = exponents_for(images.shape[1])
    found = []
    with torch.inference_mode():
        for start in range(0, len(first), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            one, other = (_as_tensor(images[rows[some]]) for rows in (first, second))
            found.append(
                ms_ssim(
                    one,
                    other,
                    kernel_size=KERNEL_PX,
                    reduction="none",
                    data_range=1.0,
                    betas=exponents,
                    # A negative contrast term to the power of a fraction is no number.
                    normalize="relu",
                )
                .double()
                .numpy()
            )
    return np.concatenate(found)


def exponents_for(side_px: int) -> tuple[float, ...]:
    """The exponents of as many scales as fit, scaled to the same sum.

    The coarsest scale has to be larger than the kernel: two scales for 32 px, three for 64.
    """
    scales = 1
    while scales < len(_EXPONENTS) and side_px // 2**scales > KERNEL_PX:
        scales += 1
    used = _EXPONENTS[:scales]
    return tuple(value / sum(used) * sum(_EXPONENTS) for value in used)


def _as_tensor(images: Images) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float32) / 255.0)[:, None]
