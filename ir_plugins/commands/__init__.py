"""What a person can type: one file for each sub-command.

May import every room.
"""
