"""The sub-commands of `basicsr`, one in each file; cli.py calls their `run(arguments)`.

May import every room.
"""
