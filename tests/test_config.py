"""Settings: every source, every setting's accepted and refused values, and what errors say."""

import argparse
import dataclasses
import ipaddress
import subprocess
import sys
from pathlib import Path

import pytest
from roomline.config import Settings, SettingsError, add_flags, load
from roomline.config.reference import render
from roomline.config.settings import CONSOLE_GROUPS, DECLARATIONS, GROUPS
from roomline.config.settings import TRANSPORTS as OFFERED
from roomline.config.sources import NAMES
from roomline.config.values import BUILT_IN_NAMESPACES
from roomline.core.policy import Namespace, Rule
from roomline.transport import TRANSPORTS

ROOT = Path(__file__).parents[1]
SECRET = "s3cret-" * 6
TOKEN = "t0ken-" * 6


def from_environment(**values: str) -> Settings:
    return load({}, {f"ROOMLINE_{name.upper()}": value for name, value in values.items()})


def problems(
    flags: dict[str, object] | None = None, environment: dict[str, str] | None = None
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(flags or {}, environment or {})
    return caught.value.problems


def problem(flags: dict[str, object] | None = None, **environment: str) -> str:
    (found,) = problems(flags, {f"ROOMLINE_{k.upper()}": v for k, v in environment.items()})
    return found


class TestSources:
    def test_defaults_are_what_is_declared(self) -> None:
        settings = load({}, {})
        assert settings == Settings()
        assert settings.broker == "embedded:roomline.sqlite3"
        assert settings.port == 8001
        assert not settings.anonymous
        assert settings.keys is None

    def test_each_source_outranks_the_one_before(self, tmp_path: Path) -> None:
        file = tmp_path / "settings.toml"
        file.write_text('port = 1\ninternal_port = 1\nprefix = "/file"\nanonymous = true\n')
        environment = {
            "ROOMLINE_CONFIG": str(file),
            "ROOMLINE_PORT": "2",
            "ROOMLINE_INTERNAL_PORT": "2",
            "UNRELATED": "x",
        }
        settings = load({"port": "3", "command": print}, environment)
        assert (settings.port, settings.internal_port, settings.prefix) == (3, 2, "/file")
        assert settings.anonymous

    def test_the_flag_for_the_file_outranks_the_variable(self, tmp_path: Path) -> None:
        (tmp_path / "a.toml").write_text("port = 1")
        flags = {"config": str(tmp_path / "a.toml")}
        assert load(flags, {"ROOMLINE_CONFIG": "/does/not/exist"}).port == 1

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        missing = str(tmp_path / "missing.toml")
        assert problem(config=missing) == (
            f"the settings file: {missing!r} cannot be read: No such file or directory"
        )

    def test_a_file_that_is_not_toml(self, tmp_path: Path) -> None:
        file = tmp_path / "a.toml"
        file.write_text("port = ")
        assert "is not TOML" in problem(config=str(file))
        file.write_bytes(b"\xff")
        assert "UTF-8" in problem(config=str(file))

    def test_an_unknown_key_names_near_ones(self, tmp_path: Path) -> None:
        file = tmp_path / "a.toml"
        file.write_text("heart_beat = 5")
        text = problem(config=str(file))
        assert text.startswith(f"heart_beat in {file} is not a setting; near to it: heartbeat in")

    def test_an_unknown_variable_names_near_ones(self) -> None:
        assert problem(orgins="https://a.example") == (
            "the environment variable ROOMLINE_ORGINS is not a setting;"
            " near to it: the environment variable ROOMLINE_ORIGINS"
        )

    def test_an_unknown_name_that_is_near_to_nothing(self) -> None:
        assert problem(zzzzzzzz="1").endswith("is not a setting")

    def test_everything_that_is_wrong_is_said_at_once(self) -> None:
        found = problems({"port": "x"}, {"ROOMLINE_HEARTBEAT": "0", "ROOMLINE_NO": "1"})
        assert len(found) == 3

    def test_an_error_names_setting_origin_value_and_what_is_accepted(self) -> None:
        assert problem({"port": "65536"}) == (
            "port, from the flag --port, is '65536'; accepted is a whole number from 0 to 65535"
        )
        assert problem(message_bytes="1").startswith(
            "message_bytes, from the environment variable ROOMLINE_MESSAGE_BYTES, is '1'; accepted"
        )

    def test_a_long_value_is_shortened_and_control_characters_are_escaped(self) -> None:
        text = problem({"node": "\x1b[31m" + "x" * 10_000})
        assert len(text) < 500
        assert "\x1b" not in text


class TestSecrets:
    def test_a_secret_may_stand_in_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text(f"new:{SECRET}1\nold:{SECRET}2\n")
        for settings in (
            from_environment(keys_file=str(file)),
            load({"keys_file": str(file)}, {}),
        ):
            assert settings.keys is not None
            token = settings.keys.sign({"aud": "a", "sub": "u", "iat": 0, "exp": 9})
            assert settings.keys.open(token, "a", 1)["sub"] == "u"

    def test_a_flag_for_the_file_outranks_a_variable_with_the_secret(self, tmp_path: Path) -> None:
        file = tmp_path / "tokens"
        file.write_text(TOKEN + "2")
        settings = load({"api_tokens_file": str(file)}, {"ROOMLINE_API_TOKENS": TOKEN})
        assert settings.api_tokens == (TOKEN + "2",)

    def test_both_forms_in_one_place_contradict(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text(f"a:{SECRET}")
        text = problem(keys=f"a:{SECRET}", keys_file=str(tmp_path / "keys"))
        assert "ROOMLINE_KEYS and" in text
        assert "ROOMLINE_KEYS_FILE are both given" in text

    def test_a_missing_file_is_named(self) -> None:
        assert problem(keys_file="/no/such").endswith(
            "'/no/such' cannot be read: No such file or directory"
        )

    @pytest.mark.parametrize(
        "name", [declared.name for declared in DECLARATIONS.values() if declared.secret]
    )
    def test_a_secret_has_no_flag(self, name: str) -> None:
        parser = argparse.ArgumentParser(allow_abbrev=False)
        add_flags(parser)
        assert f"--{name.replace('_', '-')}-file" in parser.format_help()
        _, rest = parser.parse_known_args([f"--{name.replace('_', '-')}", "x"])
        assert rest

    @pytest.mark.parametrize(
        "value", ["s3cret", "s3cret:short", f"s3cret kid:{SECRET}", f"a:{SECRET},a:{SECRET}"]
    )
    def test_a_refused_key_is_not_repeated(self, value: str) -> None:
        text = problem(keys=value)
        assert "keys, from" in text
        assert "(hidden)" in text
        assert "s3cret" not in text

    def test_a_refused_table_of_keys_is_not_repeated(self, tmp_path: Path) -> None:
        file = tmp_path / "a.toml"
        for value in ('{"s3cret" = "short"}', "{a = 5}", '"s3cret"', "7"):
            file.write_text(f"keys = {value}")
            assert "s3cret" not in problem(config=str(file))

    def test_a_refused_token_is_not_repeated(self) -> None:
        text = problem(api_tokens="t0ken")
        assert "token 1 is of 5 characters" in text
        assert "t0ken" not in text

    def test_secrets_are_not_in_the_repr(self) -> None:
        settings = from_environment(keys=f"a:{SECRET}", api_tokens=TOKEN)
        assert "s3cret" not in repr(settings)
        assert "t0ken" not in repr(settings)

    @pytest.mark.parametrize(
        "broker",
        [
            "amqp://u:s3cret@host:99999/",
            "amqp://u:s3cret@:5672/",
            "ampq://u:s3cret@host/",
            "amqp://u:p/s3cret@host:x",
            "amqp://u:1/s3cret/@host",
            "amqp://u:1/s3cret/@host?a=1",
        ],
    )
    def test_a_password_in_a_refused_address_is_not_repeated(self, broker: str) -> None:
        text = problem(broker=broker)
        assert "***@" in text
        assert "s3cret" not in text


ACCEPTED = [
    ("broker", "embedded:/var/lib/roomline.sqlite3", "embedded:/var/lib/roomline.sqlite3"),
    ("broker", "amqp://u:p@host:5673/v", "amqp://u:p@host:5673/v"),
    ("broker_ca", "", ""),
    ("namespaces", "", dict(BUILT_IN_NAMESPACES)),
    ("publishers", "django, worker", frozenset({"django", "worker"})),
    ("retention_seconds", "2 d", 172_800.0),
    ("retention_bytes", "1.5 GiB", 1_610_612_736),
    ("dedup_window", "0", 0),
    ("host", "::", "::"),
    ("host", "gateway.example", "gateway.example"),
    ("port", "0", 0),
    ("prefix", "/a/b-c", "/a/b-c"),
    ("transports", "xhr-polling,websocket,xhr-polling", ("xhr-polling", "websocket")),
    ("hosts", "Chat.Example, [::1],10.0.0.1", ("chat.example", "[::1]", "10.0.0.1")),
    ("origins", "", ()),
    (
        "origins",
        "HTTPS://Chat.example:443, http://a.example:8000,http://[::1]:80",
        ("https://chat.example", "http://a.example:8000", "http://[::1]"),
    ),
    (
        "trusted_proxies",
        "127.0.0.1,10.0.0.0/8,::1",
        tuple(map(ipaddress.ip_network, ("127.0.0.1", "10.0.0.0/8", "::1"))),
    ),
    ("upstream", "", ""),
    ("upstream", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ("upstream", "http://[::1]:80", "http://[::1]:80"),
    ("upstream", "http://django.internal:65535", "http://django.internal:65535"),
    ("held_responses", "0", 0),
    ("keys", "", None),
    ("anonymous", "yes", True),
    ("anonymous", "FALSE", False),
    ("api_tokens", f"{TOKEN}, {TOKEN}2", (TOKEN, TOKEN + "2")),
    ("inspect_tokens", "", {}),
    ("inspect_tokens", f"ann:{TOKEN}, bob:{TOKEN}2", {"ann": TOKEN, "bob": TOKEN + "2"}),
    ("inspect_data", "true", True),
    ("message_bytes", "64KiB", 65_536),
    ("outbox_bytes", "1 MiB", 1 << 20),
    ("commands_per_second", "0.5", 0.5),
    ("connect_timeout", "1500 ms", 1.5),
    ("heartbeat", "25", 25.0),
    ("drain", "0", 0.0),
    ("cut_off_timeout", "90", 90.0),
    ("node", "", ""),
    ("log_level", "debug", "debug"),
]

REFUSED = [
    ("broker", "redis://host"),
    ("broker", "embedded:"),
    ("broker", "amqp:"),
    ("broker", "amqp://host:0/"),
    ("broker", ""),
    ("broker_ca", "/no/such/file"),
    ("broker_certificate", "/no/such/file"),
    ("broker_key", "/no/such/file"),
    ("namespaces", "chat:read=everybody"),
    ("namespaces", "chat:colour=red"),
    ("namespaces", "chat:history=-1"),
    ("namespaces", "chat:history"),
    ("namespaces", "a.b:read=public"),
    ("namespaces", "control:read=none"),
    ("namespaces", "chat:;chat:"),
    ("namespaces", "chat:moderate=a b"),
    ("publishers", "a\x00b"),
    ("retention_seconds", "59"),
    ("retention_seconds", "7 weeks"),
    ("retention_bytes", "1 KiB"),
    ("dedup_window", "-1"),
    ("host", ""),
    ("host", "a b"),
    ("port", "65536"),
    ("port", "８００１"),
    ("port", ""),
    ("cluster_address", "10.0.0.5"),
    ("cluster_address", "10.0.0.5:0"),
    ("cluster_address", "0.0.0.0:8010"),
    ("cluster_address", "[::]:8010"),
    ("cluster_address", "10.0.0.5:65536"),
    ("cluster_address", "http://10.0.0.5:8010"),
    ("cluster_key", "x" * 31),
    ("processes", "0"),
    ("processes", "65"),
    ("upstream", "http://127.0.0.1"),
    ("upstream", "http://127.0.0.1:0"),
    ("upstream", "http://127.0.0.1:65536"),
    ("upstream", "http://127.0.0.1:8000/"),
    ("upstream", "http://user@127.0.0.1:8000"),
    ("upstream", "https://127.0.0.1:8000"),
    ("upstream", "127.0.0.1:8000"),
    ("upstream_timeout", "0"),
    ("upstream_requests", "0"),
    ("upstream_body_bytes", "-1"),
    ("held_responses", "-1"),
    ("prefix", "roomline"),
    ("prefix", "/"),
    ("prefix", "/a/"),
    ("prefix", "/a.*"),
    ("hosts", "chat.example:80"),
    ("internal_hosts", "*"),
    ("transports", ""),
    ("transports", "websocket,jsonp"),
    ("origins", "*"),
    ("origins", "null"),
    ("origins", "https://*.example"),
    ("origins", "https://a.example/"),
    ("origins", "chat.example"),
    ("origins", "https://a.example:0"),
    ("origins", "https://a.example:65536"),
    ("trusted_proxies", "proxy.example"),
    ("trusted_proxies", "10.0.0.1/8"),
    ("internal_host", "-\n"),
    ("internal_port", "1.5"),
    ("keys", "nocolon"),
    ("anonymous", "maybe"),
    ("anonymous", ""),
    ("api_tokens", "short"),
    ("inspect_data", "some"),
    ("inspect_tokens", TOKEN),
    ("inspect_tokens", "ann:short"),
    ("inspect_tokens", f"an.n:{TOKEN}"),
    ("inspect_tokens", f"ann:{TOKEN},bob:{TOKEN}"),
    ("inspect_tokens", f"ann:{TOKEN},ann:{TOKEN}2"),
    ("api_tokens", "with space " * 5),
    ("message_bytes", "2 MiB"),
    ("outbox_bytes", "1"),
    ("response_limit", "1 TB"),
    ("sessions", "0"),
    ("sessions_per_address", "many"),
    ("subscriptions", "10001"),
    ("new_sessions_per_second", "0"),
    ("new_sessions_burst", "0"),
    ("connections_per_address", "0"),
    ("sessions_worth_per_address", "0"),
    ("sessions_worth", "many"),
    ("bytes_per_second", "100"),
    ("bytes_burst", "1k"),
    ("commands_per_second", "nan"),
    ("commands_burst", "0"),
    ("publications_per_second", "inf"),
    ("publications_burst", "x"),
    ("unconfirmed", "0"),
    ("unanswered", "0"),
    ("requests", "maybe"),
    ("new_rooms_per_minute", "-1"),
    ("new_rooms_burst", "1e3"),
    ("history_bytes", "0"),
    ("connect_timeout", "0"),
    ("heartbeat", "2 h"),
    ("disconnect_delay", "-5"),
    ("node", "a b"),
    ("drain", "1 d"),
    ("cut_off_timeout", "0"),
    ("log_level", "loud"),
    ("log_format", "xml"),
]


class TestValues:
    @pytest.mark.parametrize(("name", "text", "value"), ACCEPTED)
    def test_accepted(self, name: str, text: str, value: object) -> None:
        assert getattr(from_environment(**{name: text}), name) == value

    @pytest.mark.parametrize(("name", "text"), REFUSED)
    def test_refused(self, name: str, text: str) -> None:
        message = problem(**{name: text})
        assert message.startswith(f"{name}, from the environment variable ROOMLINE_{name.upper()}")
        assert message.endswith(f"; accepted is {DECLARATIONS[name].kind.accepted}")

    def test_every_setting_has_a_refused_value_here(self) -> None:
        assert {name for name, _ in REFUSED} == set(DECLARATIONS)

    @pytest.mark.parametrize("name", DECLARATIONS)
    def test_a_default_is_accepted_as_it_is_shown(self, name: str) -> None:
        declared = DECLARATIONS[name]
        shown = declared.kind.show(declared.default)
        assert declared.kind.parse(shown) == declared.default

    @pytest.mark.parametrize("name", DECLARATIONS)
    @pytest.mark.parametrize(
        "value", ["{a = [1]}", "[1, 2]", "1979-05-27", "inf"], ids=["table", "list", "date", "inf"]
    )
    def test_a_toml_value_of_the_wrong_type_is_refused(
        self, name: str, value: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "a.toml"
        file.write_text(f"{name} = {value}")
        assert problem(config=str(file)).startswith(f"{name}, from {name} in {file}, is ")

    @pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_file")])
    def test_a_path_of_the_wrong_type_is_refused(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / "a.toml"
        file.write_text(f"{name} = [1]")
        assert "is not the path of a file" in problem(config=str(file))

    def test_true_is_not_a_number(self, tmp_path: Path) -> None:
        file = tmp_path / "a.toml"
        for name in ("port", "heartbeat", "message_bytes", "commands_per_second"):
            file.write_text(f"{name} = true")
            assert f"{name}, from" in problem(config=str(file))


class TestNamespaces:
    def test_text_and_toml_tables_say_the_same(self, tmp_path: Path) -> None:
        file = tmp_path / "a.toml"
        file.write_text(
            '[namespaces.chat]\nread = "public"\nwrite = "authenticated"\nhistory = 7\n'
            'history_age = "1 h"\n[namespaces.news]\n'
        )
        text = "chat: read=public, write=authenticated, history=7, history_age=3600; news"
        namespaces = from_environment(namespaces=text).namespaces
        assert namespaces == load({"config": str(file)}, {}).namespaces
        assert namespaces["chat"] == Namespace(Rule.PUBLIC, Rule.AUTHENTICATED, 7, 3600.0)
        assert namespaces["news"] == Namespace(Rule.TOKEN, Rule.TOKEN, 100, 86_400)

    def test_moderation_comes_through(self) -> None:
        namespaces = from_environment(namespaces="chat:moderate=chat.check;news").namespaces
        assert namespaces["chat"].moderate == "chat.check"
        assert namespaces["news"].moderate is None
        shown = DECLARATIONS["namespaces"].kind.show(namespaces)
        assert from_environment(namespaces=shown).namespaces == namespaces

    def test_the_built_in_ones_stay_and_can_be_changed_in_part(self) -> None:
        namespaces = from_environment(namespaces="system:history=5").namespaces
        assert namespaces["user"] == BUILT_IN_NAMESPACES["user"]
        assert namespaces["system"] == dataclasses.replace(BUILT_IN_NAMESPACES["system"], history=5)

    def test_clients_write_to_no_built_in_namespace(self) -> None:
        assert {rules.write for rules in BUILT_IN_NAMESPACES.values()} == {Rule.NONE}

    def test_settings_cannot_be_changed(self) -> None:
        settings = load({}, {})
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings.port = 1  # type: ignore[misc]
        with pytest.raises(TypeError):
            settings.namespaces["x"] = settings.namespaces["user"]  # type: ignore[index]


class TestContradictions:
    def test_tls_files_without_tls(self) -> None:
        assert problem(broker="amqp://u:s3cret@host/", broker_ca=__file__) == (
            "broker_ca, from the environment variable ROOMLINE_BROKER_CA, is for amqps, but broker"
            " is amqp://***@host/; accepted is one of the two"
        )

    def test_a_certificate_without_its_key(self) -> None:
        message = problem(broker="amqps://host/", broker_certificate=__file__)
        assert message.startswith("broker_certificate, from")
        assert "broker_certificate and broker_key together" in message

    def test_a_key_without_its_certificate(self) -> None:
        assert problem(broker="amqps://host/", broker_key=__file__).startswith("broker_key, from")

    def test_all_three_together(self) -> None:
        settings = from_environment(
            broker="amqps://host/",
            broker_ca=__file__,
            broker_certificate=__file__,
            broker_key=__file__,
        )
        assert settings.broker_ca == __file__

    def test_an_address_of_a_cluster_without_a_key(self) -> None:
        message = problem(broker="amqp://host/", cluster_address="10.0.0.5:8010")
        assert message.startswith("cluster_address, from the environment variable")
        assert "cluster_address and cluster_key together" in message

    def test_a_key_of_a_cluster_without_an_address(self) -> None:
        message = problem(broker="amqp://host/", cluster_key="k" * 32)
        assert message.startswith("cluster_key, from the environment variable")
        assert "kkk" not in message

    def test_a_cluster_of_machines_on_a_log_of_one(self) -> None:
        message = problem(cluster_address="10.0.0.5:8010", cluster_key="k" * 32)
        assert message.endswith("a file of one machine; accepted is a RabbitMQ")

    @pytest.mark.parametrize("name", ["internal_port", "cluster_address"])
    def test_ports_that_count_up_too_far(self, name: str) -> None:
        given = {"internal_port": "65535", "cluster_address": "[::1]:65535"}[name]
        key = {"cluster_key": "k" * 32} if name == "cluster_address" else {}
        message = problem(broker="amqp://host/", processes="2", **{name: given}, **key)
        assert message.startswith(f"{name}, from the environment variable")
        assert message.endswith("accepted are ports up to 65535")

    def test_processes_with_any_free_internal_port(self) -> None:
        assert from_environment(processes="2", internal_port="0").processes == 2


class TestDocumentation:
    def test_the_page_of_settings_is_up_to_date(self) -> None:
        assert (ROOT / "docs/settings.rst").read_text() == render(), (
            "python -m roomline.config.reference > docs/settings.rst"
        )

    def test_the_module_prints_the_page(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "roomline.config.reference"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert done.stdout == render()

    def test_every_setting_has_its_flag_in_the_help(self) -> None:
        parser = argparse.ArgumentParser()
        add_flags(parser)
        text = parser.format_help()
        for name, declared in NAMES.items():
            if name != declared.name or not declared.secret:
                assert f"--{name.replace('_', '-')} " in text or f"--{name}," in text
            assert f"ROOMLINE_{name.upper()}" in text.replace("\n", "")

    def test_every_setting_is_in_a_group(self) -> None:
        assert {declared.group for declared in DECLARATIONS.values()} == set(GROUPS)
        assert set(CONSOLE_GROUPS) <= set(GROUPS)

    def test_all_transports_are_offered(self) -> None:
        assert set(OFFERED) == TRANSPORTS
