"""The test set is opened to evaluate on, and by nothing that trains, fits or calibrates."""

import ast
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import cxr_gan
import cxr_training
from cxr_gan.cli import main as cxr_gan_main
from cxr_training.cli import main as cxr_main
from cxr_training.data import chestxdet, nih
from cxr_training.data.annotations import read_annotations
from cxr_training.data.collection import read_collection
from cxr_training.data.errors import DataError, HeldOutError
from cxr_training.data.nih import read_boxed
from cxr_training.data.splits import Split
from cxr_training.data.test_set import read_test_set
from support.synthetic_manifest import whole_rows, write_manifest
from support.synthetic_nih import write_nih
from support.synthetic_radiographs import SyntheticData, write_small_data

PACKAGES = [Path(package.__file__ or "").parent for package in (cxr_training, cxr_gan)]
CONFIGS = Path(__file__).parents[3] / "training/configs"
GAN_CONFIGS = Path(__file__).parents[3] / "gan/configs"
# Of each command that trains, fits, calibrates or tunes: the program and its arguments, with DATA
# for a folder of test patients.
CLASSIFIER = ["classifier", "train", "--config", str(CONFIGS / "classifier.yaml"), "--out", "OUT"]
COMMANDS: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
    "classifier train": (cxr_main, [*CLASSIFIER, "--data", "DATA"]),
    "classifier train, a manifest": (cxr_main, [*CLASSIFIER, "--manifest", "DATA/own.csv"]),
    "gan train": (
        cxr_gan_main,
        ["train", "--config", str(GAN_CONFIGS / "dcgan.yaml"), "--data", "DATA", "--out", "OUT"],
    ),
}
PUBLISHED = str(CONFIGS.parents[1] / "models/detector/yolov5n-both")
FROM_DATA = ["--data", "DATA", "--out", "OUT"]
DETECTOR_CONFIG = str(CONFIGS / "detector/yolov5n-both.yaml")
for arguments in (
    [
        "detector",
        "train",
        "--config",
        DETECTOR_CONFIG,
        "--data",
        "DATA",
        "--out",
        "OUT",
    ],
    ["detector", "calibrate", "--model", PUBLISHED, "--data", "DATA"],
    [*("detector", "pseudo-label", "--model", PUBLISHED), *FROM_DATA],
    ["quantise", "--model", PUBLISHED, "--data", "DATA"],
    ["ood", "train", "--data", "DATA", "--out", "OUT"],
    ["drift", "reference", "--data", "DATA", "--out", "OUT"],
):
    COMMANDS[" ".join(arguments[:2])] = (cxr_main, arguments)
# What may open it: evaluation, verification, and the check of a data set, which learns nothing.
MAY_READ = (
    "evaluat",
    "verif",
    "check",
    # What `evaluate --split test` opens; a fit asks for validation patients by name.
    "detector/published.py",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data with a test set, whose patients NIH's official list names."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "test"
    drawn = SyntheticData(folder)
    box = ("Effusion", 100.0, 600.0, 300.0, 300.0)
    names = [drawn.add(Split.TRAIN, findings="Effusion", det=[box]), drawn.add(Split.VALIDATION)]
    drawn.add(Split.TRAIN, nih=[box])
    drawn.write()
    names += [path.name for path in drawn.nih.glob("images/*.png") if path.name not in names]
    (drawn.nih / "test_list.txt").write_text("\n".join(names) + "\n")
    write_manifest(folder / "own.csv", whole_rows())
    return root


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_that_learns_opens_it(
    data: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main, arguments = COMMANDS[command]
    places = {"DATA": str(data / "test"), "OUT": str(tmp_path / "out")}
    for place, path in places.items():
        arguments = [argument.replace(place, path) for argument in arguments]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "is part of a test set" in said
    assert str(data / "test") in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "read",
    [
        lambda folder: nih.read_images(folder / "nih"),
        lambda folder: read_boxed(folder / "nih"),
        lambda folder: read_collection(folder / "nih"),
        lambda folder: read_collection(None, [folder / "own.csv"]),
        lambda folder: chestxdet.read_images(folder / "chestx-det"),
    ],
)
def test_every_reader_refuses_it_by_name(data: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(HeldOutError, match=r"/test/.* is part of a test set"):
        read(data / "test")


def test_it_is_known_by_its_patients_under_another_name_too(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "test", tmp_path / "renamed")
    with pytest.raises(HeldOutError):
        read_boxed(tmp_path / "renamed/nih")


def test_a_part_of_nih_with_patients_to_train_on_is_no_test_set(tmp_path: Path) -> None:
    root = write_nih(tmp_path, n_patients=10)
    (root / "test_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    splits = read_boxed(root).splits
    assert splits["00000001"] is Split.TEST
    assert set(splits.values()) > {Split.TEST}


def test_all_its_patients_are_test_patients_whoever_drew_boxes_on_them(data: Path) -> None:
    for root in (data, data / "test"):
        held_out = read_test_set(root)
        assert set(held_out.boxed.splits.values()) == {Split.TEST}
        assert len(held_out.boxed.images) == len(held_out.collection.images) == 3
        assert held_out.boxed.boxes
        assert [len(image.boxes) for image in held_out.annotated] == [1]


def test_a_full_download_does_not_train_on_patients_of_the_test_set_beside_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(data / "test", tmp_path / "test")
    full = write_small_data(tmp_path)
    reported = {image.patient for image in read_test_set(tmp_path).boxed.images.values()}
    # As in NIH's own folder: the official list names them, and NIH drew boxes on one.
    (full.nih / "test_list.txt").write_text("".join(f"{one}_000.png\n" for one in reported))
    boxed = min(reported)
    with (full.nih / nih.BOX_LIST).open("a") as stream:
        stream.write(f"{boxed}_000.png,Effusion,100,600,300,300,,,\n")
    for splits in (
        read_boxed(full.nih).splits,
        read_collection(full.nih).splits,
        read_annotations(tmp_path).splits,
    ):
        assert {splits[patient] for patient in reported} == {Split.TEST}
        assert {Split.TRAIN, Split.VALIDATION} < set(splits.values())
    own = write_manifest(
        tmp_path / "own.csv",
        [{**whole_rows()[0], "patient": f"nih:{boxed}", "split": "train"}],
    )
    with pytest.raises(DataError, match="is in train here and in test by NIH's split"):
        read_collection(full.nih, [own])
    cxr_main(["data", "check", str(tmp_path), "--processes", "1"])
    said = f"{len(reported)} patient(s) of the test set in {tmp_path / 'test'}: kept from training"
    assert said in capsys.readouterr().out


def test_what_is_no_test_set_is_not_opened_as_one(tmp_path: Path) -> None:
    write_nih(tmp_path, n_patients=5)
    with pytest.raises(DataError, match="holds no test set"):
        read_test_set(tmp_path)


def test_a_check_may_read_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cxr_main(["data", "check", str(data / "test/nih"), "--processes", "1"])
    out = capsys.readouterr().out
    [patients] = [line.split() for line in out.splitlines() if line.startswith("patients ")]
    assert patients == ["patients", "0", "0", "3"]


def test_only_code_that_evaluates_asks_for_it() -> None:
    asking = {
        path.relative_to(package.parent).as_posix()
        for package in PACKAGES
        for path in package.rglob("*.py")
        if asks(ast.parse(path.read_text()))
    }
    readers = {f"cxr_training/data/{name}.py" for name in ("annotations", "check", "test_set")}
    assert readers <= asking
    assert not [x for x in asking - readers if not any(word in x for word in MAY_READ)]


def asks(module: ast.Module) -> bool:
    """Whether it imports a reader of the test set, or has a reader let a test set pass."""
    nodes = list(ast.walk(module))
    imported = {
        name.name for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names
    }
    passed = {
        ast.unparse(node.value)
        for node in nodes
        if isinstance(node, ast.keyword) and node.arg == "held_out"
    }
    return bool({"read_test_set", "read_test_annotations"} & imported) or "True" in passed


def test_a_large_image_may_be_a_webp_of_the_same_stem(tmp_path: Path) -> None:
    root = write_nih(tmp_path, n_patients=2)
    png = root / "images/00000001_000.png"
    with Image.open(png) as image:
        image.save(png.with_suffix(".webp"), lossless=True)
    with pytest.raises(DataError, match="is the same image as"):
        nih.read_images(root)
    before = png.read_bytes()
    png.unlink()
    images = {image.name: image.path for image in nih.read_images(root)}
    assert images[png.name] == png.with_suffix(".webp")
    png.write_bytes(before)
