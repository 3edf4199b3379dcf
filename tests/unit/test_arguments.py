import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from kafka_rolling_restart.cli import arguments
from kafka_rolling_restart.cli.arguments import Call, how_called, parse, resume_line


def test_the_defaults_are_those_that_users_know() -> None:
    options = parse(["--cluster-type", "main"])
    assert (options.check_interval, options.check_count, options.unhealthy_time_limit) == (
        10,
        12,
        600,
    )
    assert (options.jmxproxy_port, options.jmxproxy_prefix) == (9090, "jmxproxy/localhost:9099/")
    assert (options.stop_command, options.start_command) == (
        "service kafka stop",
        "service kafka start",
    )
    assert (options.skip, options.no_confirm, options.verbose, options.metrics_timeout) == (
        0,
        False,
        False,
        30,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        ["--skip", "-1"],
        ["--skip", "x"],
        ["--check-count", "0"],
        ["--stop-command", ""],
        ["--start-command", " "],
        ["--jmxproxy-prefix", "http://x/y"],
        ["--jmxproxy-prefix", "//x/y"],
        ["--check-interval", "-1"],
        ["--check-interval", "nan"],
        ["--unhealthy-time-limit", "inf"],
        ["--jmxproxy-port", "70000"],
        ["--task-args", "x"],
        ["--check-int", "3"],
        ["--broker-ids", "1,1"],
        ["--broker-ids", "1,x"],
        ["--broker-ids", "3-1"],
        ["--broker-ids", "1-3,2"],
        ["--broker-ids", "1-"],
        ["--broker-ids", "-3"],
        ["--broker-ids", "1-2-3"],
        ["--broker-ids", "0-100000"],
        ["--broker-ids", "1", "--skip", "1"],
        ["--started-before", "yesterday"],
        ["--started-before", "2026-11-24T03:00:00"],
        ["--quiet", "-v"],
        ["--zookeeper", "zk:2181"],
        ["--ssh-port", "0"],
        ["--ssh-user", "-oProxyCommand=x"],
        ["--ssh-user", "a b"],
        ["--ssh-host", "bastion"],
        ["--ssh-host", "{host}.{domain}"],
        ["--ssh-host", "{host.__class__}"],
        ["--ssh-host", "{host!r}"],
        ["--ssh-host", "{{host}}"],
        ["--ssh-host", "{0}"],
    ],
)
def test_a_wrong_argument_ends_with_status_2(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["-t", "main", *wrong])
    assert end.value.code == 2
    assert wrong[0] in capsys.readouterr().err.splitlines()[-1]


BEGAN = datetime(2026, 11, 24, 3, 0, tzinfo=timezone.utc)
REST = "--broker-ids 2,3 --started-before 2026-11-24T03:00:00+00:00"


PROGRAM = "/opt/krr/bin/kafka-rolling-restart"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-t", "main"], f"{PROGRAM} -t main {REST}"),
        (["--skip", "1", "-t", "main"], f"{PROGRAM} -t main {REST}"),
        (["-t", "main", "--skip=1"], f"{PROGRAM} -t main {REST}"),
        (["-t", "main", "--dry-run"], f"{PROGRAM} -t main {REST}"),
        (["--broker-ids=3", "-t", "main", "--started-before", "2h"], f"{PROGRAM} -t main {REST}"),
        (
            ["-t", "main", "--task=x", "--task-args", "a b"],
            f"cd '/home/me/my tasks' && {PROGRAM} -t main --task=x --task-args 'a b' {REST}",
        ),
        (
            ["-t", "main", "--task", "x"],
            f"cd '/home/me/my tasks' && {PROGRAM} -t main --task x {REST}",
        ),
    ],
)
def test_the_resume_line_is_the_command_with_just_what_is_left_and_the_directory_of_the_tasks(
    given: list[str], expected: str
) -> None:
    line = resume_line(Call((PROGRAM,), tuple(given), "/home/me/my tasks"), BEGAN, [2, 3])
    assert line == expected
    command = line.rpartition("&& ")[2]
    assert parse(shlex.split(command)[1:]).broker_ids == [2, 3]


def test_without_a_beginning_the_brokers_are_restarted_in_any_case() -> None:
    call = Call((PROGRAM,), ("-t", "main", "--started-before=2h"), "/tmp")
    assert resume_line(call, None, [2, 3]) == f"{PROGRAM} -t main --broker-ids 2,3"


def test_a_directory_that_was_removed_is_not_named() -> None:
    line = resume_line(Call((PROGRAM,), ("-t", "main", "--task", "x"), ""), BEGAN, [2, 3])
    assert line == f"{PROGRAM} -t main --task x {REST}"


def test_the_program_is_named_as_it_was_called_with_its_whole_path(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "kafka-rolling-restart"
    script.parent.mkdir()
    script.touch()
    for program in (str(script), "bin/kafka-rolling-restart", "./bin/kafka-rolling-restart"):
        assert how_called(program, [], str(tmp_path)).program == (str(script),)
    assert how_called("kafka-rolling-restart", [], str(tmp_path)).program == (
        "kafka-rolling-restart",
    )


def test_a_module_is_named_with_its_python_and_a_checkout_with_its_directory_too() -> None:
    module = f"{os.getcwd()}/kafka_rolling_restart/__main__.py"
    words = f"{sys.executable} -m kafka_rolling_restart -t main {REST}"
    assert resume_line(how_called(module, ["-t", "main"], "/tmp"), BEGAN, [2, 3]) == words
    root = str(Path(arguments.__file__).parents[2])
    assert (
        resume_line(how_called(module, ["-t", "main"], root), BEGAN, [2, 3])
        == f"cd {root} && {words}"
    )


def called(given: list[str]) -> Call:
    return Call(("kafka-rolling-restart",), tuple(given), "")


SECRETS = [
    ["--task-args", "--to 3 --token hunter2"],
    ["--task-args=--password=hunter2"],
    [
        "--task",
        "x",
        "--task-args",
        "--api-key a",
        "--task-args",
        "secret: hunter2",
        "--task-args",
        "x --token=hunter2",
    ],
    ["--stop-command", "curl http://me:hunter2@stop/"],
]


@pytest.mark.parametrize("given", SECRETS)
def test_the_resume_line_leaves_a_secret_out_and_no_shell_runs_it_before_it_is_given(
    given: list[str],
) -> None:
    line = resume_line(called(["-t", "main", *given]), BEGAN, [2, 3])
    assert "hunter2" not in line
    as_script = (
        f"set -- {line.removeprefix('kafka-rolling-restart ')}; for word; do printf "
        "'%s\\0' \"$word\"; done"
    )
    bare = subprocess.run(["sh", "-c", as_script], capture_output=True, text=True, env={})
    assert bare.returncode != 0 and bare.stdout == "" and "set it to the --" in bare.stderr
    plain = [word for word in given if "hunter2" in word]
    values = [word.partition("=")[2] if word.startswith("--task-args=") else word for word in plain]
    names = re.findall(r"\$\{([A-Z_0-9]+):\?", line)
    assert len(names) == len(set(names)) == len(values)
    done = subprocess.run(
        ["sh", "-c", as_script],
        capture_output=True,
        text=True,
        env=dict(zip(names, values, strict=True)),
        check=True,
    )
    assert done.stdout.split("\0")[:-1] == ["-t", "main", *given, *REST.split()]


def test_the_variable_of_a_secret_is_called_after_its_option() -> None:
    line = resume_line(
        called(["-t", "main", "--task-args", "--token a", "--task-args=--token b"]), BEGAN, [2, 3]
    )
    first = '--task-args "${TASK_ARGS:?set it to the --task-args that this run had}"'
    assert line == (
        f"kafka-rolling-restart -t main {first} "
        f'--task-args="${{TASK_ARGS_2:?set it to the --task-args that this run had}}" {REST}'
    )


@pytest.mark.parametrize(
    ("text", "age"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1.5d", 129_600)]
)
def test_a_duration_is_so_long_ago(text: str, age: float) -> None:
    assert parse(["-t", "main", "--started-before", text]).started_before == age


def test_a_moment_with_a_zone_is_understood() -> None:
    moment = datetime.now(timezone(timedelta(hours=5))) - timedelta(hours=3)
    assert parse(
        ["-t", "main", "--started-before", moment.isoformat()]
    ).started_before == pytest.approx(10_800, abs=60)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            [],
            "name the cluster: --cluster-type TYPE (and --cluster-name NAME), --bootstrap-server "
            "HOST:PORT, or --zookeeper HOSTS/CHROOT",
        ),
        (
            ["--bootstrap-server", "k1:9092", "--zookeeper", "zk"],
            "--bootstrap-server and --zookeeper each name a cluster: give one of them",
        ),
        (
            ["--bootstrap-server", "k1:9092", "-c", "main"],
            "with --bootstrap-server no configuration is read",
        ),
        (["--bootstrap-server", "k1:9092", "--listener", "SSL"], "--listener is for ZooKeeper"),
        (["--bootstrap-server", "k1:9092", "--roles", "voters"], "--roles"),
        (["--bootstrap-server", "k1:9092", "--metrics", "jolokai"], "--metrics"),
        (["--bootstrap-server", "k1:9092", "--controller-stop-command", " "], "is empty"),
        (["-c", "main"], "name the cluster"),
        (["-t", "main", "--zookeeper", "zk"], "give one of them"),
        (
            ["--zookeeper", "zk", "-c", "main"],
            "with --zookeeper no configuration is read: leave out --cluster-name",
        ),
        (
            ["--zookeeper", "zk", "--discovery-base-path", "/etc"],
            "with --zookeeper no configuration is read: leave out --cluster-name",
        ),
        (["--zookeeper"], "--zookeeper: expected one argument"),
        (
            ["-t", "main", "--jmxproxy-ca", "f"],
            "--jmxproxy-ca is for https: give --jmxproxy-scheme https, too",
        ),
        (["-t", "main", "--jmxproxy-cert", "f"], "--jmxproxy-cert is for https"),
        (["-t", "main", "--jmxproxy-scheme", "ftp"], "--jmxproxy-scheme"),
        (
            ["-t", "main", "--jmxproxy-scheme", "https", "--jmxproxy-key", "f"],
            "give --jmxproxy-cert, too",
        ),
        (["-t", "main", "--zookeeper-key", "f"], "give --zookeeper-cert, too"),
        (["-t", "main", "--zookeeper-auth", "sasl"], "give --zookeeper-user, too"),
        (
            ["-t", "main", "--jmxproxy-host", "p"],
            "--jmxproxy-host serves many brokers: put {host} into",
        ),
        (["-t", "main", "--jmxproxy-host", "-p"], "--jmxproxy-host"),
        (["-t", "main", "--jmxproxy-host", "p/q"], "'p/q' is not a host name"),
        (["-t", "main", "--jmxproxy-prefix", "j/{hots}:1"], "only placeholder allowed is {host}"),
        (["-t", "main", "--jmxproxy-prefix", "j/{host:1"], "only placeholder allowed is {host}"),
        (["-t", "main", "--jmxproxy-prefix", "j/{{host}}:1"], "only placeholder allowed is {host}"),
        (["-t", "main", "--jmxproxy-prefix", "j?x"], "'j?x' is not the path of a URL"),
        (
            ["-t", "main", "--jmxproxy-prefix", "http://x/y"],
            "'http://x/y' is a URL: give only its path, such as",
        ),
        (
            ["-t", "main", "--stop-command", ""],
            "--stop-command: '' is empty: give the command to run on a broker's host",
        ),
        (["-t", "main", "--start-command", " "], "--start-command: ' ' is empty: give the command"),
        (
            ["-t", "main", "--check-count", "1e3"],
            "--check-count: '1e3' is not a whole number of 1 or more",
        ),
        (
            ["-t", "main", "--check-count", "0"],
            "--check-count: '0' is not a whole number of 1 or more",
        ),
        (["-t", "main", "--jmxproxy-port", "x"], "--jmxproxy-port: 'x' is not a port (1 to 65535)"),
        (["-t", "main", "--jmxproxy-user", "me:pw"], "must not be empty or contain a colon"),
        (["-t", "main", "--zookeeper-user", ""], "must not be empty"),
        (["-t", "main", "-qv"], "--quiet and --verbose contradict each other"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(given)
    usage, last = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and usage.startswith("usage: ")
    assert last.startswith("kafka-rolling-restart: error: ") and said in last


def test_a_cluster_without_a_configuration_is_named_by_its_zookeeper() -> None:
    options = parse(["--zookeeper", "zk1:2181,zk2:2181/kafka", "-q", "--report", "r.json"])
    assert (options.zookeeper, options.cluster_type) == ("zk1:2181,zk2:2181/kafka", None)
    assert (options.quiet, options.report) == (True, "r.json")


def test_verbose_is_counted() -> None:
    assert [
        parse(["-t", "main", *words]).verbose
        for words in ([], ["-v"], ["-vv"], ["-v", "--verbose"])
    ] == [
        0,
        1,
        2,
        2,
    ]


@pytest.fixture
def complete(tmp_path: Path) -> Callable[[str], list[str]]:
    """Ask for completions as the shell function of register-python-argcomplete does, in a home with
    two files."""
    folder = tmp_path / ".kafka_discovery"
    folder.mkdir()
    (folder / "main.yaml").write_text("clusters: {east: {}, europe: {}, west: {}}")
    (folder / "mirror.yaml").write_text("a: [")
    (folder / "other.yaml").write_text("clusters: {south: {}}")

    def ask(line: str) -> list[str]:
        answer = tmp_path / "answer"
        environment = {
            "HOME": str(tmp_path),
            "PYTHONPATH": os.getcwd(),
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
        }
        command = [sys.executable, "-m", "kafka_rolling_restart"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return answer.read_text().split("\n") if answer.stat().st_size else []

    return ask


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("kafka-rolling-restart -t ", ["main", "mirror", "other"]),
        ("kafka-rolling-restart --cluster-type m", ["main", "mirror"]),
        ("kafka-rolling-restart -t main -c ", ["east", "europe", "west"]),
        ("kafka-rolling-restart -t main --cluster-name e", ["east", "europe"]),
        ("kafka-rolling-restart --cluster-type=main --cluster-name=w", ["--cluster-name=west"]),
        ("kafka-rolling-restart -t mirror -c ", []),
        ("kafka-rolling-restart -t nothing -c ", []),
        ("kafka-rolling-restart -c ", []),
        ("kafka-rolling-restart --repo", ["--report"]),
    ],
)
def test_the_shell_completes_cluster_types_names_and_options(
    complete: Callable[[str], list[str]], line: str, offered: list[str]
) -> None:
    assert sorted(word.strip() for word in complete(line)) == offered


def test_no_option_takes_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--ask-ssh-password", "--ask-sudo-password"):
        with pytest.raises(SystemExit):
            parse(["-t", "main", f"{option}=hunter2"])
        assert parse(["-t", "main", option])


def said_at_the_end(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the last line of a command line that is wrong."""
    with pytest.raises(SystemExit) as end:
        parse(words)
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        (["--stop-comand", "x"], "did you mean --stop-command?"),
        (["--stop_command=x"], "did you mean --stop-command?"),
        (["dry-run"], "did you mean --dry-run?"),
        (["--brokers-ids", "1", "--skipp", "2"], "did you mean --broker-ids and --skip?"),
        (["--jmxproxy-scheme", "htps"], "did you mean https?"),
        (["--task"], "write --task MODULE, or --task=MODULE if"),
        (["--task-args", "-f"], "write --task-args ARGS, or --task-args=ARGS if"),
        (["-c"], "write --cluster-name NAME, or --cluster-name=NAME if"),
    ],
)
def test_a_mistyped_word_leads_to_what_was_meant(
    wrong: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_at_the_end(["-t", "main", *wrong], capsys)
    assert meant in said and said.endswith(" [wrong-usage]")


def test_nothing_is_suggested_for_a_word_that_is_like_no_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "did you mean" not in said_at_the_end(["-t", "main", "--zzzz", "x"], capsys)


@pytest.mark.parametrize(
    "words", [["--explain", "broker-down"], ["-t", "main", "--explain=[broker-down]"]]
)
def test_a_code_is_explained_without_a_cluster(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(words)
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("broker-down: ")


def test_a_code_is_explained_without_loading_a_library() -> None:
    code = (
        "import sys; from kafka_rolling_restart.cli.arguments import parse\n"
        "try: parse(['--explain', 'broker-down'])\n"
        "except SystemExit: print({'kazoo', 'paramiko', 'requests', 'rich', 'yaml'} & "
        "set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("broker-down: ") and done.stdout.endswith("set()\n"), done.stderr


def test_without_a_code_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["--explain"])
    assert end.value.code == 0
    assert "\n  broker-down " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "meant"),
    [("broker-dwn", "did you mean broker-down"), ("zzz", "--explain without a code lists all")],
)
def test_a_code_that_does_not_exist_ends_with_status_2(
    code: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_at_the_end(["--explain", code], capsys)
    assert meant in said and said.endswith(" [wrong-usage]")
