"""Command line: `python3 -m tests.cluster up|down|status|binaries|images|kubeconfig|env`, from the repository root.

The Makefile's cluster-* targets call it. Exit code 0: done; 1: a problem, said in one sentence.
"""

import argparse
import os
import sys

from tests.cluster import binaries, choice, connection
from tests.cluster.errors import ClusterError
from tests.cluster.layout import CHECKOUT, checkout_id, state_home
from tests.cluster.progress import say
from tests.cluster.state import State, exclusive


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.cluster", description="A Kubernetes cluster for the tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the cluster up; does nothing if it is")
    up.add_argument("--fake-nodes", type=int, default=2, metavar="N", help="kwok nodes of 8 GPUs each (default 2)")
    down = commands.add_parser("down", help="end the cluster and all that belongs to it; results stay")
    for command in (up, down):
        command.add_argument("--second", action="store_true", help="only the one beside it, without a real node")
    commands.add_parser("status", help="components, pids, addresses, logs, problems")
    commands.add_parser("binaries", help="build the programs into the cache, nothing more")
    commands.add_parser("images", help="build the operator's and the worker's image and load them")
    commands.add_parser("kubeconfig", help="print the kubeconfig's path")
    commands.add_parser("env", help='print exports for eval "$(…)"')
    return parser


def main() -> int:
    arguments = _parser().parse_args()
    # `su` on Debian leaves root without the directories of ip, nft and conntrack
    directories = os.environ.get("PATH", os.defpath).split(":")
    more = [sbin for sbin in ("/usr/local/sbin", "/usr/sbin", "/sbin") if sbin not in directories]
    os.environ["PATH"] = ":".join([*directories, *more])
    try:
        return _run(arguments)
    except ClusterError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `… status | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted: `up` goes on from here, `down` ends what was begun", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    command = arguments.command
    if command == "kubeconfig":
        print(connection.load().kubeconfig)
    elif command == "env":
        print(connection.exports(connection.load()))
    elif command == "binaries":
        say(f"programs are in {binaries.ensure()}")
    elif command == "status":
        text, well = choice.report(State.of_checkout())
        print(text, flush=True)
        return 0 if well else 1
    else:
        with exclusive(checkout_id(CHECKOUT), state_home()):
            _change(command, arguments)
    return 0


def _change(command: str, arguments: argparse.Namespace) -> None:
    state = State.of_checkout()
    if command == "up" and arguments.second:
        choice.up_second(state, arguments.fake_nodes)
    elif command == "up":
        choice.up(state, arguments.fake_nodes)
    elif command == "down" and arguments.second:
        choice.down_second()
    elif command == "down":
        choice.down(state)
    else:
        choice.images(state)


if __name__ == "__main__":
    sys.exit(main())
