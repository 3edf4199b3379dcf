"""The command line of a JVM that starts fast and stays small."""

from __future__ import annotations

from pathlib import Path

from .jars import Jars
from .needs import program

LINE = "%d %p %m (%c)%n"
QUICK_AND_SMALL = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-XX:-UsePerfData",
)


def java_command(
    jars: Jars, folder: Path, heap: str, level: str, main_class: str, *options: str
) -> list[str]:
    """Build the command that runs a class; it logs at `level` and up to its standard output."""
    return [
        program("java"),
        *QUICK_AND_SMALL,
        f"-Xmx{heap}",
        "-Djava.awt.headless=true",
        _logging_option(jars, folder, level),
        *options,
        "-cp",
        jars.classpath,
        main_class,
    ]


def _logging_option(jars: Jars, folder: Path, level: str) -> str:
    """Write how to log, and return the option that names the file."""
    if jars.has_log4j2:
        logging = folder / "log4j2.properties"
        logging.write_text(
            f"rootLogger = {level}, stdout\n"
            "appender.stdout.type = Console\n"
            "appender.stdout.name = stdout\n"
            "appender.stdout.layout.type = PatternLayout\n"
            f"appender.stdout.layout.pattern = {LINE}\n"
        )
        return f"-Dlog4j2.configurationFile=file:{logging}"
    logging = folder / "log4j.properties"
    logging.write_text(
        f"log4j.rootLogger={level}, stdout\n"
        "log4j.appender.stdout=org.apache.log4j.ConsoleAppender\n"
        "log4j.appender.stdout.layout=org.apache.log4j.PatternLayout\n"
        f"log4j.appender.stdout.layout.ConversionPattern={LINE}\n"
    )
    return f"-Dlog4j.configuration=file:{logging}"
