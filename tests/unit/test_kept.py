"""Compiled programs outlive the process, and nothing that goes wrong with them reaches a user."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.inference import _kept
from bayes_scaling.inference._cache import SWITCH, cache_folder
from bayes_scaling.inference._kept import Kept
from bayes_scaling.inference.target import target_of
from bayes_scaling.program import prepare

FIT = """
import sys, numpy as np, bayes_scaling as bs
fit = bs.fit(bs.ScalingModel(), bs.load_dataset("simulated-chinchilla"), draws=400)
print("numpyro" in sys.modules, repr(float(fit.posterior.alpha.sum())))
"""


LOST = """
import jax
from bayes_scaling.inference._cache import cache_folder, keep_compiled
from test_kept import RUNS, Kept, check, doubled
keep_compiled()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
check(Kept(doubled))
[path] = (cache_folder() / "programs").glob("*.bin")
path.unlink()  # pruned, say, while JAX's own cache still holds the program
check(Kept(doubled))
check(Kept(doubled))  # from the file: nothing is traced
print(len(RUNS))
"""


def processes(count, folder):
    env = {**os.environ, SWITCH: str(folder)}
    running = [
        subprocess.Popen([sys.executable, "-c", FIT], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [p.communicate()[0].split() for p in running], [p.returncode for p in running]


@pytest.mark.slow  # three processes, each importing and fitting
def test_a_second_process_traces_nothing_and_two_at_once_share_a_folder(tmp_path):
    first, codes = processes(2, tmp_path / "cache")
    assert codes == [0, 0]
    assert [traced for traced, _ in first] == ["True", "True"]
    kept = sorted((tmp_path / "cache" / "programs").iterdir())
    assert {p.suffix for p in kept} == {".bin"}
    (second,), _ = processes(1, tmp_path / "cache")
    assert second == ["False", first[0][1]]  # NumPyro was not even imported: the same draws


@dataclass(frozen=True)
class Plain:
    """A target whose program says what it is made from."""

    program: "Plain | None" = None
    identity: str = "doubling"
    sites: tuple = ()


TARGET = Plain(Plain())
RUNS = []


def doubled(target, x):
    RUNS.append(1)  # while it is traced
    return {"twice": 2 * x["a"], "eigen": jax.numpy.linalg.eigvalsh(x["b"])}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(SWITCH, str(tmp_path))
    RUNS.clear()
    return tmp_path / "programs"


X = {"a": np.arange(3.0, dtype="float32"), "b": np.eye(2, dtype="float32")}


def check(program, target=TARGET, x=X):
    out = program(target, x)
    np.testing.assert_array_equal(out["twice"], 2 * x["a"])
    np.testing.assert_allclose(out["eigen"], 1.0)


def test_kept_in_memory_then_on_disk(folder):
    program = Kept(doubled)
    check(program)
    check(program, x={**X, "a": X["a"] + 1})
    assert len(RUNS) == 1
    check(Kept(doubled))  # as another process would
    assert len(RUNS) == 1
    check(program, x={**X, "a": np.arange(4.0, dtype="float32")})
    assert len(RUNS) == 2
    assert len(list(folder.glob("*.bin"))) == 2


def test_a_file_lost_while_jax_kept_the_program_is_written_anew(tmp_path):
    env = {**os.environ, SWITCH: str(tmp_path), "PYTHONPATH": str(Path(__file__).parent)}
    out = subprocess.run([sys.executable, "-c", LOST], env=env, capture_output=True, text=True)
    assert out.stdout == "2\n", out.stderr


def test_a_program_that_is_not_ours_is_left_to_jax(folder):
    program = Kept(doubled)
    check(program, target=Plain(Plain(identity="")))
    assert len(RUNS) == 1
    assert not folder.exists()


def test_another_identity_version_or_source_is_another_program(folder, monkeypatch):
    check(Kept(doubled))
    check(Kept(doubled), target=Plain(Plain(identity="else")))
    monkeypatch.setattr(_kept, "_machine", lambda: "another machine")
    check(Kept(doubled))
    assert len(RUNS) == 3
    assert len(list(folder.glob("*.bin"))) == 3


@pytest.mark.parametrize("harm", ["cut", "nonsense", "marked"])
def test_a_spoilt_file_is_compiled_anew(harm, folder):
    check(Kept(doubled))
    (path,) = folder.glob("*.bin")
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif harm == "nonsense":
        path.write_bytes(b"\\x80nothing")
    else:  # a process died while it first ran what the file holds
        path.with_suffix(".trying").touch()
    check(Kept(doubled))
    assert len(RUNS) == 2


def test_an_interrupt_is_no_reason_to_mistrust_a_file(folder, monkeypatch):
    check(Kept(doubled))

    def interrupted(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(jax, "block_until_ready", interrupted)
        with pytest.raises(KeyboardInterrupt):
            check(Kept(doubled))
    assert [p.suffix for p in folder.iterdir()] == [".bin"]
    check(Kept(doubled))
    assert len(RUNS) == 1


def test_the_oldest_go_first(folder, monkeypatch):
    monkeypatch.setattr(_kept, "LIMIT", 0)
    check(Kept(doubled))
    assert list(folder.glob("*.bin")) == []
    monkeypatch.setattr(_kept, "LIMIT", 10**9)
    check(Kept(doubled))
    assert len(list(folder.glob("*.bin"))) == 1


@pytest.mark.parametrize("value", ["off", "OFF", "0", "false"])
def test_it_can_be_switched_off(value, monkeypatch):
    monkeypatch.setenv(SWITCH, value)
    assert cache_folder() is None
    RUNS.clear()
    check(Kept(doubled))
    check(Kept(doubled))
    assert len(RUNS) == 2


def test_a_folder_that_cannot_be_made_or_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv(SWITCH, str(tmp_path / "file" / "cache"))
    assert cache_folder() is None
    monkeypatch.setenv(SWITCH, str(tmp_path / "cache"))
    monkeypatch.setattr("os.access", lambda *_: False)
    assert cache_folder() is None
    check(Kept(doubled))


def test_a_law_of_the_users_own_has_no_identity(ladder):
    @dataclass(frozen=True)
    class Mine(bs.Chinchilla):
        pass

    runs = bs.read_runs(ladder(0))
    assert prepare(bs.ScalingModel(law=Mine()), runs).program.identity == ""
    ours = prepare(bs.ScalingModel(), runs)
    assert "Chinchilla" in ours.program.identity
    other = prepare(bs.ScalingModel(observation=bs.Normal()), runs)
    assert other.program.identity != ours.program.identity
    assert target_of(ours.program, ours.data).size == 7
