import os
import re
import subprocess
import sys
from pathlib import Path

from setuptools import Command, find_packages, setup
from setuptools.command.build import build

HERE = Path(__file__).parent
MAN_PAGE = "build/man/kafka-rolling-restart.1"
IMAGE = re.compile(r"^\.\. image:: (?!https:).*\n(?: +.*\n)*\n", re.MULTILINE)
PACKAGE = (HERE / "kafka_rolling_restart" / "__init__.py").read_text(encoding="utf-8")
VERSION = PACKAGE.partition('__version__ = "')[2].partition('"')[0]


class BuildManual(Command):
    """Make the man page from the parser, which needs only the standard library."""

    description = "make the man page"
    user_options = []

    def initialize_options(self):
        """Have no options."""

    def finalize_options(self):
        """Have no options."""

    def run(self):
        """Make it in another process, so that no module of ours is left in this one."""
        found_here = {**os.environ, "PYTHONPATH": str(HERE)}
        subprocess.run(
            [sys.executable, "-m", "docs.manual", MAN_PAGE], cwd=HERE, env=found_here, check=True
        )


class Build(build):
    """Build the package and the man page."""

    sub_commands = [*build.sub_commands, ("build_manual", None)]


def long_description():
    """Return the README without its picture: a package index does not have the file beside it."""
    return IMAGE.sub("", (HERE / "README.rst").read_text(encoding="utf-8"))


setup(
    name="kafka-rolling-restart",
    version=VERSION,
    description=(
        "Restart every broker of a Kafka cluster, one at a time, and act only on what was verified"
    ),
    long_description=long_description(),
    long_description_content_type="text/x-rst",
    license="Apache-2.0",
    packages=find_packages(include=["kafka_rolling_restart", "kafka_rolling_restart.*"]),
    package_data={"kafka_rolling_restart": ["py.typed", "report.schema.json"]},
    data_files=[("share/man/man1", [MAN_PAGE])],
    cmdclass={"build": Build, "build_manual": BuildManual},
    python_requires=">=3.10",
    install_requires=[
        "kafka-python>=3.0.12,<3.1",
        "kazoo>=2.11",
        "paramiko>=3.4",
        "PyYAML>=6",
        "requests>=2.31",
        "rich>=13",
        "urllib3>=2",
    ],
    extras_require={
        "completion": ["argcomplete>=3"],
        "docs": ["sphinx>=7.4"],
        "sasl": ["pure-sasl>=0.6"],
        "test": [
            "argcomplete>=3",
            "cryptography>=42",
            "hypothesis>=6.100",
            "jsonschema>=4.20",
            "pure-sasl>=0.6",
            "pyte>=0.8",
            "pytest>=8",
            "pytest-xdist>=3.6",
        ],
    },
    entry_points={
        "console_scripts": ["kafka-rolling-restart = kafka_rolling_restart.__main__:run"]
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: System Administrators",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Clustering",
        "Topic :: System :: Distributed Computing",
        "Topic :: System :: Systems Administration",
        "Typing :: Typed",
    ],
)
