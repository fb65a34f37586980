"""Objects in S3-compatible storage: got, listed, and put where nobody else has put another in the meantime.

boto3 finds the credentials, signs and reads answers; the requests go out by ``outagecast.transport``, as all of ours.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from outagecast.call import Call, DeadlineExceeded
from outagecast.errors import ChannelError, ConfigError, Problem, Rejected, Unavailable, Uncertain
from outagecast.secret import Secret, remember
from outagecast.text import clean

LOOK_UP = 20.0  # seconds for finding credentials, which may ask the machine's cloud or an identity provider
_CREDENTIALS = "give credentials that are good now: aws sts get-caller-identity"
_REGION = "set `region` to the bucket's"
_HINTS = {  # what only the owner can mend: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    "NoSuchBucket": "make the bucket, or correct `publish`",
    "AccessDenied": "let these credentials s3:GetObject and s3:PutObject there, and s3:ListBucket the bucket",
    "AllAccessDisabled": "its owner or the provider has shut it: ask them",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "RequestTimeTooSkewed": "set this machine's clock",
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "NotImplemented": "use a storage that knows conditional writes (If-Match)",
}
_BUSY = {"SlowDown", "ServiceUnavailable", "RequestTimeout"}  # it says that it did nothing
# A write's condition does not hold, or two wrote at once:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_OUTRUN = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}

for _name in ("boto3", "botocore"):  # at DEBUG they log headers and credentials
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Where it is published, as whom. Without keys those of the usual AWS places: environment, profile, role."""

    address: str  # s3://bucket or s3://bucket/prefix
    endpoint_url: str | None = None  # of MinIO, R2 and others; None: AWS
    region: str | None = None
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.-]*\w[\w.-]*)*/?", self.address, re.ASCII):
            raise ValueError("publish must be s3://bucket or s3://bucket/prefix")
        if self.endpoint_url and not re.fullmatch(r"https?://[\w.:\[\]-]+(/[!-~]*)?", self.endpoint_url, re.ASCII):
            raise ValueError("endpoint_url must be a whole address, such as https://minio.example.com")
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together")

    @property
    def name(self) -> str:
        return self.address.split("/")[2]

    @property
    def prefix(self) -> str:
        """What every key begins with: empty, or with a slash at its end."""
        inside = "/".join(self.address.split("/")[3:]).rstrip("/")
        return f"{inside}/" if inside else ""

    @property
    def host(self) -> str:
        """Who answers, for people."""
        return self.endpoint_url.split("/")[2] if self.endpoint_url else "Amazon S3"


class Held(NamedTuple):
    """An object as the storage holds it."""

    etag: str  # names this very content; mostly, its MD5 in quotes
    data: bytes


class Outrun(Exception):
    """There is something else than the write was to replace."""


class Storage:
    """The objects under a bucket's prefix. It opens nothing until it is used.

    Raises Unavailable, Rejected and Uncertain as a channel does, and ConfigError for credentials that cannot be used.
    What it has taken is seen by all at once: https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def get(self, name: str) -> Held | None:
        """An object, or None where there is none."""
        try:
            answer = self._ask("get_object", Key=self._bucket.prefix + name)
            return Held(self._etag(answer), answer["Body"].read())
        except Outrun:
            return None

    def put(self, name: str, data: bytes, *, content_type: str, cache_control: str) -> None:
        """Put an object, in the place of whatever stands there."""
        self._put(name, data, ContentType=content_type, CacheControl=cache_control)

    def swap(self, name: str, old: Held | None, data: bytes, *, content_type: str, cache_control: str) -> None:
        """Put an object in the place of ``old``, or where there is none. Raises Outrun where that is not so."""
        condition = {"IfMatch": old.etag} if old else {"IfNoneMatch": "*"}
        self._put(name, data, ContentType=content_type, CacheControl=cache_control, **condition)

    def etags(self) -> Iterator[tuple[str, str]]:
        """Every object's name, with its ETag."""
        prefix, more = self._bucket.prefix, dict[str, str]()
        while True:
            page = self._ask("list_objects_v2", Prefix=prefix, **more)
            yield from ((one["Key"].removeprefix(prefix), one["ETag"]) for one in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def close(self) -> None:
        """Let go of connections."""
        if "_session" in self.__dict__:
            self._session.close()

    # -- answers ------------------------------------------------------------------------------------------------------

    def _put(self, name: str, data: bytes, **arguments: str) -> None:
        self._etag(self._ask("put_object", Key=self._bucket.prefix + name, Body=data, **arguments))

    def _etag(self, answer: Any) -> str:
        """Proof that it was a storage that answered, and no portal that has a page for everything."""
        if not (etag := answer.get("ETag")):
            raise Uncertain(f"the answer of {self._bucket.host} is not a storage's", hint="look at `endpoint_url`")
        return str(etag)

    def _ask(self, operation: str, **arguments: Any) -> Any:
        client = self._client
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(client, operation)(Bucket=self._bucket.name, **arguments)
        except ClientError as error:
            raise self._refusal(error) from None
        except BotoCoreError as error:
            raise Uncertain(f"the answer of {self._bucket.host} cannot be read ({type(error).__name__})") from None

    def _refusal(self, error: Any) -> ChannelError | Outrun:
        """What an answer that is an error means."""
        from requests.structures import CaseInsensitiveDict

        from outagecast import transport

        about = error.response["ResponseMetadata"]
        status, headers = about["HTTPStatusCode"], CaseInsensitiveDict(about["HTTPHeaders"])
        code, said = clean(error.response["Error"].get("Code")), error.response["Error"].get("Message")
        if code in _OUTRUN:
            return Outrun()
        words = f"{self._bucket.host} answered {code} for {self._bucket.address}: {clean(said) or 'no reason given'}"
        if code in _BUSY:
            return Unavailable(words, code=code, retry_after=transport.retry_after(headers))
        if code in _HINTS:
            return Rejected(words, code=code, hint=_HINTS[code], account=True)
        return transport.refusal(self._bucket.host, status, headers, said, code=code)

    # -- the way there ------------------------------------------------------------------------------------------------

    @cached_property
    def _session(self) -> Any:
        from outagecast import transport

        return transport.Session()

    @cached_property
    def _client(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError:
            problem = Problem("publishing to S3 needs the boto3 package", "pip install 'outagecast[s3]'")
            raise ConfigError(problem) from None
        options = Config(
            retries={"total_max_attempts": 1},  # the engine alone retries
            signature_version="s3v4",
            # Other storages do not know the checksums that newer versions add.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if self._bucket.endpoint_url else "auto"},
        )
        try:
            aws = boto3.session.Session()
            key, secret, token = self._keys(aws)
            client = aws.client(
                "s3",
                region_name=self._bucket.region or aws.region_name or "us-east-1",  # which tells where a bucket is
                endpoint_url=self._bucket.endpoint_url,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=options,
            )
        except (BotoCoreError, ValueError) as error:  # whose words may be those of a program that hands out credentials
            words = f"AWS's settings or credentials cannot be used ({type(error).__name__})"
            raise ConfigError(Problem(words, "aws sts get-caller-identity")) from None
        client.meta.events.register("before-send.s3", self._transmit)
        return client

    def _keys(self, aws: Any) -> tuple[str, str, str | None]:
        """The access key, its secret, and the token of those that are good for some hours only."""
        if self._bucket.access_key_id and self._bucket.secret_access_key:
            return self._bucket.access_key_id.reveal(), self._bucket.secret_access_key.reveal(), None
        from botocore.exceptions import HTTPClientError

        def find() -> Any:
            found = aws.get_credentials()
            return found and found.get_frozen_credentials()

        try:
            found = Call(LOOK_UP).run(find)
        except (DeadlineExceeded, HTTPClientError):
            raise Unavailable("the AWS credentials were not handed out in time; nothing was sent") from None
        if not found:
            hint = "aws configure; or name them in the config: access_key_id: env:…, secret_access_key: env:…"
            raise ConfigError(Problem("no AWS credentials were found", hint))
        for value in filter(None, (found.secret_key, found.token)):
            remember(value)
        return found.access_key, found.secret_key, found.token

    def _transmit(self, request: Any, **_: Any) -> Any:
        """Send what boto3 has signed by our own way out, which knows how far a call got and when it took too long."""
        from botocore.awsrequest import AWSResponse

        signature = str(request.headers["Authorization"]).rpartition("=")[2]
        remember(signature, is_passing=True)
        body = request.body.read() if hasattr(request.body, "read") else request.body
        answer = self._session.request(
            request.method,
            request.url,
            data=body,
            headers=dict(request.headers.items()),
            auth=lambda signed: signed,  # else a ~/.netrc would take the signature's place
        )
        return AWSResponse(request.url, answer.status_code, answer.headers, _Body(answer.content))


class _Body(io.BytesIO):
    """An answer that has been read, as boto3 reads one."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.read()
