import pytest

from headatlas.annotate.llm import Endpoint
from headatlas.errors import HeadAtlasError


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("  http://127.0.0.1:8000/v1/ \n", "http://127.0.0.1:8000/v1"),
        ("https://api.example.com/v1///", "https://api.example.com/v1"),
        ("https://api.example.com/v1/chat/completions", "https://api.example.com/v1"),
        ("https://api.example.com/v1/chat/completions/", "https://api.example.com/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_base_urls_are_put_into_one_form(given, used):
    assert Endpoint("m", given).base_url == used
    assert Endpoint("m", given).url == f"{used}/chat/completions"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must look like http://127.0.0.1:8000/v1, got ''"),
        ("   ", "got ''"),
        ("127.0.0.1:8000/v1", "did you mean http://127.0.0.1:8000/v1"),
        ("localhost:11434", "did you mean http://localhost:11434"),
        ("api.example.com/v1", "did you mean https://api.example.com/v1"),
        ("ftp://example.com/v1", "got 'ftp://example.com/v1'"),
        ("file:///etc/passwd", "got 'file:///etc/passwd'"),
        ("javascript:alert(1)", "got 'javascript"),
        ("http://", "got 'http://'"),
        ("http:///v1", "got 'http:///v1'"),
        ("http://host:99999/v1", "got 'http://host:99999/v1'"),
        ("http://host:port/v1", "got 'http://host:port/v1'"),
        ("http://[::1", "got"),
        ("http://a b/v1", "got"),
        ("http://host/v1/v1", "with /v1 twice; did you mean http://host/v1"),
        ("https://host/v1/v1/chat/completions", "did you mean https://host/v1"),
        ("http://user:secret@host/v1", "no user, password, query or fragment"),
        ("http://h/v1?key=secret", "no user, password, query or fragment"),
        ("http://h/v1#secret", "no user, password, query or fragment"),
        ("user:secret@host/v1", "not shown"),
        ("ftp://user:secret@host", "not shown"),
    ],
)
def test_other_addresses_are_refused_and_secrets_are_not_repeated(url, message):
    with pytest.raises(HeadAtlasError) as refused:
        Endpoint("m", url)
    assert message in str(refused.value)
    assert "secret@" not in str(refused.value)
    assert "=secret" not in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": " "}, "model must be"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"timeout": float("nan")}, "timeout must be at least"),
        ({"tries": 0}, "tries must be"),
        ({"concurrency": 0}, "concurrency must be"),
        ({"temperature": float("nan")}, "temperature must be between 0 and 2"),
        ({"temperature": -1.0}, "temperature must be between 0 and 2"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(HeadAtlasError, match=message):
        Endpoint(**{"model": "m", **options})


def test_a_key_with_characters_that_no_header_takes_is_refused(monkeypatch):
    for key in ("sk-\u00e9\u00e8", "sk-a\nb"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(HeadAtlasError, match="the key in OPENAI_API_KEY has characters"):
            Endpoint("m").key()
