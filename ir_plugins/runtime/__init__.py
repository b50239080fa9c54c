"""What every room may use: errors, files, locks, threads, random numbers, ranks, plugins, the machine.

Imports no other room.
"""
