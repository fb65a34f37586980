"""The server under the stand-ins: what it keeps, and how it fails when told to."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from outagecast.rehearsal import Files, Reply, Request, StandIn
from outagecast.rehearsal.server import FAULTS


class Board(StandIn):
    """The smallest provider: it keeps what is posted."""

    routes = (("POST", "/notes", "add"), ("GET", "/notes", "show"), ("GET", r"/notes/(?P<number>\d)", "show"))

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def add(self, request: Request) -> Reply:
        self.notes.append(request.form["note"])
        return Reply(201, {"id": len(self.notes)})

    def show(self, request: Request, number: str = "0") -> Reply:
        return Reply(200, {"note": self.notes[int(number)]})


@pytest.fixture
def board() -> Iterator[Board]:
    with Board() as board:
        yield board


def post(board: Board) -> requests.Response:
    headers = {"Authorization": "Bearer very-secret"}
    query = {"access_token": "also-secret"}
    return requests.post(f"{board.url}/notes", params=query, data={"note": "hello"}, headers=headers, timeout=2)


def test_a_request_is_answered_and_kept_without_its_secrets(board: Board) -> None:
    answer = post(board)

    (seen,) = board.requests
    assert (answer.status_code, answer.json()) == (201, {"id": 1})
    assert (seen.method, seen.path, seen.form) == ("POST", "/notes", {"note": "hello"})
    assert seen.headers["authorization"] == "Bearer ***"
    assert seen.query == {"access_token": "***"}
    assert "secret" not in repr(seen)


def test_an_unknown_address_is_a_404(board: Board) -> None:
    assert requests.get(f"{board.url}/elsewhere", timeout=2).status_code == 404


def test_a_part_of_the_path_reaches_the_answer(board: Board) -> None:
    board.notes = ["a", "b"]

    assert requests.get(f"{board.url}/notes/1", timeout=2).json() == {"note": "b"}


def test_several_requests_go_over_one_connection_without_a_stall(board: Board) -> None:
    with requests.Session() as session:
        began = time.monotonic()
        for _ in range(25):
            session.post(f"{board.url}/notes", data={"note": "x"}, timeout=2)

    assert len(board.notes) == 25
    assert time.monotonic() - began < 0.8  # 25 waits of 40 ms would be a second


@pytest.mark.parametrize(
    ("fault", "status", "applied"),
    [
        ("ok", 201, True),
        ("error_500", 500, False),
        ("error_500_applied", 500, True),
        ("garbage_200", 200, False),
        ("garbage_200_applied", 200, True),
        ("rate_limited", 429, False),
        ("unauthorized", 401, False),
        ("duplicate", 403, False),
    ],
)
def test_a_planned_answer_is_given_once_and_applied_or_not(
    board: Board, fault: str, status: int, applied: bool
) -> None:
    board.behave(fault)  # type: ignore[arg-type]

    first = post(board)

    assert (status, ["hello"] * applied) == (first.status_code, board.notes)
    assert post(board).status_code == 201


@pytest.mark.parametrize(("fault", "applied"), [("reset_before", False), ("reset_after", True)])
def test_a_planned_reset_breaks_the_connection(board: Board, fault: str, applied: bool) -> None:
    board.behave(fault)  # type: ignore[arg-type]

    with pytest.raises(requests.ConnectionError, match="Connection aborted"):
        post(board)

    assert ["hello"] * applied == board.notes
    assert len(board.requests) == 1
    assert post(board).status_code == 201


@pytest.mark.parametrize(("fault", "applied"), [("hang", False), ("hang_applied", True)])
def test_a_planned_hang_never_answers(board: Board, fault: str, applied: bool) -> None:
    board.behave(fault)  # type: ignore[arg-type]

    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{board.url}/notes", data={"note": "hello"}, timeout=0.2)

    assert ["hello"] * applied == board.notes


def test_a_hang_ends_when_its_time_is_over(board: Board) -> None:
    board.hang_seconds = 0.05
    board.behave("hang")

    with pytest.raises(requests.ConnectionError):
        post(board)


def test_closing_ends_what_hangs() -> None:
    with Board() as board:
        board.behave("hang")
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"{board.url}/notes", data={"note": "hello"}, timeout=0.1)
        began = time.monotonic()

    assert time.monotonic() - began < 1
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{board.url}/notes", timeout=1)


def test_a_plan_is_followed_in_order_and_only_by_its_method(board: Board) -> None:
    board.behave("error_500", times=2)
    board.behave("rate_limited")

    board.notes.append("a")

    first = post(board).status_code
    read = requests.get(f"{board.url}/notes", timeout=2).status_code
    rest = [post(board).status_code for _ in range(3)]

    assert [first, read, *rest] == [500, 200, 500, 429, 201]


def test_an_answer_of_ones_own_is_given_as_it_is(board: Board) -> None:
    board.behave(Reply(302, b"", {"Location": "/elsewhere"}), method="GET")

    answer = requests.get(f"{board.url}/notes", timeout=2, allow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (302, "/elsewhere")


def test_an_answer_can_come_in_chunks_without_an_end(board: Board) -> None:
    board.behave(Reply(200, itertools.repeat(b"x" * 1000)))

    with requests.post(f"{board.url}/notes", timeout=2, stream=True) as answer:
        assert next(answer.iter_content(5000)) == b"x" * 5000


def test_a_delay_comes_before_each_answer(board: Board) -> None:
    board.delay = 0.1
    began = time.monotonic()

    post(board)

    assert time.monotonic() - began >= 0.1


def test_what_asks_to_publish_is_held_and_what_looks_is_not(board: Board) -> None:
    board.notes = ["a"]
    with ThreadPoolExecutor() as pool:
        with board.holding():
            held = pool.submit(post, board)
            while not board.requests:
                time.sleep(0.01)
            assert requests.get(f"{board.url}/notes/0", timeout=2).json() == {"note": "a"}
            assert board.notes == ["a"]

        assert held.result().status_code == 201


def test_an_unknown_fault_is_refused_and_the_known_ones_are_named(board: Board) -> None:
    with pytest.raises(ValueError, match=r"as one of ok, error_500, .*; not as 'explode'"):
        board.behave("explode")  # type: ignore[arg-type]
    assert "reset_after" in FAULTS


def test_it_has_no_address_before_it_is_open() -> None:
    with pytest.raises(RuntimeError, match="once it is open"):
        assert Board().url


def test_a_file_is_served_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "banner.html"
    with Files() as website:
        website.files["banner.html"] = path
        assert requests.get(f"{website.url}/banner.html", timeout=2).status_code == 404
        path.write_text("<p>Down", encoding="utf-8")

        assert requests.get(f"{website.url}/banner.html?x=1", timeout=2).text == "<p>Down"
