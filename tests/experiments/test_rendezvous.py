"""Processes that find each other: here threads, on this machine."""

import socket
import threading

import pytest

from envs.errors import ConfigError
from experiments.distributed import rendezvous
from experiments.distributed.rendezvous import meet, read_address


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setattr(rendezvous, "POLL_SECONDS", 0.05)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def all_meet(address, *who, limit=20.0):
    """Each of (processes, index) calls `meet` in a thread of its own: what it was told, "" where they met."""
    told = [""] * len(who)

    def call(k, processes, index):
        try:
            own = meet(address, processes, index, limit)
            told[k] = "" if own == "127.0.0.1" else own
        except ConfigError as error:
            told[k] = str(error)

    threads = [threading.Thread(target=call, args=(k, *each)) for k, each in enumerate(who)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_all_go_on_together_and_the_port_is_free_again(address):
    for _ in range(2):
        assert all_meet(address, (3, 2), (3, 0), (3, 1)) == ["", "", ""]


def test_one_that_does_not_come_is_named(address):
    first, second = all_meet(address, (3, 0), (3, 2), limit=0.5)
    assert first == "process 1 of 3 did not come in 0 s: start the same command on all of them"
    assert second.startswith("process 0 has left again")


def test_nobody_at_the_address(address):
    (told,) = all_meet(address, (2, 1), limit=0.2)
    assert told.startswith(f"no process 0 at {address} in 0 s")


def test_two_of_one_index_and_another_number_are_refused(address):
    told = all_meet(address, (2, 0), (2, 1), (2, 1), limit=3)
    # the second of the two comes before they go on, and is refused, or after it, and finds nobody
    assert told[0] == "" and sorted(told[1:])[0] == "" and sorted(told[1:])[1]
    told = all_meet(address, (3, 0), (2, 1), limit=0.5)
    assert told[1].startswith("process 0 was told of 3 processes") and "did not come" in told[0]


def knock(address):
    """A connection to process 0, as soon as it listens."""
    while True:
        try:
            return socket.create_connection(read_address(address), timeout=5)
        except OSError:
            continue


def test_one_that_leaves_may_come_again(address):
    """It connects, says who it is, and leaves; then it comes again, and they go on."""
    waiting = threading.Thread(target=lambda: meet(address, 3, 0, 20.0))
    waiting.start()
    door = knock(address)
    door.sendall(b"1 3\n")
    door.close()
    assert all_meet(address, (3, 1), (3, 2)) == ["", ""]
    waiting.join()


@pytest.mark.parametrize("leave", [False, True])
def test_one_that_is_slow_to_go_on_is_left_to_jax_and_one_that_is_gone_is_named(address, leave, monkeypatch):
    """The door of process 1 stays open when it was told to go on, or is reset at that moment."""
    told = []

    def wait():
        try:
            told.append(meet(address, 2, 0, 20.0))
        except ConfigError as error:
            told.append(str(error))

    class Reset:
        def sendall(self, data):
            raise ConnectionResetError

    send_off = rendezvous._send_off
    if leave:
        monkeypatch.setattr(rendezvous, "_send_off", lambda guests, n: send_off({k: Reset() for k in guests}, n))
    waiting = threading.Thread(target=wait)
    waiting.start()
    with knock(address) as door:
        door.sendall(b"1 2\n")
        waiting.join()
    gone = "process 1 of 2 has left again: start the same command on all of them"
    assert told == [gone if leave else "127.0.0.1"]


def test_a_name_that_can_be_none(address):
    with pytest.raises(ConfigError, match="--coordinator a..b:80: no name of a machine"):
        meet("a..b:80", 2, 1, 1.0)


def test_strangers_are_not_counted(address):
    waiting = threading.Thread(target=lambda: meet(address, 2, 0, 20.0))
    waiting.start()
    door = knock(address)
    door.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert door.recv(10) == b""
    door.close()
    assert all_meet(address, (2, 1)) == [""]
    waiting.join()


def test_a_port_that_is_taken(address):
    with socket.create_server(("", read_address(address)[1])):
        (told,) = all_meet(address, (2, 0))
    assert "cannot be used (Address already in use): choose another" in told


def test_a_machines_own_address_is_that_of_the_network_they_met_in():
    """Of a process of this machine and one of another, the other's counts; an IPv4 address on an IPv6 socket is one."""

    class End:
        def __init__(self, name):
            self.getsockname = lambda: (name, 1)

    for names, own in [
        (["127.0.0.1", "10.77.0.1"], "10.77.0.1"),
        (["::ffff:127.0.0.1", "::ffff:10.77.0.1"], "10.77.0.1"),
        (["::1", "fd00::1"], "fd00::1"),
        (["::ffff:127.0.0.1"], "127.0.0.1"),
        (["::1"], "::1"),
    ]:
        assert rendezvous._own_address([End(name) for name in names]) == own


def test_addresses():
    assert read_address("10.0.0.1:80") == ("10.0.0.1", 80)
    assert read_address("[::1]:65535") == ("::1", 65535)
    with pytest.raises(ConfigError, match="write HOST:PORT"):
        read_address("host")


TASK = {"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2", "SLURM_JOB_ID": "5000", "SLURM_STEP_ID": "2"}
TASK |= {"SLURM_STEP_NODELIST": "node[1-3]", "SLURM_NTASKS": "8"}


def test_a_task_of_srun_knows_the_others():
    """5000 + 509 x 2 = 6018; 6018 - 4096 = 1922; 61440 + 1922 = 63362."""
    assert rendezvous.of_slurm(TASK) == ("node1:63362", 3, 2)


@pytest.mark.parametrize("change", [{"SLURM_STEP_NODELIST": ""}, {"SLURM_JOB_ID": "x"}, None])
def test_what_srun_has_not_started_is_told_so(change):
    """None: the environment of a batch script, outside srun."""
    variables = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"} if change is None else TASK | change
    with pytest.raises(ConfigError, match="start it by srun"):
        rendezvous.of_slurm(variables)


@pytest.mark.parametrize(
    "nodes, first",
    [
        ("node001", "node001"),
        ("node001,host2", "node001"),
        ("node[001-015],host2", "node001"),
        ("node[001,007-015],host2", "node001"),
        ("gpu-a[7]", "gpu-a7"),
        ("rack[1-2]n[3,4]-ib,z", "rack1n3-ib"),
    ],
)
def test_the_first_of_slurms_nodes(nodes, first):
    assert rendezvous.first_host(nodes) == first
