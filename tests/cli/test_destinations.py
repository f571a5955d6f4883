"""`cardtone destinations` and `cardtone access-numbers` as an operator types them."""

from __future__ import annotations

from .conftest import Cardtone


def test_groups_are_set_listed_and_removed(cardtone: Cardtone) -> None:
    assert "premium" in cardtone("destinations", "groups", "list").out
    ran = cardtone("destinations", "groups", "set", "Balkans", "+381", "385", "00387")
    assert ran.out == "The group Balkans holds 381, 385, 387.\n"
    assert cardtone("destinations", "groups", "list").out.splitlines() == [
        "Group    Prefixes",
        "Balkans  381, 385, 387",
    ]
    assert cardtone("destinations", "groups", "list", "--json").json["groups"] == [
        {"name": "Balkans", "prefixes": ["381", "385", "387"]}
    ]
    assert cardtone("destinations", "groups", "remove", "Balkans").status == 0
    assert cardtone("destinations", "groups", "remove", "Balkans").err == "There is no group named Balkans.\n"


def test_rules_are_added_changed_and_listed(cardtone: Cardtone) -> None:
    cardtone("destinations", "groups", "set", "Balkans", "381")
    ran = cardtone("destinations", "rules", "add", "Careful", "--bar", "premium", "--bar", "Balkans")
    assert ran.out == "The rules Careful bar premium, Balkans and allow all else.\n"
    used = cardtone("destinations", "groups", "remove", "Balkans")
    assert (used.status, used.err) == (
        1,
        "The group Balkans is used by the rules Careful; change those first.\n",
    )
    ran = cardtone("destinations", "rules", "change", "Careful", "--allow", "national")
    assert ran.out == "From now on the rules Careful bar nothing and allow only national.\n"
    assert cardtone("destinations", "rules", "list").out.splitlines() == [
        "Rules          Bar                 Allow",
        "Standard       premium, satellite  all else",
        "No bars        nothing             all else",
        "National only  premium, satellite  only national",
        "Careful        nothing             only national",
    ]
    ran = cardtone("destinations", "rules", "add", "Odd", "--bar", "premium rate")
    assert ran.status == 1
    assert ran.err.startswith("There is no group premium rate; there are Balkans, international, national,")


def test_access_numbers_are_listed_with_what_they_add(cardtone: Cardtone) -> None:
    assert cardtone("access-numbers", "list").out == "No access number is listed yet.\n"
    added = cardtone(
        "access-numbers",
        "add",
        "+44 800 111 222",
        "--name",
        "Freephone London",
        "--country",
        "gb",
        "--per-minute",
        "0.02",
    )
    assert added.out == "44800111222 is listed as Freephone London: in GB, 0.02 a minute.\n"
    again = cardtone("access-numbers", "add", "44800111222", "--name", "Other")
    assert (again.status, again.err) == (1, "The access number 44800111222 is listed already.\n")
    changed = cardtone(
        "access-numbers", "change", "44800111222", "--per-call", "0.5", "--country", "", "--json"
    ).json
    assert (changed["per_call"], changed["per_minute"], changed["country"]) == ("0.5000", "0.0200", None)
    assert cardtone("access-numbers", "disable", "44800111222").status == 0
    assert cardtone("access-numbers", "list").out.splitlines() == [
        "Number       Name              Country  Language  Per minute  Per call  State",
        "44800111222  Freephone London                           0.02      0.50  disabled",
    ]
    assert cardtone("access-numbers", "enable", "44800111222", "--json").json["disabled"] is False


def test_an_access_number_that_makes_no_sense_is_one_plain_sentence(cardtone: Cardtone) -> None:
    for arguments, said in [
        (["12", "--name", "A"], "12 is not an access number; it has 3 to 15 digits."),
        (
            ["44800111222", "--name", "A", "--country", "UK"],
            "UK is not a country; give its two letters, such as GB.",
        ),
        (
            ["44800111222", "--name", "A", "--per-minute", "1,50"],
            "Write the surcharge per minute with a point for the decimals, not a comma: 1,50.",
        ),
        (
            ["44800111222", "--name", "A", "--per-minute", "0.0000001"],
            "The surcharge per minute has more than six decimals: 0.0000001.",
        ),
    ]:
        ran = cardtone("access-numbers", "add", *arguments)
        assert (ran.status, ran.err, ran.out) == (1, said + "\n", "")
    assert cardtone("access-numbers", "list", "--json").json == {"access_numbers": []}
