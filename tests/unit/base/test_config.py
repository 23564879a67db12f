"""The settings: typed values, errors that help, patches that end, and defaults from the environment."""

import pytest

from graphwright.base.config import Config, Wrapper
from graphwright.base.errors import ConfigError
from graphwright.base.settings import Role, nearest


def test_default_is_read_when_nothing_was_set():
    config = Config()

    assert config.recompile_limit == 8
    assert config.wrapper is Wrapper.NATIVE


def test_text_of_an_enum_member_is_converted():
    config = Config()

    config.wrapper = "python"

    assert config.wrapper is Wrapper.PYTHON


def test_unknown_name_is_an_error_that_names_the_nearest():
    config = Config()

    with pytest.raises(ConfigError) as caught:
        config.recompil_limit = 3

    assert caught.value.name == "recompil_limit"
    assert caught.value.nearest == "recompile_limit"
    assert "did you mean 'recompile_limit'?" in str(caught.value)


def test_reading_an_unknown_name_is_an_error():
    with pytest.raises(ConfigError, match="is not a setting"):
        _ = Config().recompiles


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recompile_limit", "8"),
        ("recompile_limit", True),
        ("recompile_limit", 0),
        ("num_threads", -1),
        ("num_threads", 1.0),
        ("verify", 1),
        ("cache_dir", None),
        ("wrapper", "nativ"),
    ],
)
def test_value_of_a_wrong_type_is_an_error_and_changes_nothing(name, value):
    config = Config()
    before = getattr(config, name)

    with pytest.raises(ConfigError, match=name):
        setattr(config, name, value)

    assert getattr(config, name) == before


def test_patch_ends_with_its_block_even_when_that_raises():
    config = Config()

    def fail_inside():
        with config.patch(recompile_limit=3, verify=True):
            assert (config.recompile_limit, config.verify) == (3, True)
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()

    assert (config.recompile_limit, config.verify) == (8, False)


def test_patch_decorates_a_function_that_calls_itself():
    config = Config()
    seen = []

    @config.patch(recompile_limit=3)
    def descend(depth):
        seen.append(config.recompile_limit)
        if depth:
            config.recompile_limit = 100
            descend(depth - 1)
            assert config.recompile_limit == 100

    descend(1)

    assert seen == [3, 3]
    assert config.recompile_limit == 8


def test_patch_keeps_what_was_set_for_other_names_meanwhile():
    config = Config()

    with config.patch(recompile_limit=3):
        config.cache_key_tag = "set inside"

    assert config.cache_key_tag == "set inside"


def test_patch_of_an_unknown_name_changes_nothing():
    config = Config()

    with pytest.raises(ConfigError):
        config.patch(recompile_limit=3, no_such_setting=1)

    assert config.recompile_limit == 8


def test_snapshot_keeps_its_values_and_refuses_new_ones():
    config = Config()
    frozen = config.snapshot({"wrapper": "python"})

    config.recompile_limit = 5

    assert frozen.recompile_limit == 8
    assert frozen.wrapper is Wrapper.PYTHON
    with pytest.raises(ConfigError, match="snapshot"):
        frozen.recompile_limit = 9


def test_output_settings_are_those_that_change_what_is_compiled():
    config = Config()
    before = config.output_settings()

    config.recompile_limit = 99
    config.cache_dir = "elsewhere"
    assert config.output_settings() == before

    config.num_threads = 3
    assert config.output_settings() == {**before, "num_threads": "3"}


def test_environment_sets_defaults_of_every_kind():
    config = Config.from_environment(
        {
            "GRAPHWRIGHT_WRAPPER": "python",
            "GRAPHWRIGHT_RECOMPILE_LIMIT": " 12 ",
            "GRAPHWRIGHT_DISK_CACHE": "off",
            "GRAPHWRIGHT_CACHE_DIR": "somewhere",
            "PATH": "ignored",
        }
    )

    assert config.wrapper is Wrapper.PYTHON
    assert config.recompile_limit == 12
    assert config.disk_cache is False
    assert config.cache_dir == "somewhere"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("GRAPHWRIGHT_RECOMPILE_LIMIT", "many"),
        ("GRAPHWRIGHT_VERIFY", "maybe"),
        ("GRAPHWRIGHT_WRAPPER", ""),
    ],
)
def test_wrong_text_in_the_environment_is_an_error_that_names_the_variable(variable, text):
    with pytest.raises(ConfigError, match=variable):
        Config.from_environment({variable: text})


def test_unknown_variable_in_the_environment_warns_with_the_nearest():
    with pytest.warns(UserWarning, match="did you mean GRAPHWRIGHT_WRAPPER"):
        Config.from_environment({"GRAPHWRIGHT_WRAPER": "python"})


def test_every_setting_is_documented_and_its_default_is_a_value_of_it():
    for name, setting in Config.settings().items():
        assert setting.doc.endswith("."), name
        assert setting.checked(setting.default) == setting.default, name
        assert setting.role in Role, name


def test_hasattr_of_python_protocols_works():
    assert not hasattr(Config(), "__deepcopy__")


@pytest.mark.parametrize(
    ("name", "expected"), [("defualt", "default"), ("DEFAULT", "default"), ("zzz", None)]
)
def test_nearest_finds_what_was_meant_or_nothing(name, expected):
    assert nearest(name, ["default", "reduce-overhead", "max-autotune"]) == expected
