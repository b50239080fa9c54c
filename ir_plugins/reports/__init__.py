"""Reports for people: the page of a training, the tables of a test.

May import models and every room below it.
"""
