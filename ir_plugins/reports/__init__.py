"""What a person looks at afterwards: the report of a training, the tables of a test.

May import models and every room below it.
"""
