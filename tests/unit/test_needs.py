import threading
from pathlib import Path

from tests.lab.needs import one_at_a_time


def test_two_workers_do_not_install_at_the_same_time(tmp_path: Path) -> None:
    """Seen on a bare Debian: the second apt-get found dpkg's lock taken, and half of the tests had
    no lab."""
    came = threading.Event()

    def second() -> None:
        with one_at_a_time(tmp_path / "lock"):
            came.set()

    worker = threading.Thread(target=second)
    with one_at_a_time(tmp_path / "lock"):
        worker.start()
        assert not came.wait(0.3)
    assert came.wait(10)
    worker.join()
