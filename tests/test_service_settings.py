"""Settings: from the environment, checked at start."""

import msgspec
import pytest

from clpips.service.settings import SETTINGS, Settings, SettingsError
from tests.support.pictures import npy, picture
from tests.support.services import post, rank_body, serving


def refusal(**environment: str) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(environment)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_nothing_need_be_set() -> None:
    assert Settings.from_environment({"PATH": "/bin"}) == Settings()


def test_the_service_is_for_this_machine_alone_unless_told_otherwise() -> None:
    assert Settings().host == "127.0.0.1"


def test_each_setting_has_a_variable_a_default_and_a_description() -> None:
    assert {setting.field for setting in SETTINGS.values()} == {
        field.name for field in msgspec.structs.fields(Settings)
    }
    for variable, setting in SETTINGS.items():
        assert variable == "CLPIPS_" + setting.field.upper()
        assert setting.default == getattr(Settings(), setting.field)
        assert setting.description.endswith(".")


def test_the_limit_of_images_in_hand_says_that_a_lone_request_is_taken_whatever_its_size() -> None:
    assert "while no other is in hand is taken whatever its size" in SETTINGS["CLPIPS_MAX_QUEUE"].description
    images = [npy(picture(seed, 40)) for seed in range(8)]
    with serving(max_queue=4) as client:
        assert post(client, rank_body("msgpack", images[0], images[1:])).status_code == 200


def test_variables_become_typed_values() -> None:
    settings = Settings.from_environment(
        {"CLPIPS_PORT": " 9000 ", "CLPIPS_ENGINE": "onnx", "CLPIPS_BACKBONE": "/a/b", "CLPIPS_THREADS": "2"}
    )
    assert (settings.port, settings.engine, str(settings.backbone), settings.threads) == (9000, "onnx", "/a/b", 2)


def test_options_of_a_command_line_win() -> None:
    settings = Settings.from_environment({"CLPIPS_PORT": "9000", "CLPIPS_HOST": "::1"}, port=9001, host=None)
    assert (settings.port, settings.host) == (9001, "::1")


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("CLPIPS_PORT", "http", "int"),
        ("CLPIPS_PORT", "70000", "65535"),
        ("CLPIPS_PORT", "", "int"),
        ("CLPIPS_HOST", "", "length"),
        ("CLPIPS_ENGINE", "caffe", "expected one of auto, onnx, torch"),
        ("CLPIPS_DEVICE", "tpu", "expected auto, cpu, cuda, or cards by their numbers"),
        ("CLPIPS_MAX_PIXELS", "99999999999", "89478485"),
        ("CLPIPS_MAX_IMAGES", "1", ">= 2"),
        ("CLPIPS_MAX_BODY_BYTES", "128MB", "int"),
        ("CLPIPS_LOG_LEVEL", "loud", "debug, info, warning, error"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(variable: str, value: str, complaint: str) -> None:
    message = refusal(**{variable: value})
    assert message.startswith(f"{variable}={value!r}")
    assert complaint in message


def test_an_unknown_variable_is_named_with_the_likely_one() -> None:
    assert "CLPIPS_PROT is not a setting (did you mean CLPIPS_PORT?)" in refusal(CLPIPS_PROT="1")


def test_everything_wrong_is_said_in_one_line() -> None:
    message = refusal(CLPIPS_PORT="x", CLPIPS_QQQQQQQQ="1", CLPIPS_ENGINE="y")
    assert all(name in message for name in ("CLPIPS_PORT", "CLPIPS_QQQQQQQQ", "CLPIPS_ENGINE"))


def test_kubernetes_links_to_a_service_of_this_name_are_not_settings() -> None:
    links = {
        "CLPIPS_PORT": "tcp://10.0.0.7:8000",
        "CLPIPS_SERVICE_HOST": "10.0.0.7",
        "CLPIPS_SERVICE_PORT": "8000",
        "CLPIPS_SERVICE_PORT_HTTP": "8000",
        "CLPIPS_PORT_8000_TCP": "tcp://10.0.0.7:8000",
        "CLPIPS_PORT_8000_TCP_PROTO": "tcp",
        "CLPIPS_PORT_8000_TCP_ADDR": "10.0.0.7",
    }
    assert Settings.from_environment(links) == Settings()


def test_variables_of_the_tests_are_not_settings() -> None:
    assert Settings.from_environment({"CLPIPS_TEST_GPU": "1"}) == Settings()


def test_variables_of_other_commands_are_not_settings() -> None:
    others = {"CLPIPS_CACHE": "distances", "CLPIPS_KEY": "clpips_secret"}
    assert Settings.from_environment(others) == Settings()
