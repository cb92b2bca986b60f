"""The prompt of `fnn.debug.breakpoint`."""

from __future__ import annotations

import cmd
import linecache
import pprint
from typing import Any

from fnn.core.source import Source, describe, line_of


class Quit(Exception):
    """A person left the program at a breakpoint."""


class Prompt(cmd.Cmd):
    """Reads commands until told to go on. values: the local names at the breakpoint, with numbers in them."""

    prompt = "(fnn) "

    def __init__(
        self, source: Source | None, values: dict[str, Any], scope: dict[str, Any], stdin: Any, stdout: Any
    ):
        super().__init__(stdin=stdin, stdout=stdout)
        self.source, self.values, self.scope = source, values, scope
        self.use_rawinput = stdin is None
        self.intro = (
            f"at {describe(source)}; an expression shows its value; c goes on, q quits, l lists, a all names"
        )

    def say(self, text: str) -> None:
        self.stdout.write(text + "\n")
        self.stdout.flush()

    def default(self, line: str) -> None:
        """Any other line is an expression."""
        try:
            self.say(pprint.pformat(eval(line, self.scope, self.values)))
        except Exception as error:
            self.say(f"{type(error).__name__}: {error}")

    def do_p(self, line: str) -> None:
        """p expression: show its value."""
        self.default(line)

    do_pp = do_p

    def do_a(self, line: str) -> None:
        """All local names and their values."""
        for name, value in self.values.items():
            self.say(f"{name} = {pprint.pformat(value)}")

    def do_l(self, line: str) -> None:
        """The lines around the breakpoint."""
        if self.source is None:
            return
        at, file = line_of(self.source), self.source[0].co_filename
        for number in range(max(1, at - 5), at + 6):
            text = linecache.getline(file, number).rstrip()
            if text:
                self.say(f"{'->' if number == at else '  '} {number:4} {text}")

    do_bt = do_where = lambda self, line: self.say(describe(self.source))

    def do_c(self, line: str) -> bool:
        """Go on."""
        return True

    do_continue = do_EOF = do_c

    def do_q(self, line: str) -> bool:
        """End the program."""
        raise Quit("the program was left at a breakpoint")

    do_quit = do_q

    def emptyline(self) -> bool:
        return False
