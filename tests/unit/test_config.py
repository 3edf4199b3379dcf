import os
import pwd
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kafka_rolling_restart.cli.config_files import (
    folders,
    known_names,
    known_types,
    load,
    of_bootstrap,
    of_zookeeper,
)
from kafka_rolling_restart.errors import UsageError

GOOD = """
clusters:
  east: {broker_list: ["a:9092", "b:9092"], zookeeper: "z1:2181,z2:2181/kafka"}
  west: {broker_list: [], zookeeper: "[::1]:2181"}
local_config: {cluster: west}
"""


def write(folder: Path, text: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    (folder / "main.yaml").write_text(text)
    return [folder]


def test_a_named_cluster_is_loaded(tmp_path: Path) -> None:
    found = load("main", "east", write(tmp_path, GOOD))
    assert (found.name, found.zookeeper, len(found.broker_list)) == (
        "east",
        "z1:2181,z2:2181/kafka",
        2,
    )
    assert found.path == tmp_path / "main.yaml"


def test_the_local_cluster_is_loaded_when_none_is_named(tmp_path: Path) -> None:
    assert load("main", None, write(tmp_path, GOOD)).name == "west"


def test_the_first_place_that_has_the_file_wins(tmp_path: Path) -> None:
    places = [tmp_path / "none", *write(tmp_path / "a", GOOD), *write(tmp_path / "b", "nonsense")]
    assert load("main", "east", places).path == tmp_path / "a" / "main.yaml"


def test_the_places_are_asked_in_their_order() -> None:
    asked = folders("/given", {"KAFKA_DISCOVERY_DIR": "/env", "HOME": "/h"})
    assert [str(place) for place in asked] == [
        "/given",
        "/env",
        "/h/.kafka_discovery",
        "/etc/kafka_discovery",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not YAML"),
        ("", "the file is empty"),
        ("- 1", "must be a mapping"),
        ("clusters: {}", "no local_config.cluster"),
        (
            "clusters: {x: {zookeeper: 'z:1', broker_list: []}}\nlocal_config: {cluster: y}",
            "no cluster 'y'; it has: x",
        ),
        ("clusters: {x: }\nlocal_config: {cluster: x}", "clusters.x is missing or empty"),
        ("clusters: {x: {broker_list: []}}\nlocal_config: {cluster: x}", "clusters.x.zookeeper"),
        (
            "clusters: {x: {zookeeper: 'a b', broker_list: []}}\nlocal_config: {cluster: x}",
            "clusters.x.zookeeper",
        ),
        (
            "clusters: {x: {zookeeper: 'z:99999', broker_list: []}}\nlocal_config: {cluster: x}",
            "clusters.x.zookeeper",
        ),
        (
            "clusters: {x: {zookeeper: 'z..z:1', broker_list: []}}\nlocal_config: {cluster: x}",
            "clusters.x.zookeeper",
        ),
        (
            "clusters: {x: {zookeeper: 'z:1//y', broker_list: []}}\nlocal_config: {cluster: x}",
            "clusters.x.zookeeper",
        ),
        ("clusters: {x: {zookeeper: 'z:1'}}\nlocal_config: {cluster: x}", "clusters.x.broker_list"),
    ],
)
def test_whatever_is_wrong_is_one_line_that_names_the_file(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(UsageError) as error:
        load("main", None, write(tmp_path, text))
    assert said in str(error.value)
    assert str(tmp_path / "main.yaml") in str(error.value) and "\n" not in str(error.value)


def bomb(pattern: str) -> str:
    """Return a text in which each of 12 lines repeats the one before it nine times."""
    lines = ["x0: &x0 {clusters: [1]}"] + [
        f"x{number}: &x{number} {pattern}" % ", ".join([f"*x{number - 1}"] * 9)
        for number in range(1, 13)
    ]
    return "\n".join(lines)


SETTINGS = "local_config: {cluster: x}\nclusters: {x: {zookeeper: *x12, broker_list: *x12}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{bomb('[%s]')}\n{SETTINGS}", "its aliases make more than 100000 values of it"),
        (f"{bomb('{<<: [%s]}')}\n{SETTINGS}", "its aliases make more than 100000 values of it"),
        ("a: &a [*a]", "an alias in it leads to itself"),
        ("[" * 50_000 + "]" * 50_000, "is nested too deeply"),
        ("{a: " * 3_000 + "1" + "}" * 3_000, "is nested too deeply"),
        ("a: 2026-99-99", "is not YAML: month must be in 1..12"),
        ("a: " + "9" * 5_000, "is not YAML: Exceeds the limit"),
        ("a: " + "x" * 2**21, "cannot be read: it is longer than 1048576 characters"),
    ],
)
def test_a_file_that_stands_for_far_too_much_is_one_line_soon(
    tmp_path: Path, text: str, said: str
) -> None:
    began = time.monotonic()
    with pytest.raises(UsageError) as error:
        load("main", None, write(tmp_path, text))
    assert (
        said in str(error.value) and len(str(error.value)) < 500 and str(error.value).isprintable()
    )
    assert time.monotonic() - began < 10


def test_aliases_that_save_writing_are_taken(tmp_path: Path) -> None:
    text = """
common: &common {zookeeper: "z1:2181", broker_list: &list ["a:9092", "b:9092"]}
clusters:
  east: {<<: *common}
  west: {zookeeper: "z2:2181", broker_list: *list}
local_config: {cluster: east}
"""
    assert load("main", None, write(tmp_path, text)).zookeeper == "z1:2181"
    assert load("main", "west", write(tmp_path, text)).broker_list == ("a:9092", "b:9092")


def test_an_unknown_type_lists_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no other.yaml in .*cluster types there: main"):
        load("other", None, write(tmp_path, GOOD))


@pytest.mark.parametrize("name", ["../main", "", ".hidden", "/etc/passwd"])
def test_a_type_is_a_name_and_not_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is a name"):
        load(name, None, write(tmp_path, GOOD))


@pytest.mark.parametrize(
    "zookeeper",
    ["z", "z:2181/kafka/main/", "z-1.example.:65535,[fd00::1]:2181, 10.0.0.1/chroot", "zk_1:1/"],
)
def test_servers_with_ports_and_a_chroot_are_taken(tmp_path: Path, zookeeper: str) -> None:
    text = (
        f"clusters: {{x: {{zookeeper: '{zookeeper}', broker_list: []}}}}\nlocal_config: "
        "{cluster: x}"
    )
    assert load("main", None, write(tmp_path, text)).zookeeper == zookeeper


def test_a_home_that_is_not_given_is_that_of_the_passwd_file() -> None:
    wanted = Path(pwd.getpwuid(os.getuid()).pw_dir)
    code = (
        "from kafka_rolling_restart.cli.config_files import home; print(home({}), home({'HOME': "
        "''}), home({'HOME': '/h'}))"
    )
    environment = {"PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.split() == [str(wanted), str(wanted), "/h"], done.stderr


@pytest.mark.parametrize("path", ["~nobody-has-this-name", "~nobody-has-this-name/discovery"])
def test_a_home_folder_that_nobody_knows_is_one_line(path: str) -> None:
    for base_path, environ in ((path, {}), (None, {"KAFKA_DISCOVERY_DIR": path})):
        with pytest.raises(UsageError, match=f"{path}: no home folder is known for it; set HOME"):
            folders(base_path, environ)


def test_a_file_that_cannot_be_looked_at_is_one_line_and_the_next_place_is_not_taken(
    tmp_path: Path,
) -> None:
    long = "x" * 300  # stands for a folder that may not be entered, which root may always
    with pytest.raises(UsageError, match=r"x\.yaml: cannot be read: File name too long"):
        load(long, None, [tmp_path])


def test_types_and_names_are_offered_as_far_as_they_can_be_looked_at(tmp_path: Path) -> None:
    places = [
        tmp_path / ("x" * 300),
        *write(tmp_path / "a", GOOD),
        tmp_path / "none",
        *write(tmp_path / "b", "a: ["),
    ]
    assert known_types(places) == ["main"]
    assert known_names("main", places[1:]) == ["east", "west"]
    assert (
        known_names("main", places[3:])
        == known_names("", places)
        == known_names("other", places)
        == []
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        " ",
        "/kafka",
        ":2181",
        "zk:",
        "zk:port",
        "zk:0",
        "zk:65536",
        "zk1:2181,",
        ",zk1:2181",
        "zk1:2181,,zk2:2181",
        "zk1:2181/kafka,zk2:2181/kafka",
        "zk1:2181;zk2:2181",
        "zk1:2181 zk2:2181",
        "zk1:2181//kafka",
        "zk1:2181/ka fka",
        "http://zk1:2181",
        "[::1:2181",
        "-zk:2181",
        "zk\n1:2181",
        "zk:2181/kafka\nrm",
    ],
)
def test_a_zookeeper_that_is_no_list_of_servers_with_a_chroot_is_one_line(wrong: str) -> None:
    with pytest.raises(UsageError) as error:
        of_zookeeper(wrong)
    assert str(error.value) == f"--zookeeper must be 'host:port,host:port/chroot', not {wrong!r}"


@pytest.mark.parametrize(
    "right", ["zk", "zk:2181", "zk1:2181,zk2:2181/kafka", "[::1]:2181/a/b", " zk1, zk2/kafka/ "]
)
def test_a_cluster_of_which_only_the_zookeeper_is_known_is_called_after_it(right: str) -> None:
    found = of_zookeeper(right)
    assert found.label == found.zookeeper == right.strip()
    assert (found.path, found.broker_list) == (None, ())


@pytest.mark.parametrize(
    "servers",
    ["k1", "k1:", ":9092", "k1:0", "k1:65536", "k1:9092,", "http://k1:9092", "-k:9092", "::1:9092"],
)
def test_a_bootstrap_server_that_is_no_address_is_said_in_one_line(servers: str) -> None:
    with pytest.raises(UsageError, match="--bootstrap-server must be 'host:port,host:port', not"):
        of_bootstrap(servers)


def test_bootstrap_servers_name_the_cluster_by_the_first() -> None:
    found = of_bootstrap("k1:9092, [::1]:9093")
    assert found.bootstrap == (("k1", 9092), ("::1", 9093))
    assert (found.label, found.zookeeper) == ("k1:9092", "")


def test_a_cluster_without_zookeeper_begins_at_its_broker_list(tmp_path: Path) -> None:
    text = (
        "clusters: {main: {broker_list: ['k1:9092', 'k2:9092'], command_config: /etc/c.properties}}"
    )
    (tmp_path / "t.yaml").write_text(text)
    found = load("t", "main", [tmp_path])
    assert found.bootstrap == (("k1", 9092), ("k2", 9092))
    assert (found.command_config, found.zookeeper) == ("/etc/c.properties", "")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            "{broker_list: [k1]}",
            "clusters.main.broker_list must be 'host:port,host:port', not 'k1'",
        ),
        ("{broker_list: 7}", "clusters.main.broker_list must be a list of 'host:port'"),
        ("{broker_list: ['k1:1'], command_config: [1]}", "clusters.main.command_config must be"),
    ],
)
def test_a_cluster_without_zookeeper_that_is_wrong_names_the_key(
    tmp_path: Path, settings: str, said: str
) -> None:
    (tmp_path / "t.yaml").write_text(f"clusters: {{main: {settings}}}")
    with pytest.raises(UsageError, match=re.escape(said)):
        load("t", "main", [tmp_path])


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("command-config", "command_config"),
        ("zookeper", "zookeeper"),
        ("broker-list", "broker_list"),
        ("Zookeeper", "zookeeper"),
    ],
)
def test_a_key_that_is_nearly_one_of_ours_is_not_left_out_in_silence(
    tmp_path: Path, key: str, meant: str
) -> None:
    settings = {"broker_list": "[k1:9092]", key: "x"}
    if meant == "broker_list":
        del settings["broker_list"]
    text = ", ".join(f"{name}: {value}" for name, value in settings.items())
    (tmp_path / "t.yaml").write_text(f"clusters: {{main: {{{text}}}}}")
    with pytest.raises(UsageError, match=f"did you mean '{meant}'"):
        load("t", "main", [tmp_path])


def test_keys_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    text = "clusters: {main: {broker_list: ['k1:9092'], owner: me, brokers: 3, config: {}}}"
    (tmp_path / "t.yaml").write_text(text)
    assert load("t", "main", [tmp_path]).bootstrap == (("k1", 9092),)
