"""What others would do, for the benches: ``python clients.py CLIENT PORT COUNT CONNECTIONS``, one line of JSON.

It imports nothing of outagecast, so that it runs wherever the library in question is installed.
"""

from __future__ import annotations

import asyncio
import json
import resource
import smtplib
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

SENDER = "status@example.com"
SIZE = 3000  # bytes of a mail
TEXT = (
    "Example Bank: Card payments are failing. Our debit and credit cards are being declined in shops and online. "
    "Cash machines still work. We are sorry. Next update by 7:30 pm."
)
ACCOUNT, TOKEN, SERVICE = "AC" + "0" * 32, "rehearsal", "MG" + "0" * 32


def mail() -> bytes:
    """A mail of ``SIZE`` bytes that is not built anew for each recipient: the least these clients can do."""
    head = b"From: Example Bank <status@example.com>\r\nSubject: Card payments are failing\r\n\r\n"
    line = b"Our debit and credit cards are being declined in shops and online.\r\n"
    return (head + line * (SIZE // len(line) + 1))[: SIZE - 2] + b"\r\n"


def smtplib_threads(port: int, count: int, connections: int) -> None:
    """As many threads as connections, each with one that is kept."""
    content, numbers = mail(), iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        with smtplib.SMTP("127.0.0.1", port, "localhost") as server:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                server.sendmail(SENDER, [f"someone{number}@example.com"], content)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def aiosmtplib_loop(port: int, count: int, connections: int) -> None:
    """The same with tasks."""
    import aiosmtplib

    content, numbers = mail(), iter(range(count))

    async def work() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as server:
            for number in numbers:
                await server.sendmail(SENDER, [f"someone{number}@example.com"], content)

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(connections)))

    asyncio.run(main())


def twilio_sdk(port: int, count: int, connections: int, limit: int | None = None) -> None:
    """Twilio's own client with asyncio; ``limit``: open connections, where aiohttp's 100 are not to be the limit."""
    import aiohttp
    from twilio.http.async_http_client import AsyncTwilioHttpClient
    from twilio.rest import Client

    async def main() -> None:
        http = AsyncTwilioHttpClient()
        if limit:
            await http.session.close()
            http.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit))
        client = Client(ACCOUNT, TOKEN, http_client=http)
        client.api.base_url = f"http://127.0.0.1:{port}"
        numbers = iter(range(count))

        async def work() -> None:
            for number in numbers:
                sent = await client.messages.create_async(
                    to=_phone(number), body=TEXT, messaging_service_sid=SERVICE, validity_period=14400
                )
                assert sent.sid

        await asyncio.gather(*(work() for _ in range(connections)))
        await http.session.close()

    asyncio.run(main())


def twilio_sdk_unlimited(port: int, count: int, connections: int) -> None:
    """The same with as many connections as there are requests in flight."""
    twilio_sdk(port, count, connections, limit=connections)


def bare_loop(port: int, count: int, connections: int) -> None:
    """asyncio's protocols and bytes written by hand: no ledger, no journal, no judgement of the answer."""
    from base64 import b64encode

    login = b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    head = (
        f"POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Basic {login}\r\nAccept: application/json\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
    )
    rest = f"&Body={quote(TEXT)}&MessagingServiceSid={SERVICE}&ValidityPeriod=14400"
    numbers = iter(range(count))

    class Talk(asyncio.Protocol):
        def __init__(self, end: asyncio.Future[None]) -> None:
            self.end, self.waiting = end, b""

        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.ask()

        def ask(self) -> None:
            number = next(numbers, None)
            if number is None:
                self.transport.close()
                return
            body = f"To={quote(_phone(number), safe='')}{rest}"
            self.transport.write(f"{head}{len(body)}\r\n\r\n{body}".encode())

        def data_received(self, data: bytes) -> None:
            self.waiting += data
            end = self.waiting.find(b"\r\n\r\n")
            if end < 0:
                return
            at = self.waiting.find(b"Content-Length: ") + 16
            whole = end + 4 + int(self.waiting[at : self.waiting.find(b"\r\n", at)])
            if len(self.waiting) >= whole:
                assert self.waiting.startswith(b"HTTP/1.1 201")
                self.waiting = self.waiting[whole:]
                self.ask()

        def connection_lost(self, error: Exception | None) -> None:
            self.end.set_result(None)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
        for end in ends:
            await loop.create_connection(partial(Talk, end), "127.0.0.1", port)
        await asyncio.gather(*ends)

    asyncio.run(main())


def _phone(number: int) -> str:
    return f"+614{number:08}"


CLIENTS: dict[str, Callable[[int, int, int], None]] = {
    "smtplib": smtplib_threads,
    "aiosmtplib": aiosmtplib_loop,
    "twilio": twilio_sdk,
    "twilio-unlimited": twilio_sdk_unlimited,
    "bare": bare_loop,
}


def main(name: str, port: str, count: str, connections: str) -> None:
    """Send ``count``, and say how long that took."""
    began = time.perf_counter()
    CLIENTS[name](int(port), int(count), int(connections))
    used = resource.getrusage(resource.RUSAGE_SELF)
    taken = time.perf_counter() - began
    print(json.dumps({"seconds": taken, "cpu": used.ru_utime + used.ru_stime, "count": int(count)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
