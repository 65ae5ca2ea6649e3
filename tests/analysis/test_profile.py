"""Samples of perf by layer: what belongs where, and microseconds a unit."""

from collections import Counter

import pytest
from rich.table import Table

from analysis.profile import (
    COLLECTOR,
    COPIES,
    INTERPRETER,
    KERNEL,
    KERNEL_COPIES,
    OTHERS,
    RUN_TIME,
    Layers,
    by_layer,
    samples,
    table,
)
from mptcp_stack.build.unit import STACK

CORE = "/x/mptcp_stack/_compiled/1/mptcp_stack__mypyc.cpython-311-x86_64-linux-gnu.so"
PYTHON = "/usr/lib/libpython3.11.so.1.0"
LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
KALLSYMS = "[kernel.kallsyms]"


@pytest.mark.parametrize(
    ("symbol", "library", "layer"),
    [
        ("CPyDef_sender___Sender___on_ack", CORE, "tcp"),
        ("CPyDef_subflow___subflow___Subflow_____repr__", CORE, "mptcp"),
        ("CPyDef_path_manager___events___AddressWithdrawn", CORE, "mptcp"),
        ("CPyDef_stack___Stack____contain", CORE, "stack"),
        ("CPyDef_send_queue___SendQueue___take.constprop.0", CORE, "storage"),
        ("CPyPy_driver___Driver___after_wait", CORE, "runtime"),
        ("CPyTagged_Add", CORE, RUN_TIME),
        ("subflow_traverse", CORE, RUN_TIME),
        ("_PyEval_EvalFrameDefault", PYTHON, INTERPRETER),
        ("gc_collect_main", "/usr/bin/python3.11", COLLECTOR),
        ("visit_decref", PYTHON, COLLECTOR),
        ("__memmove_avx_unaligned_erms", LIBC, COPIES),
        ("malloc", LIBC, OTHERS),
        ("rep_movs_alternative", KALLSYMS, KERNEL_COPIES),
        ("tcp_sendmsg_locked", KALLSYMS, KERNEL),
    ],
)
def test_what_belongs_where(symbol: str, library: str, layer: str) -> None:
    assert Layers(STACK.compiled()).of(symbol, library) == layer


def test_samples_are_counted_by_program() -> None:
    lines = [
        f"  17  ffffffff816364b9 tcp_v4_rcv ({KALLSYMS})\n",
        f"17      7fa8b68f2cbe CPyDef_sender___Sender___room ({CORE})",
        f"17      7fa8b68f2cbe CPyDef_sender___Sender___room ({CORE})",
        f"99      7fa8b68f2cbe memcpy ({LIBC})",
        "18      7fa8b68f2cbe [unknown] (/tmp/a name with (brackets))",
        "# no sample",
        "",
    ]
    found = by_layer(samples(lines), {17: "server", 18: "client"}, Layers(STACK.compiled()))
    assert found == {"server": Counter({KERNEL: 1, "tcp": 2}), "client": Counter({OTHERS: 1})}


def test_the_table_has_microseconds_a_unit() -> None:
    found = {"server": Counter({"tcp": 30, KERNEL: 10}), "client": Counter({KERNEL: 5})}
    result = table("a row", found, sample_us=500, units=1000, unit="request")
    assert isinstance(result, Table)
    columns = [list(column.cells) for column in result.columns]
    assert columns == [
        ["tcp", KERNEL, "all"],
        ["15.00", "5.00", "20.00"],
        ["75%", "25%", "100%"],
        ["0.00", "2.50", "2.50"],
        ["0%", "100%", "100%"],
    ]
