"""What an update of the outage page costs with a long past, and building it from nothing: for docs/performance.md.

Ratios are what counts: two pages are updated in turn, A B A B …, on whatever machine this is.
"""

from __future__ import annotations

import gc
import gzip
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from outagecast.history import Incident, Statement
from outagecast.status_folder import StatusFolder
from tests import evening

URL = evening.URL


def past(count: int, languages: tuple[str, ...] = ("en", "ro")) -> Iterator[Incident]:
    """So many incidents that are over, one a day, each with two updates."""
    told = [
        Statement.of(one.incident, one.update, one.language, one.parts)
        for one in evening.deliveries(languages)
        if one.incident == "cards-2026-11-02"
    ]
    for number in range(count):
        slug, before = f"cards-{number}", timedelta(days=count - number)
        said = (
            replace(one, incident=slug, data={**one.data, "at": (one.at - before).isoformat(timespec="minutes")})
            for one in told
        )
        yield Incident(slug, list(said))


def built(folder: Path, count: int, *languages: str) -> tuple[StatusFolder, float]:
    """A page with so many incidents, and how many seconds it took to build."""
    site = StatusFolder(folder, URL)
    incidents = list(past(count, languages))
    furniture = {said.language: said.data for said in incidents[0].statements}
    began = time.perf_counter()
    site.rebuild(incidents, furniture)
    return site, time.perf_counter() - began


def updated(site: StatusFolder, number: int) -> float:
    """Seconds for one update of an incident that goes on, in one language."""
    said = Statement.of("now", number, "en", evening.first().parts)
    began = time.perf_counter()
    site.add(said)
    return time.perf_counter() - began


def main(rounds: int = 41) -> None:
    """Measure and print."""
    gc.set_threshold(50_000)  # as the command does
    with tempfile.TemporaryDirectory() as name:
        sites = [built(Path(name, str(count)), count, "en", "ro")[0] for count in (10, 1000)]
        for site in sites:
            updated(site, 1)
        pairs = [[updated(site, number) for site in sites] for number in range(2, rounds + 2)]
        few, many = (statistics.median(times) * 1000 for times in zip(*pairs, strict=True))
        ratio = statistics.median(many / few for few, many in pairs)
        print("| an update of the outage page | after 10 incidents, ms | after 1,000, ms | ratio | goal |")
        print("|---|---|---|---|---|")
        print(f"| in one language of two, with all machine forms | {few:.0f} | {many:.0f} | {ratio:.2f} | ≤ 1.2 |")
        seconds = min(built(Path(name, f"all-{round_}"), 10_000, "en")[1] for round_ in range(3))
        print(f"\n10,000 incidents of two updates, built from nothing: {seconds:.1f} s (goal ≤ 5).")
        shown = evening.published(Path(name, "evening"), ("en", "ro", "zh-Hant", "es", "fr", "de"))
        sizes = [len(gzip.compress(path.read_bytes())) for path in shown.glob("**/index.html")]
        print(f"The first view: {min(sizes):,} to {max(sizes):,} bytes gzipped, in one request (goal ≤ 8,000).")


if __name__ == "__main__":
    main()
