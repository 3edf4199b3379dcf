"""The YAML files of a cluster type, and where they are looked up."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.model.broker import HOST
from kafka_rolling_restart.settings.cluster import ClusterConfig
from kafka_rolling_restart.settings.paths import expanded, home
from kafka_rolling_restart.text import clean, said

SYSTEM_FOLDER = Path("/etc/kafka_discovery")
MAX_FILE = 1024 * 1024  # characters; a configuration of 1,000 brokers has 40 thousand
MAX_VALUES = 100_000
SHOWN = 200  # characters of a value that is wrong
LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
PORT = r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
KEYS = ("zookeeper", "broker_list", "command_config")
NEAR = 0.85  # of difflib: 1 is the same word
PORT_NUMBER = re.compile(rf"{PORT}\Z")
SERVER = rf"(?:\[[0-9A-Fa-f:.]+\]|{LABEL}(?:\.{LABEL})*\.?)(?::{PORT})?"
ZOOKEEPER = re.compile(rf"{SERVER}(?:,\s*{SERVER})*(?:(?:/[^\s,/]+)*/?)?\Z")


def folders(base_path: str | None, environ: Mapping[str, str]) -> list[Path]:
    """Return the places in which a cluster type is looked up, the first to be asked first."""
    named = [base_path, environ.get("KAFKA_DISCOVERY_DIR")]
    given = [expanded(folder) for folder in named if folder]
    return [*given, home(environ) / ".kafka_discovery", SYSTEM_FOLDER]


def load(cluster_type: str, name: str | None, places: list[Path]) -> ClusterConfig:
    """Return the cluster ``name`` of a type, or the type's local cluster where no name is given.

    Raises `UsageError`, in one line that names the file, where anything is missing or not as it
    should be.
    """
    path = _find(cluster_type, places)
    content = _read(path)
    clusters = _mapping(content.get("clusters"), path, "clusters")
    chosen = name if name is not None else _local(content, path)
    if chosen not in clusters:
        wrong = "--cluster-name" if name is not None else "local_config.cluster"
        raise UsageError(
            f"{path}: there is no cluster {chosen!r}; it has: {_names(clusters)}. Check {wrong}",
            code="cluster-name-unknown",
        )
    return _cluster(
        cluster_type, chosen, _mapping(clusters[chosen], path, f"clusters.{chosen}"), path
    )


def of_zookeeper(hosts: str) -> ClusterConfig:
    """Return a cluster of which only the ZooKeeper is known. Raises `UsageError` where that is no
    such address."""
    if not ZOOKEEPER.match(hosts.strip()):
        raise UsageError(
            f"--zookeeper must be 'host:port,host:port/chroot', not {hosts!r}",
            code="zookeeper-address-invalid",
        )
    return ClusterConfig("", hosts.strip(), hosts.strip(), (), None)


def of_bootstrap(servers: str) -> ClusterConfig:
    """Return a cluster of which only the bootstrap servers are known. Raises `UsageError`."""
    addresses = tuple(_address(one.strip(), "--bootstrap-server") for one in servers.split(","))
    first = servers.split(",")[0].strip()
    return ClusterConfig("", first, "", (), None, addresses)


def _address(server: str, where: str) -> tuple[str, int]:
    """Return the host and the port of a bootstrap server. Raises `UsageError` with ``where``."""
    host, _, port = server.rpartition(":")
    name = host.strip("[]")
    if not HOST.match(name) or not PORT_NUMBER.match(port) or (":" in name and name == host):
        raise UsageError(
            f"{where} must be 'host:port,host:port', not {clean(repr(server), SHOWN)}",
            code="bootstrap-server-invalid",
        )
    return name, int(port)


def known_types(places: list[Path]) -> list[str]:
    """Return the cluster types that are described in these places, as far as they can be looked
    at."""
    return sorted({file.stem for place in places for file in _files(place)})


def known_names(cluster_type: str, places: list[Path]) -> list[str]:
    """Return the clusters of a type, none where its file is missing or not as it should be."""
    try:
        path = _find(cluster_type, places)
        return sorted(_mapping(_read(path).get("clusters"), path, "clusters"))
    except UsageError:
        return []


def _find(cluster_type: str, places: list[Path]) -> Path:
    if not cluster_type or "/" in cluster_type or cluster_type.startswith("."):
        raise UsageError(
            f"--cluster-type {cluster_type!r} is a name such as 'main', not a path",
            code="wrong-usage",
        )
    for place in places:
        path = place / f"{cluster_type}.yaml"
        if _exists(path):
            return path
    looked = ", ".join(str(place) for place in places)
    raise UsageError(
        f"no {cluster_type}.yaml in {looked}; cluster types there: "
        f"{', '.join(known_types(places)) or 'none'}. "
        "Check --cluster-type and --discovery-base-path",
        code="cluster-type-unknown",
    )


def _files(place: Path) -> list[Path]:
    try:
        return list(place.glob("*.yaml")) if place.is_dir() else []
    except OSError:
        return []


def _exists(path: Path) -> bool:
    """Tell whether a file is there. Raises `UsageError` where that cannot be told: another place's
    may be another's."""
    try:
        os.stat(path)
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}", code="configuration-unreadable"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    import yaml  # imported here because --help must not wait for it

    try:
        content = _parsed(_text(path))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror or error}", code="configuration-unreadable"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: is not UTF-8, at byte {error.start}", code="configuration-invalid"
        ) from error
    except RecursionError as error:
        raise UsageError(
            f"{path}: is nested too deeply. Check its brackets", code="configuration-invalid"
        ) from error
    except _TooMuch as error:
        raise UsageError(
            f"{path}: {error}. Write it without so many anchors (&) and aliases (*)",
            code="configuration-invalid",
        ) from error
    except yaml.YAMLError as error:
        raise UsageError(
            f"{path}: is not YAML: {_first_fault(error)}", code="configuration-invalid"
        ) from error
    except (ValueError, OverflowError) as error:  # a number or a date that is none
        raise UsageError(
            f"{path}: is not YAML: {said(str(error))}", code="configuration-invalid"
        ) from error
    if content is None:
        raise UsageError(
            f"{path}: the file is empty; it must have `clusters`, with zookeeper and broker_list "
            "for each",
            code="configuration-invalid",
        )
    return _mapping(content, path, "the file")


def _text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        text = file.read(MAX_FILE + 1)
    if len(text) > MAX_FILE:
        raise OSError(0, f"it is longer than {MAX_FILE} characters, which no configuration is")
    return text


class _TooMuch(Exception):
    """A document that stands for far more than is written in it."""


def _parsed(text: str) -> Any:
    """Return what a YAML text holds. Raises `yaml.YAMLError`, `RecursionError`, and `_TooMuch`
    where aliases multiply."""
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        if _size(root, {}) > MAX_VALUES:
            raise _TooMuch(f"its aliases make more than {MAX_VALUES} values of it")
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _size(node: Any, known: dict[int, int | None]) -> int:
    """Return how many values a node stands for, each alias counted as what it repeats."""
    key = id(node)
    if key in known:
        size = known[key]
        if size is None:
            raise _TooMuch("an alias in it leads to itself")
        return size
    known[key] = None
    size = 1
    if isinstance(node.value, list):
        for child in node.value:
            # a mapping has pairs of key and value
            parts = child if isinstance(child, tuple) else (child,)
            size += sum(_size(part, known) for part in parts)
    known[key] = size
    return size


def _first_fault(error: Exception) -> str:
    """Return what a YAML parser stumbled over and in which line, without its drawing of the
    place."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or not problem:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def _mapping(value: object, path: Path, where: str) -> dict[str, Any]:
    if value is None:
        raise UsageError(f"{path}: {where} is missing or empty", code="configuration-invalid")
    if not isinstance(value, dict):
        raise UsageError(
            f"{path}: {where} must be a mapping, not a {type(value).__name__}",
            code="configuration-invalid",
        )
    return {str(key): inner for key, inner in value.items()}


def _local(content: dict[str, Any], path: Path) -> str:
    local = content.get("local_config")
    if not isinstance(local, dict) or local.get("cluster") is None:
        names = _names(_mapping(content.get("clusters"), path, "clusters"))
        raise UsageError(
            f"{path}: has no local_config.cluster, so name one with --cluster-name: {names}",
            code="cluster-name-missing",
        )
    return str(local["cluster"])


def _cluster(cluster_type: str, name: str, settings: dict[str, Any], path: Path) -> ClusterConfig:
    where = f"clusters.{name}"
    _refuse_mistyped(settings, path, where)
    if settings.get("zookeeper") is None:
        return _kraft_cluster(cluster_type, name, settings, path)
    zookeeper = settings.get("zookeeper")
    if not isinstance(zookeeper, str) or not ZOOKEEPER.match(zookeeper.strip()):
        seen = "which is missing" if zookeeper is None else f"not {clean(repr(zookeeper), SHOWN)}"
        raise UsageError(
            f"{path}: {where}.zookeeper must be 'host:port,host:port/chroot', {seen}",
            code="configuration-invalid",
        )
    brokers = _broker_list(settings, path, where)
    command_config = _command_config(settings, path, where)
    return ClusterConfig(
        cluster_type, name, zookeeper.strip(), brokers, path, command_config=command_config
    )


def _refuse_mistyped(settings: Mapping[str, Any], path: Path, where: str) -> None:
    """Refuse a key that is nearly one of ours: what it says would be left out in silence. Other
    keys are other programs'. Raises `UsageError`."""
    for key in settings:
        plain = key.lower().replace("-", "_")
        meant = get_close_matches(plain, KEYS, n=1, cutoff=NEAR)
        if meant and key not in KEYS and meant[0] not in settings:
            raise UsageError(
                f"{path}: {where} has the key {clean(key, SHOWN)!r}, which means nothing here; did "
                f"you mean {meant[0]!r}?",
                code="configuration-invalid",
            )


def _kraft_cluster(
    cluster_type: str, name: str, settings: dict[str, Any], path: Path
) -> ClusterConfig:
    """Return a cluster without ZooKeeper: its broker_list are the servers to begin with."""
    where = f"clusters.{name}"
    brokers = _broker_list(settings, path, where)
    if not brokers:
        raise UsageError(
            f"{path}: {where}.broker_list is empty, and {where}.zookeeper is missing. Name the "
            "brokers of a KRaft cluster, or the ZooKeeper of another",
            code="configuration-invalid",
        )
    place = f"{path}: {where}.broker_list"
    addresses = tuple(_address(one.strip().rpartition("://")[2], place) for one in brokers)
    command_config = _command_config(settings, path, where)
    return ClusterConfig(cluster_type, name, "", brokers, path, addresses, command_config)


def _command_config(settings: dict[str, Any], path: Path, where: str) -> str:
    name = settings.get("command_config", "")
    if not isinstance(name, str):
        raise UsageError(
            f"{path}: {where}.command_config must be the name of a file, not "
            f"{clean(repr(name), SHOWN)}",
            code="configuration-invalid",
        )
    return name


def _broker_list(settings: dict[str, Any], path: Path, where: str) -> tuple[str, ...]:
    brokers = settings.get("broker_list")
    if not isinstance(brokers, list) or not all(isinstance(broker, str) for broker in brokers):
        seen = "which is missing" if brokers is None else f"not {clean(repr(brokers), SHOWN)}"
        hint = ""
        if settings.get("zookeeper") is None:
            hint = ". A cluster on ZooKeeper needs `zookeeper` as well"
        raise UsageError(
            f"{path}: {where}.broker_list must be a list of 'host:port', {seen}{hint}",
            code="configuration-invalid",
        )
    return tuple(brokers)


def _names(clusters: Mapping[str, object]) -> str:
    return ", ".join(sorted(clusters)) or "none"
