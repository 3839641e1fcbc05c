"""The form of walkthrough files, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nnshell.support.errors import UsageError
from nnshell.tutorials.walkthrough import load, parse

GOOD = """# A title

A summary
of two lines.

## First

Why.

```text
## quoted, no heading
```

```nnshell
show  # what is there

# a comment
show > $(OUT)/x.txt
```

What to look at in $(OUT).

```check
# the shell prints it
prints "a  b"
file $(OUT)/x.txt exists
```

## Second
Why again.
```nnshell
show
```
Look again.
```check
quantized
```
"""


def test_a_walkthrough_is_title_summary_and_steps() -> None:
    tour = parse(GOOD, "good")
    assert (tour.name, tour.title, tour.summary) == ("good", "A title", "A summary\nof two lines.")
    assert [step.title for step in tour.steps] == ["First", "Second"]
    first = tour.steps[0]
    assert first.why.startswith("Why.") and "## quoted, no heading" in first.why
    assert first.checks[0].text == 'prints "a  b"'


def test_lines_keep_their_number_in_the_file() -> None:
    first, second = parse(GOOD, "good").steps
    lines = GOOD.splitlines()
    for line in (*first.commands, *second.commands):
        assert lines[line.number - 1] == line.text
    assert lines[second.line - 1] == "## Second"


def test_the_folder_is_quoted_in_commands_only() -> None:
    first = parse(GOOD, "good").written_to("my files").steps[0]
    assert first.commands[2].text == "show > 'my files'/x.txt"
    assert first.look == "What to look at in my files."
    assert first.checks[1].arguments == ("my files/x.txt",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# A title\n", "", "does not begin with '# Title' and a summary (bad.md:1)"),
        ("A summary\nof two lines.\n", "", "does not begin with '# Title' and a summary"),
        ("## First", "### First", "a heading is '# Title' or '## Step' (bad.md:6)"),
        ("## First", "## ", "a heading is '# Title' or '## Step' (bad.md:6)"),
        ("Look again.\n```check\nquantized\n```\n", "", "not text, ```nnshell, text, ```check but"),
        ("Why again.\n", "", "step 'Second' is not text, ```nnshell, text, ```check but nnshell,"),
        ("```nnshell\nshow\n```\nLook", "Look", "step 'Second' is not"),
        ("quantized\n```\n", "quantized\n", "a block is never closed by ``` (bad.md:35)"),
        ("```nnshell\nshow\n", "```python\nshow\n", "a block is 'python', not nnshell, check"),
        ("```nnshell\nshow\n```", "```nnshell\n\n```", "a step without commands"),
        ("```check\nquantized\n```", "```check\n# no\n```", "a step without checks (bad.md:36)"),
        ("quantized", "quantised", "'quantised' is no check (bad.md:36)"),
        ("quantized", "steps === 3", "'===' is not one of == (bad.md:36)"),
        ("quantized", 'prints "open', "cannot be read: No closing quotation (bad.md:36)"),
        ("quantized", "record x colour == 3", "a record has scale,"),
        ("quantized", 'calculate "import os" == 3', "'import os' has no value"),
        ("quantized", 'calculate "1/0" == 3', "'1/0' has no value (bad.md:36)"),
        (GOOD[GOOD.index("## First") :], "", "it has no step"),
        (GOOD, "", "does not begin with '# Title' and a summary"),
    ],
)
def test_what_is_malformed_is_refused_with_its_line(old: str, new: str, message: str) -> None:
    assert GOOD.count(old) >= 1
    with pytest.raises(UsageError) as refused:
        parse(GOOD.replace(old, new, 1) if "quantized" not in old else _last(old, new), "bad")
    assert message.split(" (bad")[0] in str(refused.value)
    if "(bad.md" in message:
        assert message.rpartition(" ")[2] in str(refused.value)


def _last(old: str, new: str) -> str:
    head, _, tail = GOOD.rpartition(old)
    return head + new + tail


def test_a_tutorial_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "lab.md"
    path.write_text(GOOD, encoding="utf-8-sig")
    assert load(str(path)).title == "A title"
    path.write_text(GOOD.replace("quantized", "quantised"))
    with pytest.raises(UsageError, match=re.escape(f"({path}:36)")):
        load(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        load(str(path))
    with pytest.raises(UsageError, match=r"cannot read the tutorial nowhere.md: No such file"):
        load("nowhere.md")


def test_a_tutorial_that_does_not_exist_is_an_error_that_lists_them() -> None:
    with pytest.raises(UsageError, match=r"there is no tutorial 'lennet'.*lenet, mistakes"):
        load("lennet")
