"""The table of interoperability: verdicts in words for a terminal, and where they are from in the document."""

from testbed.interop.table import console_table, markdown
from tests.testbed.test_show import shown

DOCUMENT = {
    "provenance": {
        "kernel": "Linux 6.18.44 #1",
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "cpu": {"usable": [0, 1], "model": "One"},
        "build": "compiled",
    },
    "time": "2026-11-30T10:00:00+00:00",
    "seconds": 60.0,
    "features": {"mp-capable": {"title": "The handshake", "section": "3.1"}},
    "cells": [
        {"feature": "mp-capable", "ours": ours, "family": "v4", "outcome": outcome, "why": why}
        for ours, outcome, why in (("client", "passed", []), ("server", "unsupported", ["the kernel has none"]))
    ],
}


def test_a_terminal_gets_words() -> None:
    (row,) = (line for line in shown(console_table(DOCUMENT)).splitlines() if "mp-capable" in line)
    assert row.split() == ["mp-capable", "pass", "no"]


def test_the_document_says_where_it_is_from() -> None:
    assert "Measured 2026-11-30 at 0123456789 (compiled) on 2 x One: `sudo ./lab interop" in markdown(DOCUMENT)
