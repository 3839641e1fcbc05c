"""Settings: values parse to their types, wrong ones are refused in one helpful line."""

from __future__ import annotations

import pytest

from nnshell.support.errors import UsageError
from nnshell.support.settings import SETTINGS, Settings, describe, why_dropped, why_without_effect


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("l1_size", "48000", 48000),
        ("l1_size", "48k", 48000),
        ("l1_size", "64Ki", 65536),
        ("l2_size", "0x1000", 4096),
        ("fc_freq", "250e6", 250_000_000),
        ("image_width", "224", 224),
        ("input_divisor", "0.5", 0.5),
        ("input_divisor", "255", 255.0),
        ("graph_monitor_cycles", "On", True),
        ("graph_reorder_constant_in", "FALSE", False),
        ("log_level", "debug", "DEBUG"),
        ("image_mode", "rgb", "RGB"),
        ("input_norm_func", "x: x/128-1", "x: x/128-1"),
        ("image_transpose", "true", True),
    ],
)
def test_a_word_becomes_a_value_of_the_settings_type(name: str, text: str, value: object) -> None:
    settings = Settings()
    settings.parse(name, text)
    assert settings[name] == value
    assert type(settings[name]) is describe(name).type


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l1_size", "large"),
        ("l1_size", "0.5"),
        ("l1_size", "0"),
        ("l1_size", "nan"),
        ("input_divisor", "inf"),
        ("graph_monitor_cycles", "2"),
        ("cluster_num_cores", "3"),
        ("int8_target", "board"),
        ("image_width", "-2"),
        ("kernels", "cmsis"),
        ("chip", "gap9"),
    ],
)
def test_a_wrong_word_names_the_setting_and_leaves_the_value(name: str, text: str) -> None:
    settings = Settings()
    with pytest.raises(UsageError) as caught:
        settings.parse(name, text)
    assert name in str(caught.value) and caught.value.hint
    assert settings == Settings()


@pytest.mark.parametrize("name", ["kernels", "chip"])
def test_some_settings_take_a_file_too(name: str) -> None:
    settings = Settings()
    settings.parse(name, "mine.toml")
    assert settings[name] == "mine.toml"


def test_an_unknown_name_lists_near_names() -> None:
    with pytest.raises(UsageError, match="l1_size"):
        Settings().parse("l1_sise", "1")


def test_assign_refuses_a_value_of_another_type() -> None:
    with pytest.raises(UsageError):
        Settings().assign("l1_size", "64000")
    with pytest.raises(UsageError):
        Settings().assign("anonymise", 1)


def test_assign_returns_the_value_before() -> None:
    settings = Settings()
    assert settings.assign("l1_size", 48000) == 64000
    assert settings.l1_size == 48000


def test_a_copy_is_independent() -> None:
    settings = Settings()
    other = settings.copy()
    other.assign("l1_size", 1)
    assert settings.l1_size == 64000
    assert [s.name for s in other.changed()] == ["l1_size"]


def test_every_default_is_accepted_by_its_own_setting() -> None:
    for setting in SETTINGS.values():
        assert setting.check(setting.default) == setting.default
        assert setting.parse(str(setting.default)) == setting.default
        assert setting.doc


def test_settings_of_other_versions_say_why_they_do_nothing() -> None:
    assert why_dropped("gen_name_suffix")
    assert not why_dropped("l1_size")
    assert not [name for name in SETTINGS if why_dropped(name)]


def test_settings_without_effect_say_so_only_when_that_matters() -> None:
    assert why_without_effect("load_dequantized", "true")
    assert not why_without_effect("load_dequantized", "false")
    assert why_without_effect("gen_name_suffix", "")
    assert not why_without_effect("l1_size", "1")
