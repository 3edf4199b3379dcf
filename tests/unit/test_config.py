from pathlib import Path

import pytest

from kafka_rolling_restart.config import folders, load
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
    assert (found.name, found.zookeeper, len(found.broker_list)) == ("east", "z1:2181,z2:2181/kafka", 2)
    assert found.path == tmp_path / "main.yaml"


def test_the_local_cluster_is_loaded_when_none_is_named(tmp_path: Path) -> None:
    assert load("main", None, write(tmp_path, GOOD)).name == "west"


def test_the_first_place_that_has_the_file_wins(tmp_path: Path) -> None:
    places = [tmp_path / "none", *write(tmp_path / "a", GOOD), *write(tmp_path / "b", "nonsense")]
    assert load("main", "east", places).path == tmp_path / "a" / "main.yaml"


def test_the_places_are_asked_in_their_order() -> None:
    asked = folders("/given", {"KAFKA_DISCOVERY_DIR": "/env", "HOME": "/h"})
    assert [str(place) for place in asked] == ["/given", "/env", "/h/.kafka_discovery", "/etc/kafka_discovery"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not YAML"),
        ("", "the file is empty"),
        ("- 1", "is to be a mapping"),
        ("clusters: {}", "no local_config.cluster"),
        ("clusters: {x: {zookeeper: 'z:1', broker_list: []}}\nlocal_config: {cluster: y}", "no cluster 'y'; it has: x"),
        ("clusters: {x: }\nlocal_config: {cluster: x}", "clusters.x is missing or empty"),
        ("clusters: {x: {broker_list: []}}\nlocal_config: {cluster: x}", "clusters.x.zookeeper"),
        ("clusters: {x: {zookeeper: 'a b', broker_list: []}}\nlocal_config: {cluster: x}", "clusters.x.zookeeper"),
        ("clusters: {x: {zookeeper: 'z:99999', broker_list: []}}\nlocal_config: {cluster: x}", "clusters.x.zookeeper"),
        ("clusters: {x: {zookeeper: 'z..z:1', broker_list: []}}\nlocal_config: {cluster: x}", "clusters.x.zookeeper"),
        ("clusters: {x: {zookeeper: 'z:1//y', broker_list: []}}\nlocal_config: {cluster: x}", "clusters.x.zookeeper"),
        ("clusters: {x: {zookeeper: 'z:1'}}\nlocal_config: {cluster: x}", "clusters.x.broker_list"),
    ],
)
def test_whatever_is_wrong_is_one_line_that_names_the_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        load("main", None, write(tmp_path, text))
    assert said in str(error.value)
    assert str(tmp_path / "main.yaml") in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_type_lists_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no other.yaml in .*cluster types there: main"):
        load("other", None, write(tmp_path, GOOD))


@pytest.mark.parametrize("name", ["../main", "", ".hidden", "/etc/passwd"])
def test_a_type_is_a_name_and_not_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is a name"):
        load(name, None, write(tmp_path, GOOD))


@pytest.mark.parametrize(
    "zookeeper", ["z", "z:2181/kafka/main/", "z-1.example.:65535,[fd00::1]:2181, 10.0.0.1/chroot", "zk_1:1/"]
)
def test_servers_with_ports_and_a_chroot_are_taken(tmp_path: Path, zookeeper: str) -> None:
    text = f"clusters: {{x: {{zookeeper: '{zookeeper}', broker_list: []}}}}\nlocal_config: {{cluster: x}}"
    assert load("main", None, write(tmp_path, text)).zookeeper == zookeeper
