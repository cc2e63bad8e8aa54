from __future__ import annotations

from pathlib import Path

import pytest

from tokenward.errors import InputError
from tokenward.runtime.batching import BatchingOptions
from tokenward.runtime.guard import GuardOptions
from tokenward.runtime.settings import ServeSettings, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ServeSettings.model_fields:
        monkeypatch.delenv(f"TOKENWARD_{name.upper()}", raising=False)


def test_defaults_are_those_of_the_engine():
    settings = load_settings(["artifact"])
    assert settings.guard_options() == GuardOptions(threads=BatchingOptions().threads())
    assert settings.batching_options() == BatchingOptions()
    assert settings.host == "127.0.0.1"


def test_one_name_everywhere_and_the_nearest_goes_first(tmp_path, monkeypatch):
    file = tmp_path / "serve.yaml"
    file.write_text("artifact: from-file\nport: 1\nmax_texts: 11\nmode: monitor\nlock_mode: true\n")
    monkeypatch.setenv("TOKENWARD_CONFIG", str(file))
    monkeypatch.setenv("TOKENWARD_PORT", "2")
    monkeypatch.setenv("TOKENWARD_MAX_TEXTS", "12")
    settings = load_settings(["--port", "3"])
    assert (settings.port, settings.max_texts, settings.mode, settings.lock_mode) == (3, 12, "monitor", True)
    assert str(settings.artifact) == "from-file"
    assert not load_settings(["--no-lock-mode"]).lock_mode


def test_every_setting_can_be_given_every_way(tmp_path, monkeypatch):
    samples = {
        "mode": "off",
        "fallback": "block",
        "gates": "anomaly, class_token",
        "log_level": "error",
        "host": "::1",
        "model_name": "other",
        "engine": "torch-cuda",
        "token": "x" * 20,
        "queue_texts": 999,
        "port": 81,
        "lock_mode": True,
        "audit_hash": True,
        "screening": False,
    }
    for name, field in ServeSettings.model_fields.items():
        if name not in ("artifact", "config"):
            samples.setdefault(name, f"{name}.x" if "Path" in str(field.annotation) else 7)
    samples |= {"audit_max_bytes": 7000}
    flags = [f"--{n.replace('_', '-')}" + ("" if v is True else f"={v}") for n, v in samples.items()]
    flags[flags.index("--screening=False")] = "--no-screening"
    by_option = load_settings(["artifact", *flags])
    file = tmp_path / "serve.yaml"
    file.write_text("artifact: artifact\n" + "".join(f"{n}: {str(v).lower()}\n" for n, v in samples.items()))
    by_file = load_settings(["--config", str(file)])
    for name, value in samples.items():
        monkeypatch.setenv(f"TOKENWARD_{name.upper()}", str(value))
    by_environment = load_settings(["artifact"])
    assert by_option == by_environment == by_file.model_copy(update={"config": None})
    assert all(getattr(by_option, name) != ServeSettings.model_fields[name].default for name in samples)
    assert by_option.guard_options().gates == ("anomaly", "class_token")


@pytest.mark.parametrize(
    ("arguments", "screening", "lock_mode"),
    [
        ([], True, False),
        (["--screening", "false", "--lock-mode", "true"], False, True),
        (["--screening=False", "--lock-mode=true"], False, True),
        (["--no-screening", "--lock-mode"], False, True),
        (["--lock-mode", "--screening", "true"], True, True),
    ],
)
def test_switches_are_given_as_other_settings_are_or_as_flags(arguments, screening, lock_mode):
    settings = load_settings(["artifact", *arguments])
    assert (settings.screening, settings.lock_mode) == (screening, lock_mode)
    assert load_settings([*arguments, "artifact"]).artifact == Path("artifact")


def test_settings_survive_the_way_to_a_worker(tmp_path, monkeypatch):
    file = tmp_path / "serve.yaml"
    file.write_text("mode: off\nmax_texts: 3\n")
    arguments = ["artifact", "--config", str(file), "--mode", "enforce", "--token", "t" * 20, "--gates", "anomaly"]
    monkeypatch.setenv("TOKENWARD_MODE", "off")
    settings = load_settings(arguments)
    assert (settings.mode, settings.max_texts) == ("enforce", 3)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings.model_copy(update={"config": None})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "setting artifact: give the folder"),
        (["a", "--port", "high"], "setting port: .*'high'"),
        (["a", "--prot", "1"], "--prot"),
        (["a", "b"], "unrecognized arguments: b"),
        (["a", "--mode", "on"], "'enforce', 'monitor' or 'off'"),
        (["a", "--max-texts", "999"], "max_texts .999. is more than queue_texts"),
        (["a", "--config", "missing.yaml"], "cannot be read"),
        (["a", "--deadline-seconds", "0.000001"], "setting deadline_seconds"),
        (["a", "--grace-seconds", "inf"], "setting grace_seconds"),
        (["a", "--budget-share", "inf"], "setting budget_share"),
        (["a", "--threads", "1000000"], "setting threads"),
        (["a", "--token", "sixteen-letters-é"], "setting token: only printable ASCII"),
        (["a", "--token", "sixteen letters in it"], "setting token: only printable ASCII"),
    ],
)
def test_mistakes_are_named_on_one_line(arguments, told):
    with pytest.raises(InputError, match=told) as caught:
        load_settings(arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("prot: 1", "'prot' is unknown"),
        ("- a", "has no settings"),
        ("a: [", "is not YAML"),
        ("port: x", "setting port"),
        ("1: 2", "setting 1 is unknown"),
        ("[1, 2]: 3", "is not YAML"),
        ("_env_file: x", "'_env_file' is unknown"),
        ("host: 2020-13-41", "is not YAML"),
        ("host: !!int ''", "is not YAML"),
        ("a: " + "[" * 1500, "nested too deeply"),
        (b"host: \xff", "is not YAML"),
        ("port: 8000\nport: 9000", "'port' stands twice"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path, content, told):
    file = tmp_path / "serve.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=told) as caught:
        load_settings(["artifact", "--config", str(file)])
    assert "\n" not in str(caught.value)


def test_empty_is_not_given(monkeypatch):
    names = ("config", "cache_file", "checkpoint", "audit_log")
    flags = [f"--{name.replace('_', '-')}=" for name in (*names, "host")]
    for name in (*names, "host"):
        monkeypatch.setenv(f"TOKENWARD_{name.upper()}", "")
    for settings in (load_settings(["artifact", *flags]), load_settings(["artifact"])):
        assert [getattr(settings, name) for name in names] == [None] * 4
        assert settings.host == "127.0.0.1"
        assert settings.audit() is None


def test_an_empty_token_is_no_way_to_ask_for_none(tmp_path, monkeypatch):
    file = tmp_path / "serve.yaml"
    for content in ("token:", "token: ''"):
        file.write_text(content)
        with pytest.raises(InputError, match="setting token: it is empty"):
            load_settings(["artifact", "--config", str(file)])
    with pytest.raises(InputError, match="setting token: it is empty"):
        load_settings(["artifact", "--token="])
    monkeypatch.setenv("TOKENWARD_TOKEN", "")
    with pytest.raises(InputError, match="setting token: it is empty"):
        load_settings(["artifact"])
    monkeypatch.delenv("TOKENWARD_TOKEN")
    assert load_settings(["artifact"]).token is None


def test_files_that_cannot_be_written_are_found_at_start(tmp_path):
    (tmp_path / "file").touch()
    settings = load_settings(["artifact", "--cache-file", str(tmp_path / "new")])
    settings.check_files()
    for option in ("--cache-file", "--audit-log"):
        for folder in ("missing", "file"):
            with pytest.raises(InputError, match="cannot be written"):
                load_settings(["artifact", option, str(tmp_path / folder / "x")]).check_files()


def test_the_token_is_never_shown():
    settings = load_settings(["artifact", "--token", "secret" * 4])
    assert "secret" not in repr(settings) + str(settings.model_dump())
    with pytest.raises(InputError) as caught:
        load_settings(["artifact", "--token", "secret"])
    assert "secret" not in str(caught.value)


def test_a_misspelt_name_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv("TOKENWARD_SERVICE_PORT_HTTP", "8000")  # Kubernetes tells of a service of that name
    monkeypatch.setenv("TOKENWARD_PORT_8000_TCP_ADDR", "10.0.0.7")
    load_settings(["x"])
    monkeypatch.setenv("TOKENWARD_TOKN", "sixteen-characters")
    with pytest.raises(
        InputError, match="TOKENWARD_TOKN in the environment is no setting: did you mean TOKENWARD_TOKEN"
    ):
        load_settings(["x"])
