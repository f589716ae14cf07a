"""Reading a checkpoint without running anything that stands in it.

A `.pt` file is a pickle, and a pickle is a program: it calls whatever it names. torchxrayvision
saves whole modules, so `weights_only` alone does not read them; before PyTorch 1.6 such a file
also names its classes where `weights_only` lets storages stand alone. So PyTorch reads the file
through an unpickler that knows tensors, containers and the names of module classes, and puts an
object without behaviour in the place of each module. No name outside the list is looked up.
"""

import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import torch
import torch._utils
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cxr_training.importing import ModelImportError

_ZIP = b"PK\x03\x04"
# The pickle of PyTorch's magic number, with which every file before 1.6 begins.
_BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# Where a training checkpoint keeps its weights; averaged ones first, as timm does.
_STATE_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")
# What wrappers for several GPUs and for compilation put before every name.
_PREFIXES = ("module.", "_orig_mod.")
_TENSOR_PARTS = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"}
_OBJECTS = {
    ("argparse", "Namespace"),  # timm's training options
    ("torch.nn.backends.thnn", "_get_thnn_function_backend"),  # in modules before PyTorch 1.4
}
# Numbers of numpy's own kind, as they stand in training options: nothing reads them.
_NUMBERS = {
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
}
_MODULE_CLASSES = ("torch.nn.modules.", "torchxrayvision.models")


class _Sealed(type):
    """A class that unpickling cannot change."""

    def __setattr__(cls, name: str, value: object) -> NoReturn:
        raise pickle.UnpicklingError(f"it changes {cls.__name__}.{name}")


class SavedObject(metaclass=_Sealed):
    """In place of an object of a checkpoint: its attributes, and nothing that they could do."""

    # PyTorch asks it of the classes of a file before 1.6.
    dump_patches = False


class _Ignored(metaclass=_Sealed):
    """In place of a number of numpy's: built of anything, it is nothing."""

    def __init__(self, *_arguments: Any) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Callable:
    """A function that a checkpoint may call and not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module in {"builtins", "__builtin__"} and name == "set":
            return set
        if module == "torch._utils" and name in _TENSOR_PARTS:
            return _Callable(getattr(torch._utils, name))
        if (module, name) in _NUMBERS:
            return _Ignored
        if (module, name) in _OBJECTS or f"{module}.".startswith(_MODULE_CLASSES):
            return SavedObject
        raise pickle.UnpicklingError(f"it names {module}.{name}")


# What `torch.load` wants of a pickle module.
_PICKLE = SimpleNamespace(
    __name__="sealed",
    Unpickler=_Unpickler,
    load=lambda file, **options: _Unpickler(file, **options).load(),
)


def read_checkpoint(path: Path) -> object:
    """The content of a `.safetensors`, `.pt` or `.pth` file, modules as `SavedObject`.

    Raises:
        ModelImportError: there is no such file, it is no checkpoint, or it asks for more than
            tensors and modules.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_BEFORE_1_6))
        if path.suffix == ".safetensors":
            return load_file(path)
        if not head.startswith((_ZIP, _BEFORE_1_6)):
            raise ValueError("it begins like neither of PyTorch's formats")
        if _is_torchscript(path):
            raise ValueError("it is a TorchScript program: export its state dict")
        with warnings.catch_warnings():
            # That the classes of an old file are not those of today: they are not used.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_PICKLE)
    except pickle.UnpicklingError as error:
        raise ModelImportError(
            f"{path} is refused and nothing of it was run: {error}, where a checkpoint needs "
            "nothing but tensors and modules; ask its author for the state dict alone"
        ) from error
    except FileNotFoundError as error:
        raise ModelImportError(f"{path} cannot be read: {error.strerror}") from error
    except SafetensorError as error:
        raise ModelImportError(f"{path} is not a safetensors file: {error}") from error
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelImportError(f"{path} is not a PyTorch checkpoint: {reason}") from error


def state_of(saved: object, path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint's network by name, float32 on the CPU where they are floats.

    Raises:
        ModelImportError: it holds none.
    """
    if isinstance(saved, Mapping):
        for key in _STATE_KEYS:
            if isinstance(saved.get(key), Mapping | SavedObject):
                return state_of(saved[key], path)
        found = {str(name): value for name, value in saved.items() if isinstance(value, Tensor)}
    else:
        found = dict(_tensors(saved))
    if not found:
        raise ModelImportError(f"{path} holds no weights: no module and no tensors by name")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return {
        name: tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
        for name, tensor in found.items()
    }


def attribute(saved: object, name: str) -> object:
    """An attribute that the saved module itself carries, or None."""
    return vars(saved).get(name) if isinstance(saved, SavedObject) else None


def _is_torchscript(path: Path) -> bool:
    # PyTorch would hand such a file to another loader, past the unpickler above.
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _tensors(saved: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """What `state_dict()` of the saved module would list: parameters and buffers by path."""
    for kind in ("_parameters", "_buffers", "_modules"):
        entries = attribute(saved, kind)
        for name, value in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            elif kind == "_modules":
                yield from _tensors(value, f"{prefix}{name}.")
