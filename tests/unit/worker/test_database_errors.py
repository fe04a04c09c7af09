"""No message about the database holds a part of its password, whatever the URL looks like."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from jobtide.commands.settings import from_environment
from jobtide.database_errors import DatabaseUrlWrong, checked_url, connect, one_line, url_of_file
from jobtide.errors import SettingsError
from jobtide.queue.session import DatabaseUnreachable, Session

_ALPHABET = st.characters(codec="utf-8", exclude_characters="\x00")
# Long enough for a part of more than three characters, and with characters that have a meaning in URLs.
PASSWORDS = st.text(st.one_of(st.sampled_from("@/:?#%&='\" \\[]+,;!$"), _ALPHABET), min_size=4, max_size=24)
_QUERIES = ["", "?sslmode=require", "?pgbouncer=true", "?sslmode=bogus", "?connect_timeout=soon", "?", "?a", "?a=b&c"]


@st.composite
def urls(draw) -> tuple[str, str]:
    """A password, and a URL or another text that holds it as it is."""
    password = draw(PASSWORDS)
    port = draw(st.sampled_from(["", ":1", ":99999", ":x", ":1,2"]))
    place = f"127.0.0.1{port}/q{draw(st.sampled_from(_QUERIES))}"
    form = draw(
        st.sampled_from(
            [
                "postgresql://w:{0}@{1}",
                "postgres://w:{0}@{1}",
                "postgres//w:{0}@{1}",
                "postgresql:w:{0}@{1}",
                "postgresql+psycopg2://w:{0}@{1}",
                "mysql://w:{0}@{1}",
                "'postgresql://w:{0}@{1}'",
                '"postgresql://w:{0}@{1}"',
                "postgresql://w:{0}%@{1}",
                "postgresql://w:p@{0}@{1}",
                "postgresql://w:12/{0}@{1}",
                "postgresql://w:{0}\n@{1}",
                "host=127.0.0.1 port=1 user=w password={0}",
                "host=127.0.0.1 port=1 user=w password='{0}",
                "host=127.0.0.1 port=1 password={0} extra",
                "{0}",
                " w:{0}",
            ]
        )
    )
    return password, form.format(password, place)


def parts_of(password: str) -> set[str]:
    return {password[start : start + 4] for start in range(len(password) - 3)}


def messages_about(url: str) -> list[str]:
    """What each way to use the URL says about it; nothing if it is accepted."""
    found = []
    for use in (
        lambda: checked_url(url, "the setting"),
        lambda: connect(url, connect_timeout=1).close(),
        lambda: Session(lambda: url).connection(),
        lambda: from_environment({"JOBTIDE_DATABASE_URL": url}, app="a:b"),
    ):
        try:
            use()
        except (SettingsError, DatabaseUnreachable, psycopg.Error, OSError) as error:
            found.append(one_line(error))
    return found


@given(urls())
@example(("S3cretPw", "postgresql+psycopg2://w:S3cretPw@h/q"))
@example(("S3cr%tPw", "postgresql://w:S3cr%tPw@h/q"))
@example(("S3cret Pw", "postgresql://w:S3cret Pw@h/q"))
@example(("p@S3cretTail", "postgresql://u:p@S3cretTail@host/q"))
@example(("12/S3cretTail", "postgresql://u:12/S3cretTail@host/q"))
@example(("S3cret/a?Tail=1", "postgresql://u:S3cret/a?Tail=1@host/q"))
def test_no_message_repeats_more_than_three_characters_of_a_password(case):
    password, url = case
    plain = " ".join(messages_about(url.replace(password, "")))  # words that do not come from the password
    messages = messages_about(url)
    for part in parts_of(password):
        assume(part not in plain)
        assert not any(part in message for message in messages if part not in _SENTENCES)


# A password may be a word of our sentences: these don't come from it.
_SENTENCES = " ".join(
    message
    for url in (
        "", "x", "'", "\udcff", "postgresql://a b", "postgresql://%", "postgresql://a@b@c", "postgresql://?a", "postgresql://?a=1",
        "postgresql://?a@b", "postgresql://:x", "postgresql://h?sslmode=x", "postgresql://?connect_timeout=x",
        "mysql://", "postgresql+psycopg2://w", "host=127.0.0.1 port=1 user=w", "postgresql://w@127.0.0.1:1/q",
    )
    for message in messages_about(url)
)  # fmt: skip


@given(PASSWORDS, PASSWORDS)
def test_the_message_of_a_failed_connection_does_not_depend_on_the_password(one, other):
    said = [messages_about(f"postgresql://w:{quote(password, safe='')}@127.0.0.1:1/q") for password in (one, other)]
    assert said[0] == said[1]
    assert "refused" in said[0][0]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg2://w:pw@h/q", "postgresql+psycopg2://, which only other libraries understand"),
        ("'postgresql://w:pw@h/q'", "in quotes"),
        ("postgresql://w:p%w@h/q", "write %25"),
        ("postgresql://w:p w@h/q", "%20"),
        ("postgres//w:pw@h/q", "does not begin with postgresql://"),
        ("https://pw.supabase.co", "it is an address of the web"),
        ("postgresql://w:p@w@h/q", "%40"),
        ("postgresql://w:p/w@h/q", "%2F"),
        ("postgresql://w:pw@h/q?pgbouncer=true", "its parameter pgbouncer is none of libpq"),
        ("postgresql://w@h/q&password=pw", "the first one follows a ?"),
        ("postgresql://w:pw@h/q?sslmode", "its parameter sslmode is without a value"),
        ("postgresql://w:pw@h/q?sslmode=on", "sslmode is none of disable, allow"),
        ("postgresql://w:pw@h/q?connect_timeout=soon", "connect_timeout is no whole number"),
        ("postgresql://w:pw@h:99999/q", "port"),
        ("postgresql://w:pw@" + "h" * 70 + "/q", "value that can't be used"),
        ("", "empty"),
        ("postgresql://w:\udcff@h/q", "UTF-8"),
    ],
)
def test_a_malformed_url_is_a_wrong_setting_that_names_the_part(url, words):
    with pytest.raises(SettingsError, match=r"the database URL") as wrong:
        connect(url)
    assert words in str(wrong.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgres://w@h",
        "postgresql:///q?host=/run/postgresql&sslmode=verify-full&sslrootcert=/ca.crt",
        "postgresql://%2Frun%2Fpostgresql/q",
        "postgresql://w:a?b#c@one:1,[::1]:2/q?target_session_attrs=read-write&application_name=a%40b",
        "postgresql://w:pw@h/q?options=-csearch_path%3Dapp&ssl=true",
        "postgresql://w:pw@h/q?password=a@b",
        "host=h password='a b' dbname=q",
    ],
)
def test_a_url_that_libpq_accepts_is_accepted(url):
    assert checked_url(url, "the setting") == url


def test_a_url_file_that_is_not_utf8_is_a_wrong_setting(tmp_path):
    file = tmp_path / "url"
    file.write_bytes(b"postgresql://w:S3cr\xffet@h/q")
    with pytest.raises(SettingsError, match=r"JOBTIDE_DATABASE_URL_FILE=.* is not text in UTF-8") as wrong:
        from_environment({"JOBTIDE_DATABASE_URL_FILE": str(file)}, app="a:b")
    assert "S3cr" not in str(wrong.value)


def test_a_url_file_that_is_not_mounted_yet_is_waited_for(tmp_path):
    missing = tmp_path / "url"
    assert from_environment({"JOBTIDE_DATABASE_URL_FILE": str(missing)}, app="a:b").database_url_file == missing
    with pytest.raises(FileNotFoundError):
        url_of_file(missing, "the file")
    with contextlib.suppress(DatabaseUrlWrong), pytest.raises(DatabaseUnreachable):
        Session(lambda: url_of_file(missing, "the file")).connection()
