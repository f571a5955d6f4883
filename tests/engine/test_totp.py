"""The second factor: the RFCs' own numbers, codes that count once, clocks that are off, and recovery codes."""

from __future__ import annotations

import base64
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select, text

from engine.db import Database
from engine.errors import Conflict, InvalidInput
from engine.people import totp
from engine.schema import RecoveryCode, Totp
from engine.vault import SealBroken, Secret, Vault

NOW = datetime(2026, 3, 1, 9, 0, 10, tzinfo=UTC)
RFC = b"12345678901234567890"


def later(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def code_at(secret: bytes, at: datetime) -> str:
    return totp.hotp(secret, totp.step_at(at))


def enrolled(
    db: Database, vault: Vault, realm: str = "staff", subject_id: int = 1
) -> tuple[bytes, tuple[Secret, ...]]:
    """A second factor in force: its secret and recovery codes. The code of NOW is used."""
    with db.begin() as session:
        begun = totp.begin(session, vault, realm, subject_id, "ada", NOW)
    secret = base64.b32decode(begun.secret.value)
    with db.begin() as session:
        return secret, totp.confirm(session, vault, realm, subject_id, code_at(secret, NOW), NOW)


def use(db: Database, vault: Vault, code: str, at: datetime, subject_id: int = 1) -> str | None:
    with db.begin() as session:
        return totp.use_code(session, vault, "staff", subject_id, code, at)


@pytest.mark.parametrize(
    ("counter", "code"),
    list(
        enumerate(
            [
                "755224",
                "287082",
                "359152",
                "969429",
                "338314",
                "254676",
                "287922",
                "162583",
                "399871",
                "520489",
            ]
        )
    ),
)
def test_the_counters_of_rfc_4226(counter: int, code: str) -> None:
    assert totp.hotp(RFC, counter) == code


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_times_of_rfc_6238(seconds: int, code: str) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    assert totp.hotp(RFC, totp.step_at(at), digits=8) == code


def test_an_app_is_told_everything_it_needs(db: Database, vault: Vault) -> None:
    with db.begin() as session:
        begun = totp.begin(session, vault, "staff", 1, "ada@desk", NOW)
    uri = urlsplit(begun.uri.value)
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Cardtone%3Aada%40desk")
    assert parse_qs(uri.query) == {
        "secret": [begun.secret.value],
        "issuer": ["Cardtone"],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }
    assert len(base64.b32decode(begun.secret.value)) == 20
    assert begun.secret.value not in repr(begun)


def test_a_secret_counts_only_once_a_code_of_it_was_seen(db: Database, vault: Vault) -> None:
    with db.begin() as session:
        first = totp.begin(session, vault, "staff", 1, "ada", NOW)
        assert totp.is_on(session, "staff", 1) is None
    with db.begin() as session:
        second = totp.begin(session, vault, "staff", 1, "ada", NOW)
    secrets = [base64.b32decode(one.secret.value) for one in (first, second)]
    assert use(db, vault, code_at(secrets[1], NOW), NOW) is None
    with pytest.raises(InvalidInput, match="totp_code"), db.begin() as session:
        totp.confirm(session, vault, "staff", 1, code_at(secrets[0], NOW), NOW)
    with db.begin() as session:
        totp.confirm(
            session, vault, "staff", 1, f" {code_at(secrets[1], NOW)[:3]} {code_at(secrets[1], NOW)[3:]}", NOW
        )
        assert totp.is_on(session, "staff", 1) == NOW
    for again in (totp.begin,):
        with pytest.raises(Conflict, match="totp_on"), db.begin() as session:
            again(session, vault, "staff", 1, "ada", NOW)
    with pytest.raises(Conflict, match="totp_on"), db.begin() as session:
        totp.confirm(session, vault, "staff", 1, code_at(secrets[1], NOW), NOW)
    with pytest.raises(Conflict, match="totp_not_begun"), db.begin() as session:
        totp.confirm(session, vault, "staff", 2, "000000", NOW)


def test_a_code_counts_once_and_none_before_it(db: Database, vault: Vault) -> None:
    secret, _ = enrolled(db, vault)
    assert use(db, vault, code_at(secret, NOW), NOW) is None, "it confirmed the enrolment"
    assert use(db, vault, code_at(secret, later(30)), later(30)) == "totp"
    assert use(db, vault, code_at(secret, later(30)), later(31)) is None
    assert use(db, vault, code_at(secret, NOW), later(30)) is None
    assert use(db, vault, code_at(secret, later(90)), later(61)) == "totp", "a phone that runs ahead"
    assert use(db, vault, code_at(secret, later(60)), later(62)) is None


@pytest.mark.parametrize(("off_s", "heard"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_clock_may_be_one_step_off(db: Database, vault: Vault, off_s: int, heard: bool) -> None:
    secret, _ = enrolled(db, vault)
    at = later(3600)
    assert (use(db, vault, code_at(secret, at + timedelta(seconds=off_s)), at) == "totp") is heard


def test_of_eight_who_show_one_code_at_once_one_is_let_in(db: Database, vault: Vault) -> None:
    secret, codes = enrolled(db, vault)
    for shown, kind in ((code_at(secret, later(300)), "totp"), (codes[0].value, "recovery")):
        start, answers = threading.Barrier(8), []

        def show(
            shown: str = shown, start: threading.Barrier = start, answers: list[str | None] = answers
        ) -> None:
            start.wait()
            answers.append(use(db, vault, shown, later(300)))

        threads = [threading.Thread(target=show) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, answers)) == sorted([kind, *["None"] * 7])


def test_ten_recovery_codes_count_once_each_however_they_are_typed(db: Database, vault: Vault) -> None:
    _, codes = enrolled(db, vault)
    assert len({code.value for code in codes}) == 10
    for turn, code in enumerate(codes):
        typed = [code.value, code.value.upper(), code.value.replace("-", " "), code.value.replace("-", "")][
            turn % 4
        ]
        assert use(db, vault, typed, NOW) == "recovery"
        assert use(db, vault, typed, NOW) is None
        with db.begin() as session:
            assert totp.codes_left(session, "staff", 1) == 9 - turn


def test_new_recovery_codes_end_the_old_ones(db: Database, vault: Vault) -> None:
    _, old = enrolled(db, vault)
    with db.begin() as session:
        new = totp.renew_codes(session, vault, "staff", 1)
    assert use(db, vault, old[0].value, NOW) is None
    assert use(db, vault, new[0].value, NOW) == "recovery"


@pytest.mark.parametrize("code", ["", "000000000", "abc", "١٢٣٤٥٦", "\0", "\ud800", "9" * 500, "½"])
def test_what_is_no_code_opens_nothing(db: Database, vault: Vault, code: str) -> None:
    enrolled(db, vault)
    assert use(db, vault, code, later(300)) is None


def test_codes_are_their_owners_only(db: Database, vault: Vault) -> None:
    secret, codes = enrolled(db, vault)
    enrolled(db, vault, subject_id=2)
    enrolled(db, vault, realm="reseller")
    assert use(db, vault, code_at(secret, later(60)), later(60), subject_id=2) is None
    assert use(db, vault, codes[0].value, NOW, subject_id=2) is None
    with db.begin() as session:
        assert totp.use_code(session, vault, "reseller", 1, codes[0].value, NOW) is None


def test_neither_secret_nor_codes_stand_in_the_database(db: Database, vault: Vault) -> None:
    secret, codes = enrolled(db, vault)
    with db.begin() as session:
        dump = session.execute(
            text(
                "SELECT (SELECT string_agg(t::text, '') FROM totp t)"
                " || (SELECT string_agg(r::text, '') FROM recovery_code r)"
            )
        ).scalar_one()
        digests = [bytes(row.digest) for row in session.scalars(select(RecoveryCode))]
    assert secret.hex() not in dump
    assert base64.b32encode(secret).decode() not in dump
    for code in codes:
        assert code.value not in dump
        assert code.value.encode().hex() not in dump
    assert all(len(digest) == 32 for digest in digests)


def test_a_secret_moved_to_somebody_else_does_not_open(db: Database, vault: Vault) -> None:
    secret, _ = enrolled(db, vault)
    enrolled(db, vault, subject_id=2)
    with db.begin() as session:
        session.get_one(Totp, ("staff", 2)).sealed = session.get_one(Totp, ("staff", 1)).sealed
    with pytest.raises(SealBroken):
        use(db, vault, code_at(secret, later(60)), later(60), subject_id=2)
    with db.begin() as session:
        session.get_one(Totp, ("staff", 1)).master = 9
    with pytest.raises(SealBroken, match="master_key_missing"):
        use(db, vault, code_at(secret, later(60)), later(60))


def test_what_is_wiped_is_gone_with_its_codes(db: Database, vault: Vault) -> None:
    secret, codes = enrolled(db, vault)
    with db.begin() as session:
        assert totp.wipe(session, "staff", 1)
        assert not totp.wipe(session, "staff", 1)
    assert use(db, vault, code_at(secret, later(60)), later(60)) is None
    assert use(db, vault, codes[0].value, NOW) is None
