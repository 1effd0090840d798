"""The signed statement: valid, trusted with its authority, tampered by one byte."""

import numpy as np
import pytest
from tests.trust.conftest import picture

from talk3d.movie import write_movie
from talk3d.trust.identity import is_signed_by, load_identity
from talk3d.trust.manifest import read_manifest, sign, statement_identity

STATEMENT = {"what": "a test", "number": 12, "right": True}


@pytest.fixture
def movie(tmp_path):
    path = tmp_path / "plain.mp4"
    write_movie(path, [picture(i) for i in range(6)], fps=25.0)
    return path


@pytest.fixture
def signed(movie, tmp_path):
    sign(movie, tmp_path / "signed.mp4", STATEMENT, load_identity())
    return tmp_path / "signed.mp4"


def test_a_signed_movie_is_valid_and_says_the_statement(signed):
    found = read_manifest(signed)
    assert found is not None
    assert found.valid
    assert not found.trusted
    assert found.statement == STATEMENT
    assert found.identity == statement_identity(STATEMENT)


def test_a_signed_movie_is_trusted_with_its_authority(signed):
    found = read_manifest(signed, load_identity().authority)
    assert found is not None
    assert found.trusted


def test_one_flipped_byte_is_tampering(signed):
    content = bytearray(signed.read_bytes())
    content[-500] ^= 1
    signed.write_bytes(content)
    found = read_manifest(signed, load_identity().authority)
    assert found is not None
    assert not found.valid
    assert found.problems


def test_an_unsigned_movie_has_no_manifest(movie):
    assert read_manifest(movie) is None


def test_a_source_becomes_the_parent(movie, signed, tmp_path):
    sign(movie, tmp_path / "x.mp4", STATEMENT, load_identity(), parent=signed)
    found = read_manifest(tmp_path / "x.mp4")
    assert found is not None
    assert found.valid
    text = (tmp_path / "x.mp4").read_bytes()
    assert b"compositeWithTrainedAlgorithmicMedia" in text


def test_what_cannot_be_signed_is_refused(tmp_path):
    (tmp_path / "x.avi").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot sign x\.avi"):
        sign(tmp_path / "x.avi", tmp_path / "y.avi", STATEMENT, load_identity())


def test_the_identity_is_made_once_and_its_key_is_private(data):
    first, second = load_identity(), load_identity()
    assert first == second
    assert (data / "identity" / "key.pem").stat().st_mode & 0o077 == 0


def test_half_an_identity_is_refused(data):
    load_identity()
    (data / "identity" / "key.pem").unlink()
    with pytest.raises(ValueError, match=r"both key\.pem and chain\.pem"):
        load_identity()


def test_the_key_of_another_certificate_is_refused(data, monkeypatch, tmp_path):
    load_identity()
    monkeypatch.setenv("TALK3D_IDENTITY", str(tmp_path / "other"))
    load_identity()
    stolen = (data / "identity" / "key.pem").read_text()
    (tmp_path / "other" / "key.pem").write_text(stolen)
    with pytest.raises(ValueError, match="belongs to the first certificate"):
        load_identity()


def test_a_signature_belongs_to_its_text_and_certificate():
    identity = load_identity()
    signature = identity.sign(b"yes")
    assert is_signed_by(identity.chain, signature, b"yes")
    assert not is_signed_by(identity.chain, signature, b"no")
    assert not is_signed_by(identity.chain, "nonsense", b"yes")
    assert not is_signed_by("nonsense", signature, b"yes")


def test_the_identity_of_a_statement_depends_on_all_of_it():
    rng = np.random.default_rng(0)
    many = {statement_identity({"n": int(n)}) for n in rng.integers(0, 1 << 60, 500)}
    assert len(many) == 500
