"""The table job_queue: creates it, checks it, and grants the rights that workers and the controller need."""

from jobtide.schema.apply import Applied, SchemaError, apply
from jobtide.schema.check import check
from jobtide.schema.problems import Part, Problem, ProblemKind
from jobtide.schema.script import script

__all__ = ["Applied", "Part", "Problem", "ProblemKind", "SchemaError", "apply", "check", "script"]
