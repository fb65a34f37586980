from __future__ import annotations

import logging
import socket
import subprocess
import sys
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto import settings as moto_settings
from moto.core.authorization import ActionAuthenticatorMixin

from outagecast.errors import ChannelError, ConfigError, OutagecastError, Rejected, Unavailable, Uncertain
from outagecast.s3 import Bucket, Outrun, Storage
from outagecast.secret import Secret
from tests.storage import S3

HTML = {"content_type": "text/html; charset=utf-8", "cache_control": "max-age=10"}
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION")


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in AWS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("S3_KEY", "AKIAEXAMPLE")
    monkeypatch.setenv("S3_SECRET", f"canary{uuid.uuid4().hex}")


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with S3() as server:
        yield server


@pytest.fixture
def s3(server: S3) -> S3:
    return server.afresh()


@pytest.fixture
def storage(s3: S3) -> Iterator[Storage]:
    storage = Storage(s3.bucket())
    yield storage
    storage.close()


@pytest.fixture
def guarded(s3: S3) -> Iterator[Any]:
    """The same server, which for now asks for credentials that its IAM knows; a key of somebody without rights."""
    iam = s3.another("iam")
    iam.create_user(UserName="page")
    before = moto_settings.INITIAL_NO_AUTH_ACTION_COUNT
    key = iam.create_access_key(UserName="page")["AccessKey"]
    moto_settings.INITIAL_NO_AUTH_ACTION_COUNT, ActionAuthenticatorMixin.request_count = 0, 0
    yield key
    moto_settings.INITIAL_NO_AUTH_ACTION_COUNT = before
    iam.delete_access_key(UserName="page", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="page")


def refused(storage: Storage, name: str = "index.html") -> OutagecastError:
    with pytest.raises(OutagecastError) as caught:
        storage.get(name)
    return caught.value


def test_neither_the_module_nor_its_objects_load_boto3() -> None:
    code = (
        "import sys; from outagecast.s3 import *; Storage(Bucket(address='s3://pages')); print('boto3' in sys.modules)"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown == "False\n"


@pytest.mark.parametrize(
    ("address", "name", "prefix"),
    [
        ("s3://pages", "pages", ""),
        ("s3://pages/", "pages", ""),
        ("s3://pages.example.com/a/b.c", "pages.example.com", "a/b.c/"),
        ("s3://pages/status/", "pages", "status/"),
    ],
)
def test_an_address_names_a_bucket_and_what_stands_before_every_name(address: str, name: str, prefix: str) -> None:
    bucket = Bucket(address=address)

    assert (bucket.name, bucket.prefix) == (name, prefix)


@pytest.mark.parametrize(
    "address",
    ["pages", "s3:/pages", "s3://", "s3://AB", "https://pages", "s3://pages//a", "s3://pages/../a", "s3://pages/a b"],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="publish must be s3://bucket"):
        Bucket(address=address)


@pytest.mark.parametrize(
    "url", ["minio.example.com", "ftp://minio", "https://ana:secret@minio.example.com", "https://"]
)
def test_an_endpoint_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="endpoint_url must be a whole address"):
        Bucket(address="s3://pages", endpoint_url=url)


def test_half_of_a_pair_of_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        Bucket(address="s3://pages", access_key_id=Secret("env:S3_KEY"))


def test_what_was_put_is_got_and_listed_with_its_type_and_age(s3: S3, storage: Storage) -> None:
    storage.put("a/ro.html", b"unu", **HTML)

    held = storage.get("a/ro.html")
    there = s3.client.head_object(Bucket=s3.name, Key="status/a/ro.html")
    assert held is not None
    assert (held.data, dict(storage.etags())) == (b"unu", {"a/ro.html": held.etag})
    assert (there["ContentType"], there["CacheControl"]) == tuple(HTML.values())


def test_what_is_not_there_is_none(storage: Storage) -> None:
    assert storage.get("index.html") is None
    assert list(storage.etags()) == []


def test_a_listing_goes_on_over_its_pages(s3: S3, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")  # instead of 1,000
    names = [f"{number}.html" for number in range(5)]
    for name in names:
        s3.put(f"status/{name}", b"")

    assert list(dict(storage.etags())) == names


def test_an_object_takes_the_place_of_the_one_that_was_seen_and_of_no_other(s3: S3, storage: Storage) -> None:
    storage.swap("index.html", None, b"one", **HTML)
    seen = storage.get("index.html")
    storage.swap("index.html", seen, b"two", **HTML)

    with pytest.raises(Outrun):
        storage.swap("index.html", seen, b"three", **HTML)
    with pytest.raises(Outrun):
        storage.swap("index.html", None, b"three", **HTML)
    assert s3.objects == {"status/index.html": b"two"}


def test_an_object_that_somebody_took_away_is_not_replaced(s3: S3, storage: Storage) -> None:
    storage.put("index.html", b"one", **HTML)
    seen = storage.get("index.html")
    s3.client.delete_object(Bucket=s3.name, Key="status/index.html")

    with pytest.raises(Outrun):
        storage.swap("index.html", seen, b"two", **HTML)


def test_a_bucket_that_is_missing_is_the_owners_to_make(s3: S3) -> None:
    error = refused(Storage(replace(s3.bucket(), address="s3://not-there")))

    assert isinstance(error, Rejected)
    assert (error.account, error.code, error.hint) == (True, "NoSuchBucket", "make the bucket, or correct `publish`")


def test_credentials_that_the_storage_does_not_know_are_the_owners_to_change(storage: Storage, guarded: Any) -> None:
    error = refused(storage)

    assert isinstance(error, Rejected)
    assert (error.account, error.code) == (True, "InvalidAccessKeyId")


@pytest.mark.parametrize(("is_right", "code"), [(True, "AccessDenied"), (False, "SignatureDoesNotMatch")])
def test_credentials_without_rights_and_wrong_ones_are_told_apart(
    storage: Storage, guarded: Any, monkeypatch: pytest.MonkeyPatch, is_right: bool, code: str
) -> None:
    monkeypatch.setenv("S3_KEY", guarded["AccessKeyId"])
    monkeypatch.setenv("S3_SECRET", guarded["SecretAccessKey"] if is_right else "w" * 40)

    error = refused(storage)

    assert isinstance(error, Rejected)
    assert (error.account, error.code) == (True, code)


def test_without_any_credentials_it_says_where_they_could_stand(s3: S3) -> None:
    error = refused(Storage(replace(s3.bucket(), access_key_id=None, secret_access_key=None)))

    assert isinstance(error, ConfigError)
    assert "no AWS credentials were found (aws configure; or name them" in str(error)
    assert s3.asked == []


@pytest.mark.parametrize("name", ["AWS_PROFILE", "S3_SECRET"])
def test_credentials_that_cannot_be_used_are_an_error_of_the_config(
    s3: S3, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bucket = s3.bucket()
    if name == "S3_SECRET":
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, "nobody")
        bucket = replace(bucket, access_key_id=None, secret_access_key=None)

    assert isinstance(refused(Storage(bucket)), ConfigError)
    assert s3.asked == []


def test_the_usual_places_of_credentials_and_region_are_looked_in(
    s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "aws-credentials").write_text("[page]\naws_access_key_id=AKIAPROFILE\naws_secret_access_key=hush-hush")
    (tmp_path / "aws-config").write_text("[profile page]\nregion=eu-central-1\n")
    monkeypatch.setenv("AWS_PROFILE", "page")
    storage = Storage(replace(s3.bucket(), access_key_id=None, secret_access_key=None))

    storage.get("index.html")
    storage.close()

    assert "Credential=AKIAPROFILE/" in s3.asked[0].headers["AUTHORIZATION"]
    assert "/eu-central-1/s3/" in s3.asked[0].headers["AUTHORIZATION"]


def test_a_login_for_other_programs_does_not_take_the_signatures_place(
    s3: S3, storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ana password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    storage.get("index.html")

    assert s3.asked[0].headers["AUTHORIZATION"].startswith("AWS4-HMAC-SHA256 ")


def test_a_storage_that_is_not_reached_is_certain_to_have_nothing(s3: S3) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        storage = Storage(replace(s3.bucket(), endpoint_url=url))

        with pytest.raises(Unavailable, match="nothing was sent"):
            storage.put("index.html", b"one", **HTML)


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "internal_error", "portal"])
def test_a_write_without_a_clear_answer_may_be_out_and_is_not_tried_again(s3: S3, storage: Storage, fault: Any) -> None:
    s3.behave(fault, "PUT")

    with pytest.raises(Uncertain):
        storage.put("index.html", b"one", **HTML)
    assert [asked.method for asked in s3.asked] == ["PUT"]


def test_a_storage_that_is_busy_did_nothing_and_says_when_to_come_back(s3: S3, storage: Storage) -> None:
    s3.behave("slow_down", "PUT")

    with pytest.raises(Unavailable) as caught:
        storage.put("index.html", b"one", **HTML)
    assert (caught.value.code, caught.value.retry_after) == ("SlowDown", 7.0)


def test_a_page_of_somebody_elses_network_is_not_taken_for_an_object(s3: S3, storage: Storage) -> None:
    s3.behave("portal", "GET")

    with pytest.raises(ChannelError, match="is not a storage's"):
        storage.get("index.html")


@pytest.mark.parametrize("fault", [None, "echo", "reset_after"])
def test_no_error_and_no_log_shows_the_secret(
    s3: S3, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Any
) -> None:
    secret, token = f"canary{uuid.uuid4().hex}", f"canary{uuid.uuid4().hex}"
    for name, value in zip(AWS, ("AKIAEXAMPLE", secret, token), strict=False):
        monkeypatch.setenv(name, value)
    storage = Storage(replace(s3.bucket(), access_key_id=None, secret_access_key=None))
    if fault:
        s3.behave(fault, "PUT")
    told = ""

    with caplog.at_level(logging.DEBUG):
        try:
            storage.put("index.html", b"one", **HTML)
        except ChannelError as error:
            told = "".join(traceback.format_exception(error))
    storage.close()

    assert s3.asked[0].headers["X_AMZ_SECURITY_TOKEN"] == token
    signature = s3.asked[0].headers["AUTHORIZATION"].rpartition("=")[2]
    assert [one for one in (secret, token, signature) if one in told + caplog.text] == []


def test_a_missing_package_is_named_with_what_to_type(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['boto3'] = None\n"
        "from outagecast.s3 import *; from outagecast.errors import ConfigError\n"
        "try: Storage(Bucket(address='s3://pages')).get('index.html')\n"
        "except ConfigError as error: print(error)"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown == "publishing to S3 needs the boto3 package (pip install 'outagecast[s3]')\n"
