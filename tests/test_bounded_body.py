"""Bodies are decoded as a server encoded them, and never into more bytes than allowed."""

import gzip
import zlib

import pytest

from headatlas.bounded_body import BodyDecoder, BodyError


def raw_deflate(data):
    packed = zlib.compressobj(wbits=-15)
    return packed.compress(data) + packed.flush()


def decoded(body, encoding, most=1000, step=7):
    decoder = BodyDecoder(encoding, most)
    out = b"".join(decoder.add(body[i : i + step]) for i in range(0, len(body), step))
    decoder.end()
    return out, decoder.too_large


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("X-GZip ", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
    ],
)
def test_every_accepted_encoding_is_read_piece_by_piece(encoding, encode):
    assert decoded(encode(b"hello" * 100), encoding) == (b"hello" * 100, False)


@pytest.mark.parametrize(("size", "too_large"), [(1000, False), (1001, True)])
@pytest.mark.parametrize(("encoding", "encode"), [("", bytes), ("gzip", gzip.compress)])
def test_the_limit_is_exact(size, too_large, encoding, encode):
    assert decoded(encode(b"x" * size), encoding) == (b"x" * 1000, too_large)


def test_one_piece_is_never_decoded_beyond_the_limit():
    decoder = BodyDecoder("gzip", 1000)
    assert len(decoder.add(gzip.compress(b" " * 10_000_000))) == 1000
    assert decoder.too_large


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "gzip,deflate", "x" * 500])
def test_encodings_that_were_not_asked_for_are_refused(encoding):
    with pytest.raises(BodyError, match="content-encoding must be one of gzip, deflate"):
        BodyDecoder(encoding, 1000)


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"hello")[:-9], b""], ids=["none", "cut", "empty"])
def test_damaged_data_are_refused(body):
    with pytest.raises(BodyError, match="compressed data"):
        decoded(body, "gzip")
