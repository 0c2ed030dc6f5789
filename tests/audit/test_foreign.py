"""Tables that were made elsewhere: how they are read, and what is said of wrong input."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit import ForeignTable, all_checks, load_foreign
from audit.mapping import guessed_group, load_mapping, shipped
from audit.result import THRESHOLDS, load_thresholds
from audit.table import read_table
from topologies.errors import InputError, NotFoundError

DATA = os.environ.get("GSTA_DATA")
CIC_ROW = {
    "Flow ID": "a-b-1-2-6", " Source IP": "192.168.10.5", " Source Port": 5_000,
    " Destination IP": "192.168.10.50", " Destination Port": 80, " Protocol": 6,
    " Timestamp": "7/7/2017 3:30", " Flow Duration": 100, " Total Fwd Packets": 3,
    " Total Backward Packets": 2, "Total Length of Fwd Packets": 90,
    " Total Length of Bwd Packets": 100, " Fwd Header Length": 20, "Flow Bytes/s": "Infinity",
    " Flow IAT Mean": 1.5, " FIN Flag Count": 0, " Fwd Header Length ": 20,
    "Init_Win_bytes_forward": 8192, " Label": "BENIGN",
}  # fmt: skip
CIDDS = """Date first seen,Duration,Proto,Src IP Addr,Src Pt,Dst IP Addr,Dst Pt,Packets,Bytes,\
Flows,Flags,Tos,class,attackType,attackID,attackDescription
2017-03-15 00:01:16.632,0.000,TCP  ,192.168.100.5,445,192.168.220.16,58844,1,108,1,.AP...,0,\
normal,---,---,---
2017-03-15 00:01:17.632,0.100,TCP  ,192.168.100.5,445,192.168.220.17,58845,9,  1.2 M,1,.AP.SF,0,\
attacker,dos,7,hulk
2017-03-15 00:01:18.632,0.100,UDP  ,EXT_SERVER,445,192.168.220.17,58846,9,  3.5 K,1,......,0,\
unknown,---,---,---
"""


@pytest.fixture
def csv(tmp_path):
    """Write a CSV file; its path."""

    def write(text, name="flows.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def cic(rows, **changed):
    lines = [",".join(CIC_ROW)]
    lines += [",".join(map(str, (CIC_ROW | changed | row).values())) for row in rows]
    return "\n".join(lines) + "\n"


def judged(id_, source, thresholds=THRESHOLDS):
    checks = all_checks()
    return checks[id_](load_foreign(source).data, load_thresholds(thresholds, known=checks))


def test_the_mappings_that_ship_are_valid_and_name_a_label():
    assert shipped() == ["cic-ids2017", "cidds-001", "nsl-kdd", "unsw-nb15", "unsw-nb15-full"]
    for name in shipped():
        mapping = load_mapping(name).model
        assert (mapping.name, mapping.label is not None) == (name, True)
        assert mapping.benign
        assert mapping.source.startswith("https://")


def test_cic_ids2017_is_read_with_its_names_code_page_and_infinities(csv):
    text = cic([{}, {" Label": "Web Attack \N{EN DASH} XSS", "Flow Bytes/s": 12.5}])
    data = load_foreign(ForeignTable((csv(text, encoding="cp1252"),), mapping="cic-ids2017")).data
    assert data.label.tolist() == ["BENIGN", "Web Attack \N{EN DASH} XSS"]
    roles = {field.name: field.metadata[b"role"] for field in data.fields}
    assert roles["Flow ID"] == b"identity"
    assert roles["Source IP"] == roles["Source Port"] == b"key"
    assert {"Fwd Header Length", "Fwd Header Length.1", "Flow IAT Mean"} <= {
        field.name for field in data.features
    }
    assert data.values("Flow Bytes/s").tolist() == [np.inf, 12.5]
    assert data.values("c2s_packets").tolist() == [3, 3]
    assert data.malicious(data.label).tolist() == [False, True]


def test_what_the_published_files_suffer_from_is_found(csv):
    rows = [
        {" Flow IAT Mean": n * 37 % 81, " Label": "Bot" if n % 2 else "BENIGN"} for n in range(80)
    ]
    source = ForeignTable((csv(cic(rows)),), mapping="cic-ids2017")
    assert judged("B4", source).verdict == "fail"
    found = judged("D1", source)
    assert found.evidence == ("Destination Port: its name or group is an identifier's",)
    assert judged("C1", source).evidence == ("the table does not record how it was made",)
    assert judged("A1", source).verdict == "not_applicable"


def test_cidds_001_is_read_with_its_magnitudes_commands_and_gaps(csv):
    foreign = load_foreign(ForeignTable((csv(CIDDS),), mapping="cidds-001"))
    data = foreign.data
    assert data.values("Bytes").tolist() == [108, 1.2e6, 3.5e3]
    assert data.codes("command")[1] == ("---", "7")
    assert data.label.tolist() == ["normal", "attacker", "unlabelled"]
    assert "label 'unknown' counts as none in 1 flows, as the mapping says" in foreign.notes
    assert [field.name for field in data.features] == [
        "Duration", "Proto", "Packets", "Bytes", "Flows", "Flags", "Tos"
    ]  # fmt: skip


def test_one_attack_command_of_most_flows_is_found_in_cidds(csv):
    head, normal, attack, _ = CIDDS.splitlines()
    text = "\n".join([head, *[normal] * 5, *[attack] * 27, *[attack.replace(",7,", ",8,")] * 3])
    found = judged("F2", ForeignTable((csv(text),), mapping="cidds-001"))
    assert (found.verdict, "attacker: 90.0 % by 7, 2 commands in all" in found.evidence) == (
        "fail", True
    )  # fmt: skip


def test_labels_with_blanks_and_plurals_are_found_and_never_mended_in_silence(csv, tmp_path):
    text = "a,label\n" + "".join(
        f"{n},{['Backdoor', ' Fuzzers ', 'Backdoors', 'http', 'https'][n % 5]}\n" for n in range(50)
    )
    source = ForeignTable((csv(text),), label_column="label")
    result = judged("C6", source)
    assert result.evidence == (
        "one label in several spellings: 'Backdoor' (10 flows), 'Backdoors' (10 flows)",
        "' Fuzzers ' has blanks around it (10 flows)",
    )
    mapping = tmp_path / "mine.yaml"
    mapping.write_text(
        "name: mine\n"
        "columns: {label: {role: label}}\n"
        "rename_labels: {Backdoors: Backdoor, ' Fuzzers ': Fuzzers}\n"
    )
    source = ForeignTable(source.flows, mapping=mapping)
    assert judged("C6", source).verdict == "pass"
    assert "label 'Backdoors' became 'Backdoor' in 10 flows, as the mapping says" in (
        load_foreign(source).notes
    )


def test_a_column_of_numbers_that_ends_in_text_is_text(csv):
    lines = "".join(f"{n},{n % 3},x\n" for n in range(2_000))
    path = csv(f"a,b,label\n{lines}none,1,y\n")
    table = read_table(path, load_mapping(None).model)
    assert table["a"][-1].as_py() == "none"
    assert pa.types.is_integer(table["b"].type)


def test_files_for_training_and_judging_are_runs_and_splits(csv):
    text = "a,label\n" + "".join(f"{n},{'xy'[n % 2]}\n" for n in range(20))
    source = ForeignTable((csv(text, "one.csv"),), (csv(text, "two.csv"),), label_column="label")
    data = load_foreign(source).data
    assert (data.train.sum(), data.test.sum()) == (20, 20)
    assert data.codes("run")[1] == ("one.csv", "two.csv")
    found = judged("E1", source)
    assert (found.verdict, found.value) == ("fail", 1.0)


def test_a_split_column_divides_and_parquet_is_read(tmp_path):
    path = tmp_path / "flows.parquet"
    table = pa.table(
        {"a": np.arange(6.0), "label": list("xyxyxy"), "part": ["train"] * 4 + ["Test"] * 2}
    )
    pq.write_table(table, path)
    data = load_foreign(ForeignTable((path,), (), "label", "part")).data
    assert (data.train.sum(), data.test.sum()) == (4, 2)
    assert [field.name for field in data.fields] == ["a"]


def test_without_a_split_twins_are_counted_anywhere(csv):
    text = "a,label\n" + "".join(f"{n // 2},{'xy'[n % 2]}\n" for n in range(20)) + "99,x\n"
    found = judged("E1", ForeignTable((csv(text),), label_column="label"))
    assert (found.verdict, found.value) == ("info", 20 / 21)


WRONG = {
    "no file": (
        lambda p: ForeignTable((p / "none.csv",), label_column="label"),
        r"none\.csv: expected a CSV or Parquet file, got none; check the path",
    ),
    "no label": (
        lambda p: ForeignTable((p / "good.csv",)),
        (
            r"good\.csv: label column: expected a column with the labels among a, label, got none "
            r"named; name it with --label-column"
        ),
    ),
    "another label": (
        lambda p: ForeignTable((p / "good.csv",), label_column="labels"),
        r"expected one of a, label, got 'labels'; did you mean 'label'\?",
    ),
    "no split": (
        lambda p: ForeignTable((p / "good.csv",), (), "label", "a"),
        r"split column: expected texts that begin with train .* got 1",
    ),
    "no mapping": (
        lambda p: ForeignTable((p / "good.csv",), mapping="cic-2017"),
        r"cic-2017: expected a mapping file, or one of cic-ids2017, .* got neither",
    ),
    "wrong mapping": (
        lambda p: ForeignTable((p / "good.csv",), mapping=p / "wrong.yaml"),
        (
            r"wrong\.yaml:2: columns\.labl: expected a column of .*good\.csv, got 'labl'; "
            r"did you mean 'label'\?"
        ),
    ),
    "other columns": (
        lambda p: ForeignTable((p / "good.csv", p / "other.csv"), label_column="label"),
        r"other\.csv: a, b: expected the columns of .*good\.csv, got others",
    ),
    "no table": (
        lambda p: ForeignTable((p / "ragged.csv",), label_column="label"),
        r"ragged\.csv: expected a table of flows, got .*; check delimiter",
    ),
    "empty": (
        lambda p: ForeignTable((p / "empty.csv",), label_column="label"),
        r"empty\.csv: expected one flow or more, got none",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_clear_error(case, csv, tmp_path):
    csv("a,label\n1,x\n", "good.csv")
    csv("b,label\n1,x\n", "other.csv")
    csv("a,label\n1,x\n1,2,3\n", "ragged.csv")
    csv("a,label\n", "empty.csv")
    csv("name: wrong\ncolumns: {labl: {role: label}}\n", "wrong.yaml")
    make, message = WRONG[case]
    with pytest.raises(InputError, match=message):
        load_foreign(make(tmp_path))


def test_a_wrong_mapping_tells_every_fault(csv):
    path = csv("name: x\nheadr: []\ncolumns: {a: {role: labl}}\n", "m.yaml")
    with pytest.raises(InputError) as caught:
        load_mapping(path)
    assert [(p.line, p.path) for p in caught.value.problems] == [
        (2, "headr"), (3, "columns.a.role")
    ]  # fmt: skip
    with pytest.raises(NotFoundError):
        load_mapping("nothing")


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("Fwd IAT Mean", "timing"), ("Flow Bytes/s", "rates"), ("Init_Win_bytes_forward", "stack"),
        ("SYN Flag Count", "flags"), ("payload_bytes", "sizes"), ("Total Fwd Packets", "counts"),
        ("hot", "others"),
    ],
)  # fmt: skip
def test_groups_are_guessed_by_name(name, group):
    assert guessed_group(name) == group


@pytest.mark.skipif(not DATA, reason="GSTA_DATA names no folder of real data")
def test_nsl_kdd_is_audited_as_published():
    folder = Path(str(DATA)) / "nsl_kdd"
    files = [folder / "KDDTrain+_20Percent.txt.gz", folder / "KDDTest+.txt.gz"]
    with gzip.open(files[0]) as stream:
        assert len(stream.readline().split(b",")) == 43
    data = load_foreign(ForeignTable((files[0],), (files[1],), mapping="nsl-kdd")).data
    assert (data.train.sum(), data.test.sum()) == (25_192, 22_544)
    checks = all_checks()
    limits = load_thresholds(THRESHOLDS, known=checks)
    assert checks["C5"](data, limits).verdict == "fail"
    assert checks["E1"](data, limits).value == pytest.approx(118 / 22_544)
    assert checks["D1"](data, limits).verdict == "pass"
