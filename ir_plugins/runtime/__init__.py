"""What every room may use: errors, whole files, locks, threads, random numbers, ranks, the machine.

Imports no other room.
"""
