"""What a person is asked before anything is touched."""

import getpass
import sys
from collections.abc import Callable, Sequence

from kafka_rolling_restart.cli.recipients import Recipient, Vouched, question, refusal, tell
from kafka_rolling_restart.errors import Refused, UsageError
from kafka_rolling_restart.model.broker import Broker, how_many
from kafka_rolling_restart.model.progress import duration
from kafka_rolling_restart.output.report import Report
from kafka_rolling_restart.roll import plan
from kafka_rolling_restart.settings.access import in_brackets
from kafka_rolling_restart.settings.cluster import ClusterConfig
from kafka_rolling_restart.settings.rules import HealthRule
from kafka_rolling_restart.settings.run import RunSettings
from kafka_rolling_restart.text import describe


def require_somebody_to_ask(settings: RunSettings) -> None:
    """See that there is a terminal where a person has to say yes. Raises `UsageError`."""
    if settings.needs_answer and not is_at_terminal():
        raise UsageError(
            "there is no terminal to ask for confirmation: add --no-confirm (cron), or run this at "
            "a terminal",
            code="no-terminal",
        )


def is_at_terminal() -> bool:
    """Tell whether somebody can answer."""
    return bool(sys.stdin and sys.stdin.isatty())


def asker(report: Report) -> Callable[[str], str] | None:
    """Return what asks for a password at the terminal, None where there is none."""
    if not is_at_terminal():
        return None

    def ask(prompt: str) -> str:
        report.flush()
        return getpass.getpass(prompt)

    return ask


def agree_on_passwords(
    settings: RunSettings, cluster: ClusterConfig, found: Sequence[Recipient], report: Report
) -> None:
    """Show which hosts get passwords, and ask, before any is sent: the registry names the hosts,
    and may name any.

    Raises `Refused` where the answer is no, or where nobody can be asked about a host that nobody
    vouches for.
    """
    named = [f"{in_brackets(host)}:{port}" for host, port in cluster.bootstrap]
    vouched = Vouched([*cluster.broker_list, *named], settings.allow_hosts)
    strangers = [one for one in found if not vouched.has(one)]
    is_allowed = all(map(vouched.allows, found))  # also where there are none
    if not is_allowed and not settings.no_confirm and is_at_terminal():
        if not _says_yes(report, question(found, strangers)):
            raise Refused(
                "not confirmed; no password was sent, and no broker was touched",
                code="not-confirmed",
            )
        return
    for line in tell(found):
        report.say(line)
    if strangers:
        source = "no broker_list or --bootstrap-server names them"
        if cluster.path:
            source = f"broker_list in {cluster.path} does not"
        raise Refused(refusal(strangers, source), code="password-host-not-listed")


def confirm(
    settings: RunSettings,
    cluster: ClusterConfig,
    brokers: Sequence[Broker],
    rule: HealthRule,
    report: Report,
) -> None:
    """Ask whether to go on, unless no question is wanted. Raises `Refused` for any answer but
    yes."""
    least = duration(plan.least_s(brokers, rule))
    count = how_many(brokers)
    report.say(f"restarting {count} takes at least {least} of health checks, plus the restarts")
    if settings.no_confirm:
        return
    question = f"Restart {count} of {cluster.label}, one at a time? [y/N]"
    if not _says_yes(report, question):
        raise Refused("not confirmed; no broker was touched", code="not-confirmed")
    report.enable_quiet()


def _says_yes(report: Report, question: str) -> bool:
    """Ask at the terminal, and tell whether the answer is yes."""
    answer = ""
    try:
        report.ask(question)
        answer = sys.stdin.readline()
    except (OSError, ValueError) as error:  # the terminal is gone, or what was typed is no text
        text = f"no answer could be read ({describe(error)}); no broker was touched"
        raise Refused(text, code="not-confirmed") from error
    finally:
        # Ctrl-C, Ctrl-D: what follows is not to stand behind the question
        if not answer.endswith("\n"):
            report.end_line()
    return answer.strip().lower() in ("y", "yes")
