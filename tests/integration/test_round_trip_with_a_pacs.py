"""A radiograph's way through a hospital: modality, node, gateway, and back into a real archive.

DCMTK is the modality, Debian's Orthanc the archive; node and gateway are processes of their own.
"""

import re
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom

from support.dicom_node import NodeStarter, node, program, radiograph
from support.live_gateway import FakeServices, Starter
from support.pacs import ORTHANC, running_orthanc
from support.waiting import eventually, free_port

__all__ = ["node"]


def test_results_are_found_on_the_same_study_in_the_archive(
    start: Starter, services: FakeServices, node: NodeStarter, tmp_path: Path
) -> None:
    gateway = start()
    node_port = free_port()
    sent_file = tmp_path / "radiograph.dcm"
    sent_file.write_bytes(
        radiograph(1, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë")
    )
    source = pydicom.dcmread(sent_file)
    with running_orthanc(tmp_path / "orthanc", node_port) as orthanc:
        peers = f"""
[[sender]]
ae_title = "MODALITY"
[[sender]]
ae_title = "{ORTHANC}"
[[destination]]
name = "pacs"
ae_title = "{ORTHANC}"
host = "127.0.0.1"
port = {orthanc.dicom_port}
confirm = "commitment"
"""
        running = node(str(gateway.client.base_url), peers, dicom_port=node_port)
        to_archive = [program("storescu"), "-aet", "MODALITY", "-aec", ORTHANC]
        subprocess.run([*to_archive, "127.0.0.1", str(orthanc.dicom_port), sent_file], check=True)
        assert running.send(sent_file).returncode == 0
        eventually(
            lambda: running.count("deliveries", "confirmed") == 4,
            "not everything was confirmed",
            300,
        )
        found = {
            modality: [
                one["00080018"]["Value"][0]
                for one in orthanc.instances(source.StudyInstanceUID, modality)
            ]
            for modality in ("DX", "SR", "PR", "OT")
        }
        assert {modality: len(uids) for modality, uids in found.items()} == {
            "DX": 1, "SR": 2, "PR": 1, "OT": 1,
        }  # fmt: skip
        files: dict[str, Any] = {}
        for modality, uids in found.items():
            for number, uid in enumerate(uids):
                path = tmp_path / f"{modality}-{number}.dcm"
                path.write_bytes(orthanc.file(uid))
                ds = pydicom.dcmread(path)
                assert (ds.PatientID, str(ds.PatientName)) == ("P1", "Müller^Zoë")
                files.setdefault(modality, []).append(path)
        said = "".join(
            subprocess.run(
                [program("dsrdump"), "+Pl", path], check=True, capture_output=True, text=True
            ).stdout
            for path in files["SR"]
        )
        assert re.search(r'"?Mass"?', said)
        # The detector's box, in the pixels of the file.
        assert "10/20,40/20,40/50,10/50,10/20" in said
        drawn = pydicom.dcmread(files["PR"][0]).GraphicAnnotationSequence[0]
        assert drawn.GraphicObjectSequence[0].GraphicData == [
            10,
            20,
            40,
            20,
            40,
            50,
            10,
            50,
            10,
            20,
        ]
        shown = tmp_path / "shown.pgm"
        command = [program("dcmp2pgm"), "-p", files["PR"][0], files["DX"][0], shown]
        subprocess.run(command, check=True, capture_output=True)
        assert shown.read_bytes().startswith(b"P5")
        assert pydicom.dcmread(files["OT"][0]).pixel_array.ndim == 3

        # The archive sends the whole study back: nothing fails, and nothing comes of it.
        query = {"Level": "Study", "Query": {"StudyInstanceUID": source.StudyInstanceUID}}
        identifiers = orthanc.http.post("/tools/find", json=query).json()
        sent = orthanc.http.post("/modalities/node/store", json=identifiers)
        assert sent.status_code == 200, sent.text
        assert sent.json()["FailedInstancesCount"] == 0
        eventually(lambda: running.count("instances", "ignored") == 4, "they were not ignored")
        assert gateway.total() == 1


def test_the_archive_stores_over_the_web_and_results_come_back_over_it(
    start: Starter, services: FakeServices, node: NodeStarter, tmp_path: Path
) -> None:
    gateway = start()
    node_port = free_port()
    sent_file = tmp_path / "radiograph.dcm"
    sent_file.write_bytes(radiograph(1))
    uid = pydicom.dcmread(sent_file).StudyInstanceUID
    with running_orthanc(tmp_path / "orthanc", node_port) as orthanc:
        web = str(orthanc.http.base_url).rstrip("/")
        peers = f"""
[[destination]]
name = "pacs"
protocol = "dicomweb"
url = "{web}/dicom-web"
objects = ["sr", "presentation-state", "secondary-capture", "heat-map", "pdf"]
confirm = "query"
"""
        running = node(str(gateway.client.base_url), peers, dicom_port=node_port)
        to_archive = [program("storescu"), "-aet", "MODALITY", "-aec", ORTHANC]
        subprocess.run([*to_archive, "127.0.0.1", str(orthanc.dicom_port), sent_file], check=True)
        server = {"Url": f"{str(gateway.client.base_url).rstrip('/')}/dicomweb"}
        assert orthanc.http.put("/dicom-web/servers/gateway", json=server).status_code == 200

        def stored() -> httpx.Response:
            found = {"Level": "Study", "Query": {"StudyInstanceUID": uid}}
            resources = orthanc.http.post("/tools/find", json=found).json()
            return orthanc.http.post(
                "/dicom-web/servers/gateway/stow",
                json={"Resources": resources, "Synchronous": True},
            )

        answer = stored()
        assert answer.status_code == 200, answer.text
        [study] = gateway.client.get("/api/v1/studies").json()["items"]
        assert study["status"] == "complete"
        done = running.command("deliver", study["id"], "--to", "pacs")
        assert done.returncode == 0, done.stderr
        eventually(
            lambda: running.count("deliveries", "confirmed") == 6,
            "not everything was confirmed",
            300,
        )
        modalities = {one: len(orthanc.instances(uid, one)) for one in ("SR", "PR", "OT", "DOC")}
        assert modalities == {"SR": 2, "PR": 1, "OT": 2, "DOC": 1}
        # All of it again: reports are no images, and an image that we made is not read.
        stored()
        items = gateway.client.get("/api/v1/studies").json()["items"]
        assert sorted(one["status"] for one in items) == ["complete", "rejected", "rejected"]


def test_none_acknowledged_is_lost_while_node_and_gateway_are_killed(
    start: Starter, services: FakeServices, node: NodeStarter, tmp_path: Path
) -> None:
    port = free_port()
    gateway = start(CXR_GATEWAY_PORT=port)
    url = str(gateway.client.base_url)
    folder = tmp_path / "radiographs"
    folder.mkdir()
    count = 24
    for number in range(count):
        (folder / f"{number}.dcm").write_bytes(radiograph(number))
    running = node(url)
    acknowledged: set[str] = set()
    for step, first in enumerate(range(0, count, 6)):
        paths = [folder / f"{number}.dcm" for number in range(first, first + 6)]
        done = running.send(*paths)
        assert done.returncode == 0, done.stderr
        acknowledged |= {str(pydicom.dcmread(path).SOPInstanceUID) for path in paths}
        if step % 2:
            gateway.kill()
            gateway = start(CXR_GATEWAY_PORT=port)
        else:
            running.kill()
            running = node(url)
    eventually(lambda: running.count("instances", "analysed") == count, "some are missing", 180)
    assert running.counts() == {("instances", "analysed"): count}
    page = gateway.client.get("/api/v1/studies", params={"limit": 200}).json()
    assert page["total"] == count
    assert {item["patient"]["sop_instance_uid"] for item in page["items"]} == acknowledged


def test_the_file_that_arrives_is_the_file_that_was_sent(
    start: Starter, services: FakeServices, node: NodeStarter, tmp_path: Path
) -> None:
    gateway = start()
    running = node(str(gateway.client.base_url))
    content = radiograph(3)
    path = tmp_path / "radiograph.dcm"
    path.write_bytes(content)
    assert running.send(path).returncode == 0
    eventually(lambda: gateway.total() == 1, "no study came")
    [study] = gateway.client.get("/api/v1/studies").json()["items"]
    original = gateway.client.get(f"/api/v1/studies/{study['id']}/original").content
    assert pydicom.dcmread(BytesIO(original)) == pydicom.dcmread(BytesIO(content))
