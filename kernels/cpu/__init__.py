"""The CPU: machine code from LLVM text, the compiled driver that runs a program's table, its threads and its
buffers.

`driver` is what a planner writes for; `machine` compiles; `pool` holds the threads.
"""
