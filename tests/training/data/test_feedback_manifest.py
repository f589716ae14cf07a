"""From a reader's corrections to a classifier that learns from them: export, read, train."""

import asyncio
import csv
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_contracts import Finding, Region
from cxr_training.classifier.samples import LABELS, MASKED, read_samples
from cxr_training.cli import main
from cxr_training.data.collection import read_collection
from cxr_training.data.errors import DataError
from support.archives import commanded
from support.fake_gateway import FakeService, box, probabilities, running_gateway, settings_for
from support.images import png
from support.quick_training import quick_arguments
from support.synthetic_manifest import whole_rows, write_manifest

CORRECTIONS: list[dict[str, Any]] = [
    {"verdict": "rejected", "target": {"kind": "finding", "finding": "Mass"}, "comment": "=1+1"},
    {"verdict": "rejected", "target": {"kind": "finding", "finding": "Nodule"}},
    {"verdict": "accepted", "target": {"kind": "finding", "finding": "Hernia"}},
    {"verdict": "accepted", "target": {"kind": "box", "index": 0, "region": "Effusion"}},
    {
        "verdict": "added",
        "label": "Fracture",
        "corners": {"x_min": 1, "y_min": 2, "x_max": 11, "y_max": 22},
    },
]


@pytest.fixture
async def exported(tmp_path: Path) -> Path:
    """A folder of corrections of two studies; the second one was only commented on."""
    settings = settings_for(tmp_path / "archive")
    detector = FakeService("detector", boxes=[box(Region.EFFUSION, 0.6, 10, 20, 40, 50)])
    async with running_gateway(settings, detector=detector) as gateway:
        gateway.classifier.findings = probabilities(mass=0.7)
        for seed, changes in ((1, CORRECTIONS), (2, [{"verdict": "commented", "comment": "Hm."}])):
            study = (await gateway.post(png(seed=seed))).json()["id"]
            for change in changes:
                path = f"/api/v1/studies/{study}/review/{uuid.uuid4()}"
                said = await gateway.client.put(path, json={"revision": 1, **change})
                assert said.status_code == 200, said.text
        table = await gateway.client.get("/api/v1/feedback/corrections.csv")
        coco = await gateway.client.get("/api/v1/feedback/coco.json")
        agreement = (await gateway.client.get("/api/v1/agreement", params={"months": 2})).json()
        assert agreement["overall"]["judged"] == len(CORRECTIONS)
        assert agreement["by_month"][-1]["accepted"] == 2
    out = tmp_path / "feedback"
    arguments = ("export", "feedback", "--out", str(out))
    assert await asyncio.to_thread(commanded, settings, *arguments) == 0
    assert (out / "corrections.csv").read_text() == table.text
    assert json.loads((out / "coco.json").read_text()) == coco.json()
    return out


async def test_corrections_are_exported_as_a_table_as_coco_and_as_a_manifest(
    exported: Path,
) -> None:
    with (exported / "corrections.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["verdict"] for row in rows] == [*(x["verdict"] for x in CORRECTIONS), "commented"]
    # A spreadsheet must not compute a reader's words.
    assert rows[0]["comment"] == "'=1+1"
    coco = json.loads((exported / "coco.json").read_text())
    names = {x["id"]: x["name"] for x in coco["categories"]}
    assert [(names[x["category_id"]], x["bbox"]) for x in coco["annotations"]] == [
        ("Effusion", [10, 20, 30, 30]),
        ("Fracture", [1, 2, 10, 20]),
    ]
    [image] = coco["images"]
    assert (exported / image["file_name"]).is_file()
    [read] = read_collection(None, [exported / "manifest.csv"]).images
    assert read.findings == {Finding.NODULE, Finding.EFFUSION}
    said = {Finding.MASS, Finding.NODULE, Finding.HERNIA, Finding.EFFUSION}
    assert read.unknown == set(Finding) - said


async def test_a_classifier_learns_from_corrections(exported: Path, tmp_path: Path) -> None:
    site = write_manifest(tmp_path / "site" / "manifest.csv", whole_rows())
    manifests = [site, exported / "manifest.csv"]
    samples = read_samples(None, manifests)
    [targets] = samples.targets[[path.parent.parent == exported for path in samples.paths]]
    known = {label: value for label, value in zip(LABELS, targets, strict=True) if value != MASKED}
    assert known == {
        Finding.EFFUSION: 1,
        Finding.NODULE: 1,
        Finding.MASS: 0,
        Finding.HERNIA: 0,
    }
    out, given = tmp_path / "run", [part for x in manifests for part in ("--manifest", str(x))]
    arguments = quick_arguments("training.epochs=1")
    assert main(["classifier", "train", *arguments, *given, "--out", str(out)]) == 0
    [line] = (out / "metrics.jsonl").read_text().splitlines()
    assert np.isfinite(json.loads(line)["train_loss"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unknown": "Mass", "findings": "Mass"}, "unknown at once"),
        ({"unknown": "Mass", "split": ""}, "only trains"),
        ({"unknown": "Mass", "split": "validation"}, "only trains"),
        ({"unknown": "Broken rib"}, "Broken_rib"),
    ],
)
def test_what_is_unknown_is_no_finding_and_only_trains(
    tmp_path: Path, change: dict[str, str], sentence: str
) -> None:
    row = {"image": "a.png", "patient": "1", "findings": "No Finding", "split": "train"}
    manifest = write_manifest(tmp_path / "manifest.csv", [row | change])
    with pytest.raises(DataError, match=sentence):
        read_collection(None, [manifest])
