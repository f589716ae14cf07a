"""A real S3 server as a process of its own, which a test may stop and start again."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import boto3

BUCKET = "radiographs"
_KEY = "test-key-of-no-value"


@dataclass
class S3Server:
    """Listens on `port`; its content lives as long as its process."""

    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it answers, with an empty bucket."""
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-p", str(self.port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, "the S3 server did not start"
            assert time.monotonic() < deadline, "the S3 server did not answer"
            time.sleep(0.1)
        self.client().create_bucket(Bucket=BUCKET)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def client(self) -> Any:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=_KEY,
            aws_secret_access_key=_KEY,
        )

    def all_keys(self) -> list[str]:
        """Every object's key."""
        return [
            found["Key"]
            for found in self.client().list_objects_v2(Bucket=BUCKET).get("Contents", [])
        ]

    def empty(self) -> None:
        for key in self.all_keys():
            self.client().delete_object(Bucket=BUCKET, Key=key)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Of a gateway that keeps its files here."""
        return {
            "storage": "s3",
            "s3_bucket": BUCKET,
            "s3_endpoint_url": self.url,
            "s3_access_key": _KEY,
            "s3_secret_key": _KEY,
            "s3_timeout_s": 1,
            **more,
        }

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=1):
                return True
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
