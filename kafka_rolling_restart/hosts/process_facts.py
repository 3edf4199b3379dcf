"""What is asked of a host to find its node's process, and what the answers say: no judgement.

Each question is one line for any login shell: `sh -c` with no single quote, no newline, no doubled
backslash (fish) and no exclamation mark (csh) inside. Each line of an answer is marked, because a
login script may greet us before it. None needs root.

`pgrep -f` is not used: that of older procps compares only the first 4096 characters of a command
line (https://github.com/apache/accumulo-uno/issues/243), and Kafka's class path alone is longer. It
would find nothing, which reads like a broker that is down. So the shell looks into /proc itself;
only lines that the kernel cut (before Linux 4.2) are left in doubt.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kafka_rolling_restart.hosts.unit import PROPERTIES, Unit, loaded

DEFAULT_PATTERN = r"kafka\.Kafka"
MARK = "process:"
# a kernel before 4.2 cuts a command line at one page, whose last byte is the end of the text
CUT = (4095, 4096)
ENDED_STATES = ("Z", "X", "x")
PLAIN = re.compile(r"[A-Za-z0-9_./=,:-]")

# LC_ALL for the words of systemctl and the length in bytes; the clock and our own start time come
# first, as what is measured from.
HEAD = (
    "LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin; "
    f'say() {{ printf "{MARK} %s\\n" "$*"; }}; '
    'tell() { { IFS= read -r v < $2; } 2>/dev/null && say $1 "$v"; }; '
    "echo; say clock $(date +%s); tell self /proc/$$/stat; "
    "tell boot /proc/sys/kernel/random/boot_id; tell uptime /proc/uptime; "
    "say ticks $(getconf CLK_TCK 2>/dev/null || echo 100); tell init /proc/1/stat; "
)
# Of ExecStart only the program: its arguments may hold secrets.
UNIT = (
    "o=$(systemctl show --no-pager {properties} {unit} 2>/dev/null); "
    'printf "%s\\n" "$o" | while read -r l; do '
    'case $l in ExecStart=*) l=${{l%%" ;"*}};; esac; say unit "$l"; '
    "case $l in MainPID=0) ;; MainPID=*) tell main /proc/${{l#MainPID=}}/comm;; esac; done; "
)
ONE = (
    'one() { c=$(tr "\\000" " " < $d/cmdline 2>/dev/null); '
    'printf "%s\\n" "$c" | grep -Eq -e "$x" 2>/dev/null; say java ${d#/proc/} $? ${#c}; '
    "tell stat $d/stat || { [ -d $d ] && u=${d#/proc/}; }; "
    "g=; h=; while IFS=: read -r i k w; do "
    "case $i:$k in 0:) g=$w;; *:name=systemd) h=$w;; esac; done < $d/cgroup; "
    'say cgroup "${h:-$g}"; '
    'f=$(tr "\\000" "\\n" < $d/cmdline | grep -v "^-" | grep "[.]properties$" | head -n 1); '
    'say file "$f"; } 2>/dev/null; '
)
# A process that ends meanwhile is none; one that is there and cannot be read is in doubt. One of
# those is told: with hidepid there may be thousands.
ALL = (
    "u=; for d in /proc/[0-9]*; do if { IFS= read -r n < $d/comm; } 2>/dev/null; then "
    "case $n in java*|jsvc*) one;; esac; elif [ -d $d ]; then u=${d#/proc/}; fi; done; "
    '[ -z "$u" ] || say unread $u; '
)
THIS = "tell stat /proc/{pid}/stat || {{ [ -d /proc/{pid} ] && say unread {pid}; }}; "
# Kafka writes the file at the end of a clean stop, and removes it when it starts.
CLEAN = (
    'd=$(printf %b "{folder}"); if [ -f "$d/.kafka_cleanshutdown" ]; then say clean yes; '
    'elif [ -r "$d" ] && [ -x "$d" ]; then say clean no; else say clean unknown; fi; '
)
END = "say end"


@dataclass(frozen=True)
class JavaProcess:
    """A JVM of the host.

    ``matches`` tells whether its command line is that of a node, None where that is not known.
    ``ticks`` is when it started, in clock ticks since the host booted.
    """

    pid: int
    ticks: int
    parent: int = 0
    lives: bool = True
    matches: bool | None = None
    why_unknown: str = ""
    is_ending: bool = False
    control_group: str = ""
    properties: str = ""

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.properties})" if self.properties else f"pid {self.pid}"

    @property
    def service(self) -> str:
        """The systemd service that it runs in, nothing where it runs in none.

        All that a user starts by hand may run in the service of their own manager: that is none.
        """
        parts = self.control_group.split("/")
        if any(part.startswith("user@") for part in parts):
            return ""
        found = [part for part in parts if part.endswith(".service")]
        return found[-1] if found else ""


@dataclass(frozen=True)
class HostFacts:
    """What a host said. ``clock_ms`` is its wall clock; ``now_ticks`` and ``uptime_s`` are the same
    moment.

    ``sees_all``: the processes of other users can be seen. ``main_name`` is the name of the main
    process of the unit. ``unread`` is a pid that is there and could not be read, if any.
    """

    boot: str
    clock_ms: int
    now_ticks: int
    ticks_per_s: int
    uptime_s: float
    sees_all: bool
    unit: Unit | None = None
    main_name: str = ""
    processes: tuple[JavaProcess, ...] = ()
    unread: str = ""
    pattern_is_wrong: bool = False


@dataclass(frozen=True)
class Stat:
    """What /proc/PID/stat says. See proc(5)."""

    pid: int
    parent: int
    ticks: int
    has_ended: bool


@dataclass
class _Told:
    """The lines of an answer by their first word."""

    values: dict[str, str] = field(default_factory=dict)
    unit: dict[str, str] = field(default_factory=dict)
    processes: list[dict[str, str]] = field(default_factory=list)


def search_line(unit: str, pattern: str) -> str:
    """Return the line that tells of a unit (none if empty) and of all JVMs.

    ``pattern`` is an extended regular expression for their command lines.
    """
    asks_unit = _unit_question(unit) if unit else ""
    wanted = f'x=$(printf %b "{escaped(pattern)}"); '
    return f"sh -c '{HEAD}{asks_unit}{wanted}{ONE}{ALL}{END}'"


def process_line(pid: int) -> str:
    """Return the line that tells of one process."""
    return f"sh -c '{HEAD}{THIS.format(pid=pid)}{END}'"


def unit_line(unit: str) -> str:
    """Return the line that tells of one unit."""
    return f"sh -c '{HEAD}{_unit_question(unit)}{END}'"


def clean_stop_line(log_dirs: Sequence[str]) -> str:
    """Return the line that tells of each log directory whether Kafka left it in order."""
    questions = "".join(CLEAN.format(folder=escaped(folder)) for folder in log_dirs)
    return f"sh -c '{HEAD}{questions}{END}'"


def clean_stop(output: str) -> bool | None:
    """Return what the answer to `clean_stop_line` says, None where it is not known of them all."""
    lines = [line.strip() for line in output.splitlines()]
    told = [line.split()[-1] for line in lines if line.startswith(f"{MARK} clean ")]
    if "no" in told:
        return False
    if f"{MARK} end" not in lines or not told or "unknown" in told:
        return None
    return True


def _unit_question(unit: str) -> str:
    properties = " ".join(f"-p {name}" for name in PROPERTIES)
    return UNIT.format(properties=properties, unit=f"{unit}.service")


def escaped(text: str) -> str:
    """Return a text for `printf %b` in which nothing means anything to any shell."""
    return "".join(
        character
        if PLAIN.match(character)
        else "".join(f"\\0{byte:03o}" for byte in character.encode())
        for character in text
    )


def facts(output: str) -> HostFacts | None:
    """Return what a host said, None where its answer is not whole."""
    told = _told(output)
    own = stat(told.values.get("self", ""))
    try:
        if "end" not in told.values or own is None:
            return None
        return HostFacts(
            boot=told.values["boot"],
            clock_ms=int(told.values["clock"]) * 1000,
            now_ticks=own.ticks,
            ticks_per_s=int(told.values["ticks"]),
            uptime_s=float(told.values["uptime"].split()[0]),
            sees_all="init" in told.values,
            unit=loaded(told.unit),
            main_name=told.values.get("main", ""),
            processes=tuple(_processes(told)),
            unread=told.values.get("unread", ""),
            pattern_is_wrong=any(int(one["java"].split()[1]) > 1 for one in told.processes),
        )
    except (KeyError, ValueError, IndexError):
        return None


def told_stat(output: str) -> Stat | None:
    """Return what the answer to `process_line` says of the process, None where it is not there.

    Raises `ValueError` where it is there, and cannot be read.
    """
    told = _told(output)
    line = told.values.get("stat")
    if line is None and "unread" not in told.values:
        return None
    found = stat(line or "")
    if found is None:
        raise ValueError(line or "unreadable")
    return found


def stat(line: str) -> Stat | None:
    """Return what a line of /proc/PID/stat says, None where it is none. The name in it may hold
    spaces and parentheses.

    A process whose first thread has ended while others run is still there (seen as a zombie).
    """
    before, _, after = line.rpartition(")")
    pid, values = before.partition(" ")[0], after.split()
    if len(values) < 20 or not all(word.isdecimal() for word in (pid, values[1], values[19])):
        return None
    has_others = values[17].isdecimal() and int(values[17]) > 1
    has_ended = values[0] in ENDED_STATES and not has_others
    return Stat(int(pid), int(values[1]), int(values[19]), has_ended)


def _told(output: str) -> _Told:
    told = _Told()
    for line in output.splitlines():
        if not line.startswith(f"{MARK} "):
            continue
        word, _, value = line.removeprefix(f"{MARK} ").partition(" ")
        if word == "unit":
            name, _, said = value.partition("=")
            told.unit[name] = said.strip()
        elif word == "java":
            told.processes.append({word: value})
        elif told.processes:
            told.processes[-1][word] = value
            told.values[word] = value
        else:
            told.values[word] = value
    return told


def _processes(told: _Told) -> Iterator[JavaProcess]:
    for one in told.processes:
        pid, status, length = (int(word) for word in one["java"].split())
        seen = stat(one.get("stat", ""))
        if seen is None:
            continue  # it ended while we looked
        is_cut = status != 0 and length in CUT
        # it gives its memory back, which takes long, and still holds its port
        is_ending = status != 0 and length == 0
        why = ""
        if is_cut:
            why = f"shows only {length} characters of its command line"
        elif is_ending:
            why = "is just ending"
        yield JavaProcess(
            pid=pid,
            ticks=seen.ticks,
            parent=seen.parent,
            lives=not seen.has_ended,
            matches=None if why else status == 0,
            why_unknown=why,
            is_ending=is_ending,
            control_group=one.get("cgroup", ""),
            properties=one.get("file", ""),
        )
