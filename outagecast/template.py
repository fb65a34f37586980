"""The templates of one language: Jinja in a sandbox, strict about names, with paragraphs that close up over gaps."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from traceback import walk_tb
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.bccache import Bucket
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

import outagecast.templates
from outagecast import __version__, registry, wording
from outagecast.errors import Problem, TemplateError

_SPACES = re.compile("[ \t]+")  # not those that keep a line from breaking, which French has before a colon
_BREAK = "\x1e"  # between paragraphs while a text is being rendered; no fact can hold it
_AUTHORS_MISTAKES = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
MOST_STEPS = 20_000  # rounds of loops, and calls, in one text; the shipped ones take a few dozen
MOST_CHARACTERS = 100_000  # of one text
SHARED = "shared"  # what is only marked up, and reads the same in every language
SHIPPED = Path(next(iter(outagecast.templates.__path__)))


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja in a sandbox that marks the blank lines of a text before its tags leave others behind.

    It also breaks off what would not end, or would fill the memory.
    """

    intercepted_binops = frozenset({"*", "**", "%"})
    steps = 0

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            counted = nodes.EnvironmentAttribute("counted", lineno=loop.lineno)
            loop.iter = nodes.Call(counted, [loop.iter], [], None, None, lineno=loop.lineno)
        return tree

    def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        """What ``called`` returns, unless it is asked for more than a text can hold."""
        self.count()
        if any(isinstance(given, int) and given > MOST_CHARACTERS for given in (*args, *kwargs.values())):
            raise SecurityError("asks for too much")
        if getattr(called, "__name__", "") in {"format", "format_map"}:
            raise SecurityError("a text is put together with ~, not with format")
        return super().call(context, called, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """A product, unless it is larger than a text can be."""
        if operator == "**" or (operator == "%" and isinstance(left, str)):
            raise SecurityError(f"a text needs no {operator}")
        sizes = [len(one) if isinstance(one, (str, list, tuple)) else one for one in (left, right)]
        is_whole = all(isinstance(size, int) for size in sizes)
        if operator == "*" and is_whole and abs(sizes[0] * sizes[1]) > MOST_CHARACTERS:
            raise SecurityError("a product is too large")
        return super().call_binop(context, operator, left, right)

    def count(self) -> None:
        """One step more. Raises SecurityError where there were too many."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise SecurityError("does not come to an end")

    def counted(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, each a step."""
        for item in items:
            self.count()
            yield item

    def preprocess(self, source: str, name: str | None = None, filename: str | None = None) -> str:
        """The source, a mark on every blank line of it; of markup as it is."""
        marked = source if _is_markup(name) else re.sub(r"\n[ \t]*\n", f"\n{_BREAK}\n", source)
        return super().preprocess(marked, name, filename)


@dataclass(frozen=True)
class Book:
    """The templates of one language: the user's own folder first, then the shipped ones."""

    language: str
    own: Path | None

    @cached_property
    def _environment(self) -> _Environment:
        languages = dict.fromkeys((self.language, self.language.partition("-")[0]))  # en-GB, then en
        folders = [folder / name for name in (*languages, SHARED) for folder in (self.own, SHIPPED) if folder]
        environment = _Environment(
            loader=jinja2.FileSystemLoader(folders),
            undefined=jinja2.StrictUndefined,
            finalize=_said_or_nothing,
            autoescape=_is_markup,
            bytecode_cache=_compiled(),
        )
        for padded in ("batch", "center", "format", "indent", "slice"):  # to any width that is asked for
            del environment.filters[padded]
        environment.filters.update(
            sentence=_said(wording.sentence),
            bare=_said(wording.bare),
            opening=_said(wording.opening),
            quoted=_said(partial(wording.quoted, language=self.language)),
            blocks=_blocks,
        )
        return environment

    def place(self, name: str, block: str) -> tuple[str, int | None]:
        """The template by its folder and name, and the line on which its block begins; None where there is none."""
        try:
            source, path, _ = self._environment.loader.get_source(self._environment, name)  # type: ignore[union-attr]
        except jinja2.TemplateNotFound:
            return f"{self.language}/{name}", None
        found = re.search(rf"\{{%-?\s*block\s+{block}\b", source)
        folder = Path(path or "").parent.name  # another one's where its own language has none
        return f"{folder}/{name}", source.count("\n", 0, found.start()) + 1 if found else None

    def block(self, name: str, block: str, given: Mapping[str, Any]) -> str:
        """The text of one block of one template. Raises TemplateError saying which and where."""
        with self._blamed(name):
            template = self._environment.get_template(name)
            if block not in template.blocks:
                raise TemplateError(Problem(f"has no block for {block}", "", f"{self.language}/{name}"))
            context = template.new_context({**given, "say": self.phrases})
            self._environment.steps = 0
            text = _joined(template.blocks[block](context))
        return wording.closed_up(re.sub(r"\n\s*\n", "\n", text.strip())) if _is_markup(name) else _flow(text)

    @cached_property
    def phrases(self) -> Mapping[str, Any]:
        """The language's shared phrases: what ``phrases.j2`` sets; none where there is no such file."""
        name = "phrases.j2"
        with self._blamed(name):
            if name not in self._environment.list_templates():
                return {}
            module = self._environment.get_template(name).module
            return {key: value for key, value in vars(module).items() if not key.startswith("_")}

    @contextmanager
    def _blamed(self, name: str) -> Iterator[None]:
        """What goes wrong in a template is said of the template, with the line."""
        file = f"{self.language}/{name}"
        try:
            yield
        except jinja2.TemplateNotFound as error:
            hint = f"write it in your templates folder, or take {self.language} out of the languages"
            file = f"{self.language}/{error.name}"
            raise TemplateError(Problem("there is no such template", hint, file)) from None
        except jinja2.TemplateSyntaxError as error:
            file = f"{self.language}/{error.name or name}"
            raise TemplateError(Problem(error.message or "is not a template", "", file, error.lineno)) from None
        except UnicodeDecodeError:
            raise TemplateError(Problem("is not UTF-8", "save it as UTF-8", file)) from None
        except (jinja2.TemplateError, *_AUTHORS_MISTAKES) as error:
            raise TemplateError(Problem(f"{error}", "", file, self._line(name, error))) from None

    def _line(self, name: str, error: Exception) -> int | None:
        """The template's line that an error came from."""
        template = self._environment.get_template(name)
        lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == template.filename]
        return template.get_corresponding_lineno(lines[-1]) if lines else None


class _Compiled(jinja2.FileSystemBytecodeCache):
    """Compiled templates on disk: compiling takes longer than all else a preview does."""

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):  # a full disk costs the next run time, and this one nothing
            super().dump_bytecode(bucket)

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().load_bytecode(bucket)


def _compiled() -> jinja2.BytecodeCache | None:
    """Where this version keeps them; None where the user has no folder for it that is theirs alone."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 - fails on no home
    folder = home / "outagecast" / f"templates-{__version__}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except OSError:
        return None
    # What lies in it is run: it must be nobody else's to write.
    private = about.st_uid == os.getuid() and not about.st_mode & 0o022
    return _Compiled(str(folder)) if private else None


def _said_or_nothing(value: Any) -> Any:
    """What a template writes; a fact that is not stated as nothing, and not as Python's word for it."""
    return "" if value is None else value


def _joined(chunks: Iterable[str]) -> str:
    text = io.StringIO()
    for chunk in chunks:
        text.write(chunk)
        if text.tell() > MOST_CHARACTERS:
            raise SecurityError(f"is longer than {MOST_CHARACTERS:,} characters")
    return text.getvalue()


def _is_markup(name: str | None) -> bool:
    """Whether a template writes markup, where facts are escaped: by its name, or because its kind says so."""
    kind, _, part = (name or "").removesuffix(".j2").rpartition(".")
    return part in {"html", "xml"} or (
        kind != "" and registry.is_known(kind) and part in registry.channel_class(kind).escapes
    )


def _said(filter_: Callable[[str], str]) -> Callable[[str], str]:
    """A filter that leaves escaped text escaped."""
    return lambda text: text.__class__(filter_(text))


def _flow(text: str) -> str:
    """Paragraphs each on one line, list items on lines of their own; a line break alone says nothing."""
    paragraphs = (_lines(paragraph) for paragraph in text.split(_BREAK))
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines)


def _lines(paragraph: str) -> list[str]:
    lines: list[str] = []
    for line in (_SPACES.sub(" ", line).strip(" ") for line in paragraph.splitlines()):
        if line.startswith("- ") or not lines:
            lines += [line] if line else []
        elif line:
            lines[-1] = f"{lines[-1]} {line}"
    return [wording.closed_up(line) for line in lines]


def _blocks(text: str) -> list[dict[str, object]]:
    """The paragraphs of a text part as headings (ending in a colon), lists and plain paragraphs."""
    blocks: list[dict[str, object]] = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        if all(line.startswith("- ") for line in lines):
            blocks.append({"kind": "list", "entries": [line[2:] for line in lines]})
        elif len(lines) == 1 and lines[0].endswith((":", "：")):
            blocks.append({"kind": "heading", "text": lines[0][:-1].rstrip()})
        else:
            blocks.append({"kind": "paragraph", "text": "\n".join(lines)})
    return blocks
