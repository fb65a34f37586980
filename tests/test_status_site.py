"""The outage page's files: what stands on them, in which language, and how they grow."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given

from outagecast import article, status_archive, status_site
from outagecast.history import Incident, Statement
from outagecast.status_folder import StatusFolder
from outagecast.text import folded, printable
from tests import evening
from tests.told import FUZZ, HOSTILE

ALL = ("en", "ro", "zh-Hant", "es", "fr", "de")


class Page(HTMLParser):
    """A page as a browser without scripts has it: its words, links, ids and elements."""

    VOID = frozenset({"meta", "link", "br"})
    BLOCKS = frozenset({"article", "br", "dd", "div", "dt", "h1", "h2", "h3", "li", "p", "section", "summary"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        its = dict(attrs)
        self.tags.append((tag, its))
        self.words.append(" " if tag in self.BLOCKS else "")
        self.links += [its["href"] or ""] if "href" in its else []
        self.ids += [its["id"] or ""] if "id" in its else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script", "head"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def read(folder: Path, name: str = "index.html") -> Page:
    return Page((folder / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evening.published(tmp_path_factory.mktemp("page") / "status", ALL)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evening.published(tmp_path_factory.mktemp("calm") / "status", ("en",), is_over=True)


def pages(site: Path) -> Iterator[Path]:
    yield from site.rglob("*.html")


# --- what stands on them


def test_the_index_shows_what_goes_on_and_every_update_of_it_newest_first(site: Path) -> None:
    html = (site / "index.html").read_text(encoding="utf-8")

    assert list(article.found_in(html)) == [(evening.NOW, 2), (evening.NOW, 1), ("app-2026-11-29", 1)]
    assert "Card payments are failing · Example Bank" in html
    assert "An update we made to the system that approves payments." in read(site).text


def test_it_says_when_it_was_updated_and_until_when_that_is_promised(site: Path) -> None:
    text = read(site).text

    assert (
        "Last updated: Sunday 22 November, 7:30pm (Sydney time). Next update by 8pm. "
        "If that time has passed, this is an old copy: load the page again." in text
    )


def test_with_nothing_open_it_says_so_and_promises_nothing(calm: Path) -> None:
    text = read(calm).text

    assert "We know of no problem right now." in text
    assert "Last updated: Sunday 22 November, 9:40pm (Sydney time)." in text
    assert "Next update" not in text


def test_every_component_has_its_state_in_words_by_group(site: Path) -> None:
    text = read(site).text

    assert "Services Cards Card payments down Cash machines working Digital Mobile app working" in text


def test_what_is_over_stands_below_by_month(site: Path) -> None:
    text = read(site).text.partition("Earlier November 2026")[2]

    assert "Card payments are working again Fixed Monday 2 November, 9:40pm October 2026" in text


def test_planned_work_stands_there_with_its_time(site: Path) -> None:
    assert "Planned work ahead Our app and internet banking will be off for planned work Sunday 29" in read(site).text


def test_an_incident_has_a_page_with_all_its_updates(calm: Path) -> None:
    page = (calm / "incidents" / f"{evening.NOW}.html").read_text(encoding="utf-8")

    assert list(article.found_in(page)) == [(evening.NOW, 3), (evening.NOW, 2), (evening.NOW, 1)]
    assert "<h1>Card payments are working again</h1>" in page
    assert "6:50pm</time> · Card payments are failing" in page  # the headline of then


def test_an_incident_of_many_updates_leads_to_its_page_for_the_oldest(tmp_path: Path) -> None:
    folder = StatusFolder(tmp_path / "status")
    said = statement()
    for number in range(1, 12):
        folder.add(replace(said, number=number))

    page = read(folder.path)

    whole = list(article.found_in((folder.path / "index.html").read_text(encoding="utf-8")))
    assert [number for _, number in whole] == list(range(11, 11 - 1 - status_site.MOST_WHOLE, -1))
    assert "incidents/cards.html#cards-1" in page.links


def statement(**facts: object) -> Statement:
    """One update in English."""
    said = Statement.of("cards", 1, "en", evening.first().parts)
    return replace(said, data={**said.data, **facts})


# --- languages


def test_each_language_has_all_pages_and_a_choice_that_needs_no_script(site: Path) -> None:
    names = {path.relative_to(site).as_posix() for path in pages(site)}
    own = {name for name in names if name.split("/")[0] not in ALL}

    assert {f"{code}/{name}" for code in ALL[1:] for name in own} | own == names
    for name in own:
        choices = [its for tag, its in read(site, name).tags if tag == "a" and "hreflang" in its]
        assert [its["hreflang"] for its in choices] == list(ALL)
        assert [its["hreflang"] for its in choices if its.get("aria-current")] == ["en"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ro", "Ultima actualizare: duminică, 22 noiembrie, ora 19:30 (ora din Sydney). Revenim până la ora 20:00."),
        ("de", "Stand: Sonntag, 22. November, 19:30 Uhr (Ortszeit Sydney). Nächste Meldung bis 20 Uhr."),
        (
            "es",
            "Última actualización: domingo 22 de noviembre, 19:30 (hora de Sídney). Próximo aviso antes de las 20:00.",
        ),
        ("fr", "Prochain point avant 20 h."),
        ("zh-Hant", "最後更新：11月22日（星期日）晚上7時30分（悉尼時間）。 下次更新：晚上8時或之前。"),
    ],
)
def test_a_language_is_its_own_on_the_whole_page(site: Path, code: str, words: str) -> None:
    page = read(site, f"{code}/index.html")

    assert words in page.text.replace("\u00a0", " ")
    assert page.tags[0] == ("html", {"lang": code, "dir": "ltr"})
    assert "Card payments" not in page.text
    assert "are" not in page.text.split()


def test_a_component_that_nobody_has_named_in_a_language_is_marked_as_foreign(site: Path) -> None:
    page = (site / "ro" / "index.html").read_text(encoding="utf-8")

    assert '<span lang="en" dir="ltr">Cash machines</span>' in page
    assert "<span>Plăți cu cardul</span>" in page


def test_an_update_that_a_language_still_lacks_is_shown_as_it_was_said(tmp_path: Path) -> None:
    folder = StatusFolder(tmp_path / "status")
    said = {one.language: one for one in told(("en", "ro"))}
    folder.add(said["en"])
    folder.add(said["ro"])
    folder.add(replace(said["en"], number=2, html="<p>We found it.</p>"))

    page = (folder.path / "ro" / "index.html").read_text(encoding="utf-8")

    assert '<article id="app-2026-10-11-2" lang="en" dir="ltr">\n<p>We found it.</p>' in page
    folder.add(replace(said["ro"], number=2, html="<p>Am găsit.</p>"))
    assert "We found it." not in (folder.path / "ro" / "index.html").read_text(encoding="utf-8")


def told(languages: tuple[str, ...]) -> list[Statement]:
    """The first update of all, in these languages."""
    its = evening.deliveries(languages)[: len(languages)]
    return [Statement.of(one.incident, one.update, one.language, one.parts) for one in its]


def test_a_language_that_is_promised_no_more_is_kept_up_to_date_and_not_offered(tmp_path: Path) -> None:
    folder = StatusFolder(tmp_path / "status")
    for one in told(("en", "ro")):
        folder.add(one)
    english = replace(told(("en",))[0], number=2, html="<p>Only in English.</p>")
    folder.add(english)

    assert "hreflang" not in (folder.path / "index.html").read_text(encoding="utf-8")
    assert "Only in English." in (folder.path / "ro" / "index.html").read_text(encoding="utf-8")


def test_a_page_is_written_from_right_to_left_where_its_language_is(tmp_path: Path) -> None:
    folder = StatusFolder(tmp_path / "status")
    said = statement(languages=["ar"])
    folder.add(replace(said, language="ar"))

    page = read(folder.path)

    assert page.tags[0] == ("html", {"lang": "ar", "dir": "rtl"})
    assert not re.search(r"(?:margin|padding|border)-(?:left|right)|text-align: ?(?:left|right)", css())


def css() -> str:
    return Path(status_site.__file__).with_suffix(".css").read_text(encoding="utf-8")


# --- light


@pytest.mark.parametrize("name", ["index.html", *(f"{code}/index.html" for code in ALL[1:])])
def test_the_first_view_is_one_request_of_at_most_eight_kilobytes(site: Path, name: str) -> None:
    content = (site / name).read_bytes()

    assert len(gzip.compress(content)) <= 8000
    loading = [
        its
        for tag, its in Page(content.decode()).tags
        if "src" in its or (tag == "link" and its["rel"] == "stylesheet")
    ]
    assert loading == []
    assert not re.search(r"url\(|@import", content.decode())


def test_a_long_night_in_two_incidents_still_fits_in_it(tmp_path: Path) -> None:
    said = statement()
    incidents = [
        Incident(slug, [replace(said, incident=slug, number=number) for number in range(1, 15)])
        for slug in ("cards", "app")
    ]
    folder = StatusFolder(tmp_path / "status")
    folder.rebuild(incidents, {"en": said.data})

    assert len(gzip.compress((folder.path / "index.html").read_bytes())) <= 8000


def test_it_refreshes_itself_while_something_is_open_and_then_no_more(site: Path, calm: Path) -> None:
    without_script = '<noscript><meta http-equiv="refresh" content="120"></noscript>'
    for name in ("index.html", f"incidents/{evening.NOW}.html"):
        page = (site / name).read_text(encoding="utf-8")
        assert without_script in page
        assert page.count("<script>") == 1
        over = (calm / name).read_text(encoding="utf-8")
        assert "refresh" not in over
        assert "<script>" not in over


def test_the_version_in_a_page_changes_with_its_content_alone(tmp_path: Path) -> None:
    folder = StatusFolder(tmp_path / "status")

    def version() -> str:
        main = next(its for tag, its in read(folder.path).tags if tag == "main")
        return main["data-v"] or ""

    folder.add(statement())
    before = version()
    folder.add(statement())
    assert version() == before
    folder.add(replace(statement(), number=2))
    assert version() != before


# --- whole


def test_every_link_within_the_site_leads_somewhere(site: Path, calm: Path) -> None:
    for root in (site, calm):
        for path in pages(root):
            for link in read(root, path.relative_to(root).as_posix()).links:
                if link.startswith(("data:", "https:")):
                    continue
                name, _, fragment = link.partition("#")
                target = (path.parent / name).resolve()
                assert target.is_file(), f"{path} leads to {link}"
                assert target.is_relative_to(root.resolve())
                assert not fragment or fragment in Page(target.read_text(encoding="utf-8")).ids


def test_no_id_stands_twice_on_a_page_and_every_page_has_one_first_heading(site: Path) -> None:
    for path in pages(site):
        page = Page(path.read_text(encoding="utf-8"))
        assert len(page.ids) == len(set(page.ids))
        assert [tag for tag, _ in page.tags].count("h1") == 1


# --- hostile


@FUZZ
@given(text=HOSTILE)
def test_hostile_facts_are_words_and_nothing_else(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Parsed back, the page has the elements of a harmless one, and the words of the hostile one."""
    said = plain(text)
    harmless, hostile = (
        rendered(tmp_path_factory.mktemp("site"), title=words, summary=words, groups={words: [words]})
        for words in ("Harmless", text if said else "Harmless")
    )

    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in harmless.tags]
    assert [link for link in hostile.links if link not in harmless.links] == []
    assert said in plain("".join(hostile.words)) or not said


def plain(text: str) -> str:
    """What a reader sees of it: no control or invisible character, every run of white space one space."""
    return folded(printable(text.replace("\r", " ")))


def rendered(folder: Path, **facts: object) -> Page:
    with status_archive.opened(folder) as archive:
        incident = archive.add(statement(**facts))
        files = dict(status_site.Site(archive).after(incident))
    return Page(files["index.html"].decode())


# --- how it grows


def grown(folder: Path, count: int) -> StatusFolder:
    """A page with so many incidents that are over, one a day."""
    said = statement(status="resolved")

    def incidents() -> Iterator[Incident]:
        for number in range(count):
            at = (said.at - timedelta(days=count - number)).isoformat()
            one = replace(said, incident=f"old-{number}", data={**said.data, "at": at})
            yield Incident(one.incident, [one])

    site = StatusFolder(folder)
    site.rebuild(incidents(), {"en": said.data})
    return site


def test_an_update_writes_as_many_files_after_a_thousand_incidents_as_after_thirty(tmp_path: Path) -> None:
    written = []
    for count in (30, 300):
        site = grown(tmp_path / str(count), count)
        changed: list[str] = []
        site.add(statement(), changed.extend)
        written.append(changed)

    assert [len(names) for names in written] == [3, 3]
    assert [names[-1] for names in written] == ["index.html", "index.html"]


def test_every_incident_is_found_from_the_index_by_links(tmp_path: Path) -> None:
    site = grown(tmp_path / "status", 60).path
    todo, seen = ["index.html"], set[str]()
    while todo:
        name = todo.pop()
        seen.add(name)
        for link in read(site, name).links:
            if not link.startswith("data:"):
                target = (site / name).parent.joinpath(link).resolve().relative_to(site.resolve()).as_posix()
                todo += [target] if target not in seen else []

    assert {f"incidents/old-{number}.html" for number in range(60)} <= seen


def test_an_incident_stays_on_its_page_of_the_history(tmp_path: Path) -> None:
    site = grown(tmp_path / "status", 60)
    before = (site.path / "history" / "1.html").read_bytes()

    site.add(statement())

    assert (site.path / "history" / "1.html").read_bytes() == before
    assert "old-0.html" in before.decode()
