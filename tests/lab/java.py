"""The command line of a JVM that starts fast and stays small."""

from __future__ import annotations

from pathlib import Path

from .jars import Jars
from .needs import program

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
    logging = folder / "log4j.properties"
    logging.write_text(
        f"log4j.rootLogger={level}, stdout\n"
        "log4j.appender.stdout=org.apache.log4j.ConsoleAppender\n"
        "log4j.appender.stdout.layout=org.apache.log4j.PatternLayout\n"
        "log4j.appender.stdout.layout.ConversionPattern=%d %p %m (%c)%n\n"
    )
    return [
        program("java"),
        *QUICK_AND_SMALL,
        f"-Xmx{heap}",
        "-Djava.awt.headless=true",
        f"-Dlog4j.configuration=file:{logging}",
        *options,
        "-cp",
        jars.classpath,
        main_class,
    ]
