from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
PACKAGE = (HERE / "kafka_rolling_restart" / "__init__.py").read_text(encoding="utf-8")
VERSION = PACKAGE.partition('__version__ = "')[2].partition('"')[0]

setup(
    name="kafka-rolling-restart",
    version=VERSION,
    description="Restart every broker of a Kafka cluster, one at a time, and believe nothing that was not observed",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="Apache-2.0",
    packages=find_packages(include=["kafka_rolling_restart", "kafka_rolling_restart.*"]),
    package_data={"kafka_rolling_restart": ["py.typed", "report.schema.json"]},
    python_requires=">=3.10",
    install_requires=["kazoo>=2.11", "paramiko>=3.4", "PyYAML>=6", "requests>=2.31", "rich>=13", "urllib3>=2"],
    extras_require={
        "completion": ["argcomplete>=3"],
        "sasl": ["pure-sasl>=0.6"],
        "test": [
            "argcomplete>=3",
            "cryptography>=42",
            "hypothesis>=6.100",
            "jsonschema>=4.20",
            "kafka-python>=2.2",
            "pure-sasl>=0.6",
            "pyte>=0.8",
            "pytest>=8",
            "pytest-xdist>=3.6",
        ],
    },
    entry_points={"console_scripts": ["kafka-rolling-restart = kafka_rolling_restart.__main__:run"]},
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
