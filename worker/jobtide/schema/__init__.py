"""The table job_queue: what creates it, what says whether it is as it should be, and who may use it how."""

from jobtide.schema.apply import Applied, SchemaError, apply
from jobtide.schema.check import check
from jobtide.schema.problems import Part, Problem, ProblemKind
from jobtide.schema.script import script

__all__ = ["Applied", "Part", "Problem", "ProblemKind", "SchemaError", "apply", "check", "script"]
