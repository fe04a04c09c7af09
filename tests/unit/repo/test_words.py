"""The word check: what it refuses, what it lets pass, and what it says."""

from __future__ import annotations

import subprocess

import pytest

from dev.words import WORDS, main, problems


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param("The lock was not to be had within 5 s.", "to be had", id="a phrase"),
        pytest.param("Nobody reads this.", "nobody", id="a capital letter"),
        pytest.param("a copy is kept for\never", "for ever", id="over the end of a line"),
        pytest.param("    # kept for\n    # ever", "for ever", id="over two lines of a comment"),
        pytest.param("-- kept for\n-- ever", "for ever", id="over two lines of an SQL comment"),
        pytest.param("def test_a_worker_that_is_told_to_stop(): ...", "told", id="inside a test's name"),
        pytest.param("self._told = {}", "told", id="inside a variable's name"),
        pytest.param("one that is known by now.", "by now", id="by now at the end of a sentence"),
    ],
)
def test_a_word_of_the_list_is_refused(text, word):
    assert [problem.split('"')[1] for problem in problems("page.md", text)] == [word]


@pytest.mark.parametrize("word", WORDS)
def test_every_word_of_the_list_is_found(word):
    assert [problem.split('"')[1] for problem in problems("page.md", f"It is {word}, then.")] == [word]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("The untold number of threshold checks.", id="part of a longer word"),
        pytest.param("Look for every pod.", id="phrase that goes on"),
        pytest.param("ORDER BY now()", id="the function now of SQL"),
        pytest.param("this, the, then, when, she", id="words that contain he and his"),
        pytest.param("loop.run_forever()", id="a method of the standard library"),
    ],
)
def test_plain_english_and_code_pass(text):
    assert list(problems("page.md", text)) == []


def test_the_message_names_file_line_word_and_what_to_write():
    assert list(problems("docs/page.md", "one\nread anew\n")) == [
        'docs/page.md:2: "anew": write "again" or "restart"',
    ]


@pytest.fixture
def repository(tmp_path):
    for path in ("README.md", "requirements/dev.txt", "app/requirements.txt", "picture.svg", "sub/clean.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("clean\n" if "clean" in path else "heard\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    (tmp_path / "untracked.md").write_text("heard\n")
    return tmp_path


def test_tracked_texts_are_read_and_lists_of_packages_are_not(repository, capsys):
    assert main([], repository) == 1
    assert capsys.readouterr().out == 'README.md:1: "heard": write "received" or "noticed"\n'


def test_only_the_given_paths_are_read(repository, capsys):
    assert main(["sub"], repository) == 0
    assert capsys.readouterr().out == ""
