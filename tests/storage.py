"""An S3 of somebody else's making, moto's, on this machine; with a way to it on which things go wrong."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from outagecast.s3 import Bucket
from outagecast.secret import Secret

Fault = Literal["reset_before", "reset_after", "internal_error", "slow_down", "portal", "echo"]
_REFUSALS = {"internal_error": ("500 Oh", "InternalError"), "slow_down": ("503 Oh", "SlowDown")}


class Asked(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's own word
        """Nothing."""


class S3(AbstractContextManager["S3"]):
    """A server on a port of its own; ``afresh`` makes an empty bucket, and forgets what was asked and planned."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._plan: list[tuple[str, str, Fault | Callable[[], object]]] = []
        self.asked: list[Asked] = []
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.name = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def afresh(self) -> Self:
        self._plan.clear()
        self.name = f"pages-{uuid.uuid4().hex}"
        self.client.create_bucket(Bucket=self.name)
        self.asked.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @cached_property
    def client(self) -> Any:
        """boto3's own, as another program would use it."""
        return self.another("s3")

    def another(self, service: str) -> Any:
        """A client for what moto does beside S3."""
        keys = {"aws_access_key_id": "another", "aws_secret_access_key": "program"}
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1", **keys)

    def bucket(self, prefix: str = "status") -> Bucket:
        """The bucket as a config names it."""
        return Bucket(
            address=f"s3://{self.name}/{prefix}".rstrip("/"),
            endpoint_url=self.url,
            access_key_id=Secret("env:S3_KEY"),
            secret_access_key=Secret("env:S3_SECRET"),
        )

    @property
    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket."""
        client = self.client
        keys = [one["Key"] for one in client.list_objects_v2(Bucket=self.name).get("Contents", ())]
        return {key: client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys}

    def put(self, key: str, data: bytes) -> None:
        """Somebody else writes."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def behave(self, fault: Fault | Callable[[], object], method: str, end: str = "") -> None:
        """Have the next request of this method, whose path ends so, meet a fault, or something be done before it."""
        self._plan.append((method, end, fault))

    def _taken(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._moto(environ, start)
        return answer

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        named = {name.removeprefix("HTTP_"): str(value) for name, value in environ.items() if name.isupper()}
        self.asked.append(Asked(method, path, named))
        planned = next((one for one in self._plan if one[0] == method and path.endswith(one[1])), None)
        if planned is None:
            return self._taken(environ, start)
        self._plan.remove(planned)
        fault = planned[2]
        if callable(fault):
            fault()
            return self._taken(environ, start)
        if fault == "reset_after":
            b"".join(self._taken(environ, lambda *_: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if fault.startswith("reset"):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        if fault == "portal":
            start("200 OK", [("Content-Type", "text/html")])
            return [b"<title>Please sign in</title>"]
        if fault == "echo":
            told = (named["AUTHORIZATION"][-64:], named["X_AMZ_SECURITY_TOKEN"], os.environ["AWS_SECRET_ACCESS_KEY"])
            start("400 Oh", [("Content-Type", "application/xml")])
            return [f"<?xml version='1.0'?><Error><Code>Echo</Code><Message>{told}</Message></Error>".encode()]
        status, code = _REFUSALS[fault]
        start(status, [("Content-Type", "application/xml"), ("Retry-After", "7")])
        return [f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Try again.</Message></Error>".encode()]
