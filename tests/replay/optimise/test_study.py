from __future__ import annotations

from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.optimise.study import Outcome, Plan, Study, StudyError
from replay.source import DataIdentity
from replay.spec import BacktestSpec


def plan(**more):
    given_ = {
        "spec": BacktestSpec(data=("d",), strategy="ma_cross"),
        "data": DataIdentity(journal_id="j", first_seq=1, last_seq=9),
        "axes": {"fast": [1, 2, 3], "short": [True, False], "quantity": ["0.5"]},
        "search": "grid",
        "objectives": [("sharpe", "maximize")],
        "constraints": ["orders>=3"],
        "seed": 1,
    }
    return Plan(**{**given_, **more})


def outcome(number):
    return Outcome(
        number=number,
        parameters={"fast": number, "short": True, "quantity": "0.5"},
        metrics={"sharpe": 1.5, "calmar": None, "orders": 7},
        returns=[0.1, -0.25],
        seconds=0.5,
        result_sha256="ab",
    )


def written(path, count=3):
    with Study(path, plan()) as study:
        for number in range(count):
            study.add(outcome(number))
    return path.read_bytes()


def test_results_are_there_again_when_the_study_is_opened_again(tmp_path):
    written(tmp_path / "study")
    with Study(tmp_path / "study", plan()) as study:
        assert study.outcomes == {number: outcome(number) for number in range(3)}


def test_a_study_without_a_file_keeps_results_in_memory():
    with Study(None, plan()) as study:
        study.add(outcome(0))
        assert study.outcomes == {0: outcome(0)}


@given(st.data())
def test_whatever_a_crash_left_of_the_last_line_the_results_before_it_are_kept(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("torn") / "study"
    content = written(path)
    last = content.rindex(b"\n", 0, -1) + 1
    torn = content[: data.draw(st.integers(last, len(content) - 1))]
    path.write_bytes(torn + data.draw(st.sampled_from([b"", b"\n", b"\0" * 30, b"\0" * 30 + b"\n"])))
    with Study(path, plan()) as study:
        assert set(study.outcomes) in ({0, 1}, {0, 1, 2})
        study.add(outcome(9))
    with Study(path, plan()) as study:
        assert 9 in study.outcomes


def test_damage_before_the_last_line_is_refused(tmp_path):
    path = tmp_path / "study"
    content = written(path)
    at = content.index(b"\n") + 20
    path.write_bytes(content[:at] + b"#" + content[at + 1 :])
    with pytest.raises(StudyError, match="is no line of a study"):
        Study(path, plan())
    assert path.read_bytes()[at : at + 1] == b"#"


@pytest.mark.parametrize("content", [b"hello", b"a,b,c\n1,2,3\n", b"\0"])
def test_somebody_elses_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(StudyError, match="is no line of a study"):
        Study(path, plan())
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"seed": 2}, "another seed: 1, not 2"),
        ({"search": "random"}, 'another search: "grid", not'),
        ({"axes": {"fast": [1]}}, "another space"),
        ({"data": DataIdentity(journal_id="other", first_seq=1, last_seq=9)}, "another range of events"),
        ({"spec": BacktestSpec(data=("d",), strategy="ma_cross", cash="5")}, "another specification"),
    ],
)
def test_a_study_of_something_else_is_refused(tmp_path, more, says):
    written(tmp_path / "study")
    with pytest.raises(StudyError, match=says):
        Study(tmp_path / "study", plan(**more))


def test_a_study_in_use_is_refused(tmp_path):
    with Study(tmp_path / "study", plan()), pytest.raises(StudyError, match="another search holds"):
        Study(tmp_path / "study", plan())


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"taped_study": 1, "plan": {}}, "not a study of this version"),
        (
            {"taped_study": 2, "plan": msgspec.to_builtins(plan())},
            "a study of format 2, this version reads 1",
        ),
    ],
)
def test_a_study_of_another_version_is_refused(tmp_path, header, says):
    path = tmp_path / "study"
    body = msgspec.json.encode(header)
    path.write_bytes(b"%08x %b\n" % (crc32(body), body))
    with pytest.raises(StudyError, match=says):
        Study(path, plan())
