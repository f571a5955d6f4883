"""A reseller prints its own stock, in its own brand, at its desk."""

from __future__ import annotations

import re
from typing import Any

import pypdfium2
import pytest

from engine import work
from engine.people import brands
from engine.schema import Card
from engine.stock.printing import designs, making, printers, runs
from engine.stock.printing.design import Design
from tests import scenes
from tests.portal.conftest import text_of
from tests.portal.desks import Desks, Keeper
from tests.scenes import NOW, OPERATOR

SEEN = re.compile(r'name="seen" value="([^"]+)"')


def send(keeper: Keeper, path: str, **fields: str) -> Any:
    return keeper.post(path, data={"csrf_token": keeper.token(), **fields})


def part(keeper: Keeper, path: str, **fields: str) -> Any:
    """Send a form as htmx asks for a part of the page."""
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
    return keeper.post(path, data={"csrf_token": keeper.token(), **fields}, headers=headers)


def make_all(desks: Desks) -> None:
    """Do the work that waits, as the worker does."""
    while (claimed := work.claim(desks.db, "test", [runs.KIND], desks.clock.now)) is not None:
        done = making.make(desks.db, desks.vault, claimed, desks.clock)
        work.finish(desks.db, claimed, desks.clock.now, done)


@pytest.fixture(scope="module")
def design(desks: Desks) -> str:
    """A design that resellers may print with."""
    plain = Design("labels-letter-80", logo=False, fields=("serial",))
    return str(designs.add(desks.db, "Small labels", plain, OPERATOR, NOW).id)


def asked(desks: Desks, design: str, first: int, last: int, **more: str) -> dict[str, str]:
    held = desks.corner.held
    ends = {"from_serial": held[first].serial, "to_serial": held[last].serial}
    return {"key": "k", "design": design, "printer": "", "start_at": "1", "reason": "", **ends, **more}


def test_own_cards_are_printed_downloaded_by_who_ordered_them_and_confirmed(
    desks: Desks, design: str
) -> None:
    clerk, path = desks.clerk, "/desk/print/batches/1"
    page = text_of(clerk.get("/desk/print").text)
    assert "10 cards of USD 5.00" in page
    assert "Small labels" in page
    whole = text_of(clerk.get(path).text)
    assert "9 cards on 1 sheet" in whole
    assert "1 card was printed or handed out before." in whole
    form = asked(desks, design, 3, 5)
    look = part(clerk, path, step="look", **form)
    seen = SEEN.search(look.text)[1]  # type: ignore[index]
    assert "3 cards on 1 sheet" in text_of(look.text)
    run = send(clerk, path, step="do", seen=seen, **form).location
    assert re.fullmatch("/desk/print/runs/[0-9]+", run)
    assert send(clerk, path, step="do", seen=seen, **form).location == run
    make_all(desks)
    assert "Did it print well?" in text_of(clerk.get(run).text)

    # The owner of the shop sees that there is a file, and can't have it; nobody else knows of it.
    assert "who ordered it" in text_of(desks.owner.get(run).text)
    assert send(desks.owner, f"{run}/download").status_code == 404
    stranger = desks.keeper("harbour-owner")
    assert stranger.get(run).status_code == 404
    for act in ("download", "confirm", "cancel"):
        assert send(stranger, f"{run}/{act}", key="x").status_code == 404
    assert desks.looking().get(run).status_code == 200
    assert f"{run}/download" not in desks.looking().get(run).text
    assert clerk.post(f"{run}/download").status_code == 403, "without a token"

    file = send(clerk, f"{run}/download")
    assert file.headers["Content-Disposition"].startswith("attachment;")
    with pypdfium2.PdfDocument(file.data) as pdf:
        words = "".join(pdf[0].get_textpage().get_text_range().split())
    for card in desks.corner.held[3:6]:
        assert words.count(card.serial) == words.count(card.password) == 1
        assert card.number not in clerk.get(run).text + clerk.get(path).text
    assert send(clerk, f"{run}/confirm", key="c").location == run
    told = clerk.get(run).text
    assert "3 cards are marked as printed. The file is deleted." in text_of(told)
    assert "shred" not in told.lower()
    assert send(clerk, f"{run}/download").status_code == 404
    with desks.db.begin() as session:
        printed = [session.get_one(Card, card.id).printed_at for card in desks.corner.held[3:7]]
    assert [at is not None for at in printed] == [True, True, True, False]


def test_what_may_not_be_printed_is_said_in_a_shopkeepers_words(desks: Desks, design: str) -> None:
    path = "/desk/print/batches/2"
    june = {"from_serial": desks.corner.june[0].serial, "to_serial": desks.corner.june[-1].serial}
    form = asked(desks, design, 0, 0, **june)
    look = part(desks.owner, path, step="look", **form)
    assert "Activate them first, then print." in text_of(look.text)
    assert 'value="do"' not in look.text
    link = re.search(r'href="(/desk/range[^"]+)"', look.text)
    assert link
    assert desks.owner.get(link[1].replace("&amp;", "&")).status_code == 200
    refused = send(desks.owner, path, step="do", seen=SEEN.search(look.text)[1], **form)  # type: ignore[index]
    assert refused.status_code == 422
    # Another's cards aren't there, and neither is a design that isn't offered, nor another's printer.
    harbour = desks.harbour.held[0].serial
    for wrong in (
        {"to_serial": harbour},
        {"from_serial": harbour, "to_serial": harbour},
        {"design": "2"},
        {"printer": "2"},
    ):
        answer = send(
            desks.owner, "/desk/print/batches/1", step="look", **{**asked(desks, design, 6, 6), **wrong}
        )
        assert answer.status_code == 422, wrong
        assert "Harbour" not in answer.text


def test_a_design_wears_the_brand_of_the_shop(desks: Desks, design: str) -> None:
    picture = f'src="(/desk/print/designs/{design}/card.png[^"]+)"'
    first = re.search(picture, desks.owner.get("/desk/print").text)
    assert first
    brands.set_brand(desks.db, desks.corner.id, "Corner", "#00aa33", OPERATOR, NOW, logo=scenes.logo())
    second = re.search(picture, desks.owner.get("/desk/print").text)
    assert second
    assert first[1] != second[1]
    assert desks.owner.get(second[1]).mimetype == "image/png"
    assert desks.owner.get(f"/desk/print/designs/{design}/sample.pdf").mimetype == "application/pdf"
    assert desks.owner.get("/desk/print/designs/2/card.png").status_code == 404


def test_a_shop_has_printers_of_its_own(desks: Desks) -> None:
    form = {"key": "p", "name": "Counter", "right": "0.5", "right_way": "1", "down": "2", "down_way": "-1"}
    assert send(desks.clerk, "/desk/print/printers/new", **form).location == "/desk/print/printers"
    assert (500, -2000) in [one.offset_um for one in printers.printers(desks.db, desks.corner.id)]
    assert "0.5 mm right, 2 mm up" in text_of(desks.owner.get("/desk/print/printers").text)
    for path in ("/desk/print/measure.pdf?printer=2", "/desk/print/measure.pdf?design=2"):
        assert desks.owner.get(path).status_code == 404
    page = desks.owner.get("/desk/print/measure.pdf?printer=1")
    with pypdfium2.PdfDocument(page.data) as pdf:
        assert "1.5 mm right, 0.3 mm up" in pdf[0].get_textpage().get_text_range().replace("\r\n", " ")
